"""The arithmetic of Winograd's algorithm F(4 x 4, 3 x 3): convolutions of stride 1, and the gradients of their weights.

A tile of 4 x 4 outputs takes 36 products instead of 144. Tiles of the input (6 x 6, overlapping) and the weights are
transformed by small fixed matrices, multiplied for each of the 36 places by one matrix product over all tiles and
channels, and transformed back. The work is done in pieces of a few images, or of a few rows of tiles, which stay in the
processor's cache.

Source: Lavin and Gray 2016, Fast algorithms for convolutional neural networks. Ours, since PyTorch has the algorithm
for outputs only (NNPACK), where it is slower.

Shapes: N images, C channels in, K channels out, H x W the blob, down x across tiles, T tiles of a piece. Blobs are
stored channels last, (N, H, W, C), so that each sum runs over neighbouring values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Callable[[Sequence[Tensor], Sequence[Tensor]], None]
PLACES = 36  # 6 x 6, of a transformed tile
# The weights' transform, 6 x 3; those of inputs, outputs and gradients are written out below as sums
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
PIECE = 4_000_000  # values of a piece's transformed tiles (16 MB): measured on AMD EPYC, 2 MiB of L2 and 32 of L3


def transformed_weights(weight: Tensor) -> Tensor:
    """Return the transform of weights (K, C, 3, 3), as (36, K, C)."""
    k, c = weight.shape[:2]
    return (_pairs() @ weight.reshape(k * c, 9).T).view(PLACES, k, c)


def convolution(x: Tensor, transformed: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """Return the convolution (N, K, H', W'), stored channels last, of x (N, C, H, W) with weights (36, K, C).

    Raises:
        ValueError: For a blob that is smaller than the kernel.
    """
    n, c, h, w = x.shape
    k = transformed.shape[1]
    out_h, out_w = h + 2 * padding[0] - 2, w + 2 * padding[1] - 2
    if min(out_h, out_w) < 1:
        raise ValueError(f"convolution: expected 3 x 3 or more with the padding {padding}, got {h} x {w}")
    across = -(-out_w // 4)
    result = torch.empty((n, k, out_h, out_w), dtype=x.dtype, memory_format=torch.channels_last)
    stored = result.permute(0, 2, 3, 1)
    weights = transformed.transpose(1, 2)
    for images, rows in _pieces(n, -(-out_h // 4), across * max(c, k)):
        products = torch.bmm(_input_tiles(x, images, rows, across, padding), weights)
        m, down = images.stop - images.start, rows.stop - rows.start
        products = products.view(6, 6, m, down, across, k)
        piece = stored[images, 4 * rows.start : 4 * rows.stop]
        whole = piece.shape[1:3] == (4 * down, 4 * across)
        out = piece if whole else x.new_empty((m, 4 * down, 4 * across, k))
        half = x.new_empty((4, 6, m, down, across, k))
        _outputs(products.unbind(0), half.unbind(0))
        for row in range(4):
            _outputs(half[row].unbind(0), [out[:, row::4, column::4] for column in range(4)])
        if bias is not None:
            out += bias
        if not whole:
            piece.copy_(out[:, : piece.shape[1], :out_w])
    return result


def weight_gradient(x: Tensor, grad: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return the weights' gradient (K, C, 3, 3) for inputs (N, C, H, W) and the outputs' gradient (N, K, H', W')."""
    n, c = x.shape[:2]
    _, k, out_h, out_w = grad.shape
    across = -(-out_w // 4)
    total = x.new_zeros((PLACES, k, c))
    for images, rows in _pieces(n, -(-out_h // 4), across * max(c, k)):
        inputs = _input_tiles(x, images, rows, across, padding)
        down = rows.stop - rows.start
        piece = grad[images, :, 4 * rows.start : 4 * rows.stop].permute(0, 2, 3, 1)
        piece = F.pad(piece, (0, 0, 0, 4 * across - out_w, 0, 4 * down - piece.shape[1])).contiguous()
        total.baddbmm_(_tiles(piece, 4, down, across, _gradients).transpose(1, 2), inputs)
    return (_pairs().T @ total.view(PLACES, k * c)).T.reshape(k, c, 3, 3)


def _input_tiles(x: Tensor, images: slice, rows: slice, across: int, padding: tuple[int, int]) -> Tensor:
    """Return the transformed tiles (36, T, C) of a piece of an input (N, C, H, W)."""
    (top, left), down = padding, rows.stop - rows.start
    h, w = x.shape[2:]
    first, last = max(0, 4 * rows.start - top), min(h, 4 * rows.stop + 2 - top)
    above = max(0, top - 4 * rows.start)
    below = 4 * down + 2 - above - (last - first)
    piece = x[images, :, first:last].permute(0, 2, 3, 1)
    piece = F.pad(piece, (0, 0, left, 4 * across + 2 - left - w, above, below)).contiguous()
    return _tiles(piece, 6, down, across, _inputs)


def _tiles(piece: Tensor, size: int, down: int, across: int, transform: Transform) -> Tensor:
    """Transform the tiles of size x size values, one every 4 rows and columns, of a piece (n, H, W, C): (36, T, C)."""
    n, _, w, c = piece.shape
    half = piece.new_empty((6, n, down, w, c))
    transform([piece[:, row : row + 4 * down - 3 : 4] for row in range(size)], half.unbind(0))
    both = piece.new_empty((6, 6, n, down, across, c))
    transform([half[:, :, :, column : column + 4 * across - 3 : 4] for column in range(size)], both.unbind(1))
    return both.view(PLACES, -1, c)


def _pieces(n: int, down: int, values: int) -> Iterator[tuple[slice, slice]]:
    """Yield the images and rows of tiles of each piece. values: the number in a row of tiles at each place."""
    rows = max(1, PIECE // (PLACES * values))
    images = max(1, rows // down)
    pieces = -(-down // rows)
    rows = -(-down // pieces)  # of one height, about
    for image in range(0, n, images):
        for row in range(0, down, rows):
            yield slice(image, min(n, image + images)), slice(row, min(down, row + rows))


def _pairs() -> Tensor:
    matrix = torch.tensor(_G, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()  # (36, 9)


def _inputs(d: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Transform six rows (or columns) of inputs."""
    first, second = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(first, second, out=out[1])
    torch.sub(first, second, out=out[2])
    torch.sub(d[4], d[2], out=first)
    torch.sub(d[3], d[1], out=second)
    torch.add(first, second, alpha=2, out=out[3])
    torch.sub(first, second, alpha=2, out=out[4])
    torch.sub(d[0], d[2], out=out[0])
    torch.add(first, out[0], alpha=4, out=out[0])
    torch.sub(d[5], d[3], out=out[5])
    out[5].sub_(second, alpha=4)


def _outputs(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Transform six rows (or columns) of products into four of outputs."""
    plus, minus = m[1] + m[2], m[1] - m[2]
    torch.add(m[3], m[4], out=out[0])
    torch.add(plus, out[0], alpha=4, out=out[2])
    out[0].add_(plus).add_(m[0])
    torch.sub(m[3], m[4], out=plus)
    torch.add(minus, plus, alpha=2, out=out[1])
    torch.add(minus, plus, alpha=8, out=out[3])
    out[3].add_(m[5])


def _gradients(y: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Transform four rows (or columns) of an output's gradient."""
    even, odd = y[0] + y[2], y[1] + y[3]
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(y[0], y[2], alpha=4, out=even)
    torch.add(y[1], y[3], alpha=4, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    out[0].copy_(y[0])
    out[5].copy_(y[3])
