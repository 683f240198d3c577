"""Dense scores: the network runs once over the whole image, fully convolutionally, instead of on random crops.

The fully-connected layers of VGG-16, AlexNet and Shallow act as convolutions as large as their input, with the same
weights. A larger image therefore gives a map of scores, one for each crop position on a grid with the network's stride.
An image of the size of the crop gives exactly one score, the network's output. For larger images the scores differ a
little from those of crops, because padding and incomplete pooling windows are at the border of the image instead of the
border of each crop.

Shapes: H x W the image, H' x W' the map. The original has no such option; the idea is from Long, Shelhamer and Darrell
2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.caffe.layers import MaxPool2d
from rankiqa.data.crops import take_crops
from rankiqa.data.images import ImageError, check_image
from rankiqa.data.input_spec import InputSpec
from rankiqa.models.modes import evaluating, full_float32
from rankiqa.models.network import FLATTEN, Network
from rankiqa.models.scorer import Scorer

TILE = 1024  # pixels by which a tile's side may exceed the crop; limits the memory for large images


@dataclass(frozen=True, eq=False)
class DenseScore:
    """The dense scores of an image.

    Attributes:
        score: The mean over the map.
        map: float32 (H', W'); [i, j] is the score of the square of `crop` pixels whose top left corner is at (i *
            stride, j * stride).
        stride: Distance between neighbouring scores in pixels.
        crop: Side in pixels of the square that a score depends on.
    """

    score: float
    map: np.ndarray
    stride: int
    crop: int


def score_dense(model: Scorer, image: np.ndarray, *, forward: Callable[[Tensor], Tensor] | None = None) -> DenseScore:
    """Score an image by running the network over all of it.

    The result depends only on the weights, the image and the machine. Images with a side above TILE + crop are scored
    tile by tile, on a fixed grid.

    Args:
        model: VGG-16, AlexNet or Shallow.
        image: uint8 (H, W, 3), RGB, both sides at least the crop.
        forward: Computes a map (1, 1, H', W') from (1, 3, H, W) with the model's weights; None: `dense_forward`.

    Returns:
        The dense scores.

    Raises:
        ValueError: For another network, an invalid image array, or a result that is not finite.
        ImageError: The image is smaller than the crop.
    """
    if not isinstance(model, Network):
        raise ValueError(f"dense scores: expected vgg16, alexnet or shallow, got {type(model).__name__}")
    check_image(image)
    crop, stride = model.crop, stride_of(model)
    height, width = image.shape[:2]
    if min(height, width) < crop:
        raise ImageError(f"expected both sides at least {crop} pixels (the crop), got {height} x {width} (H x W)")
    rows, columns = ((side - crop) // stride + 1 for side in (height, width))
    scores = np.empty((rows, columns), np.float32)
    step = TILE // stride  # scores per tile along a side
    with torch.inference_mode(), evaluating(model), full_float32():
        for i in range(0, rows, step):
            for j in range(0, columns, step):
                part = scores[i : i + step, j : j + step]
                part[:] = _tile(model, forward, image, (i, j), part.shape, stride)
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got nan or inf: the weights do not fit the image's range")
    return DenseScore(float(scores.mean(dtype=np.float64)), scores, stride, crop)


def stride_of(model: Network) -> int:
    """Return the stride of the network's convolutional part: input pixels between neighbouring outputs."""
    stride = 1
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, MaxPool2d)):
            stride *= module.stride[0]
    return stride


def _tile(
    model: Network,
    forward: Callable[[Tensor], Tensor] | None,
    image: np.ndarray,
    first: tuple[int, int],
    shape: tuple[int, int],
    stride: int,
) -> np.ndarray:
    """Return the scores of one tile, float32, computed from its pixels and a margin around them.

    With the margin, each score equals that of a run over the whole image: through the padding of the layers, a score
    depends on at most half a crop around its square.

    Args:
        model: The network.
        forward: As in `score_dense`.
        image: uint8 (H, W, 3), RGB.
        first: Row and column of the tile's first score in the map.
        shape: Rows and columns of the tile's scores.
        stride: Distance between neighbouring scores in pixels.
    """
    margin = -(-(model.crop // 2) // stride) * stride
    start = [max(0, place * stride - margin) for place in first]
    end = [(place + number - 1) * stride + model.crop + margin for place, number in zip(first, shape, strict=True)]
    pixels = np.ascontiguousarray(image[start[0] : end[0], start[1] : end[1]])
    x = _input(pixels, model.input_spec).to(next(model.parameters()).device)
    scores = (forward(x) if forward else dense_forward(model, x))[0, 0]
    row, column = (place - begin // stride for place, begin in zip(first, start, strict=True))
    return scores[row : row + shape[0], column : column + shape[1]].cpu().numpy()


def _input(pixels: np.ndarray, spec: InputSpec) -> Tensor:
    """Return a whole tile as the network's input, (1, 3, H, W)."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    square[:height, :width] = pixels
    whole = InputSpec(side, spec.channel_order, spec.value_range, spec.mean, spec.std)
    return take_crops(square, np.zeros((1, 2), int), whole)[..., :height, :width]


def dense_forward(model: Network, x: Tensor) -> Tensor:
    """Return the score maps (N, 1, H', W') of images (N, 3, H, W), both sides at least the crop."""
    for name in model.steps:
        if name == FLATTEN:
            break
        x = model.get_submodule(name)(x)
    return dense_head(model, x)


def dense_head(model: Network, x: Tensor) -> Tensor:
    """Return the score maps (N, 1, H', W') from the blob before the first fully-connected layer (N, C, ..).

    Each position is a row of a matrix product, because a convolution of this size would rearrange its weights in every
    call.
    """
    side = model.flatten_side
    height, width = (size - side + 1 for size in x.shape[2:])
    rows = F.unfold(x, side).transpose(1, 2)  # (N, H' W', C side side)
    for name in model.steps[model.steps.index(FLATTEN) + 1 :]:
        rows = model.get_submodule(name)(rows)
    return rows.transpose(1, 2).unflatten(2, (height, width))
