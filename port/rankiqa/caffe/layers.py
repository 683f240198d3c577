"""Caffe's max pooling, local response normalisation and dropout.

Shapes: N images, C channels, H x W pixels; float tensors.
Source: Caffe 1.0 pooling_layer.cpp, lrn_layer.cpp, dropout_layer.cpp (behaviour, not code).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.caffe.pooling import pooled_size
from rankiqa.caffe.random_stream import CaffeRandom

# CAFFE: the maximum of a window without pixels keeps its initial value, -FLT_MAX (pooling_layer.cpp)
EMPTY = -torch.finfo(torch.float32).max
AT_ONCE = 1 << 18  # blob values per part: the L2 cache of a core holds a few such parts


def _pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, Integral) or n < least for n in pair):
        raise ValueError(f"{name}: expected a whole number >= {least} or a (height, width) pair, got {value!r}")
    return int(pair[0]), int(pair[1])


class MaxPool2d(nn.Module):
    """Max pooling as in Caffe: the output size rounds up, and padding never is the maximum.

    Input (N, C, H, W), output (N, C, H', W'). If values tie, the gradient goes to the first maximum in row order.

    Args:
        kernel: Size in pixels, an int or a (height, width) pair.
        stride: Pixels, an int or a pair.
        pad: Pixels, an int or a pair; any padding smaller than the kernel.

    Attributes:
        same_as_torch: Whether torch's ceil_mode gives Caffe's output: without padding and gaps between windows.

    Raises:
        ValueError: For a kernel or stride below 1, or padding that is not smaller than the kernel.

    Source: Caffe 1.0 pooling_layer.cpp.
    """

    def __init__(self, kernel, stride, pad=0):
        super().__init__()
        self.kernel = _pair(kernel, "kernel", 1)
        self.stride = _pair(stride, "stride", 1)
        self.pad = _pair(pad, "pad", 0)
        if any(p >= k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise ValueError(f"pad: expected less than the kernel {self.kernel}, got {self.pad}")
        self.same_as_torch = not any(self.pad) and all(s <= k for s, k in zip(self.stride, self.kernel, strict=True))

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, pad={self.pad}"

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, H', W'). Raises ValueError if no window fits."""
        if self.same_as_torch:
            try:
                if keeps_little(x):
                    return _MaxPool.apply(x, self.kernel, self.stride)[0]  # pyright: ignore[reportOptionalSubscript]
                return F.max_pool2d(x, self.kernel, self.stride, ceil_mode=True)
            except RuntimeError:  # torch raises it for an input without any window
                if min(self._output_size(x)) >= 1:
                    raise
                raise self._no_window(x) from None
        return self._padded(x)

    def _output_size(self, x: Tensor) -> list[int]:
        size, clip = x.shape[-2:], any(self.pad)
        return [pooled_size(size[a], self.kernel[a], self.stride[a], self.pad[a], clip) for a in range(2)]

    def _no_window(self, x: Tensor) -> ValueError:
        return ValueError(f"MaxPool2d: input {tuple(x.shape[-2:])} leaves no window for kernel {self.kernel}")

    def _padded(self, x: Tensor) -> Tensor:
        """Pool in the general case. F.pad adds the padding, since torch's pooling allows at most half the kernel."""
        size, axes, out = x.shape[-2:], range(2), self._output_size(x)
        if min(out) < 1:
            raise self._no_window(x)
        reach = [(out[a] - 1) * self.stride[a] + self.kernel[a] for a in axes]  # the extent of all windows together
        (top, left), (bottom, right) = self.pad, (max(0, reach[a] - size[a] - self.pad[a]) for a in axes)
        x = F.pad(x, (left, right, top, bottom), value=EMPTY)
        return F.max_pool2d(x[..., : reach[0], : reach[1]], self.kernel, self.stride)


class LRN(nn.Module):
    """Local response normalisation across channels: x * (k + alpha / n * sum of x^2 over n channels) ** -beta.

    Input and output (N, C, H, W).

    Args:
        local_size: n, an odd number of channels.
        alpha: As in a prototxt, before the division by n.
        beta: The exponent.
        k: The constant in the sum; Caffe's default is 1.

    Attributes:
        as_torch: Whether training also uses PyTorch's own operations. Their last bits differ from those computed here.

    Raises:
        ValueError: For an even or non-positive local_size, which Caffe refuses too, and for values that are not finite
            numbers.

    Source: Caffe 1.0 lrn_layer.cpp.
    """

    def __init__(self, local_size: int, alpha: float, beta: float, k: float = 1.0):
        super().__init__()
        odd = isinstance(local_size, Integral) and not isinstance(local_size, bool)
        if not odd or local_size < 1 or local_size % 2 == 0:
            raise ValueError(f"local_size: expected an odd whole number >= 1, got {local_size!r}")
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value!r}")
        self.local_size, self.alpha, self.beta, self.k = local_size, alpha, beta, k
        self.as_torch = False

    def extra_repr(self) -> str:
        return f"local_size={self.local_size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

    def forward(self, x: Tensor) -> Tensor:
        settings = (self.local_size, self.alpha, self.beta, self.k)
        if not self.as_torch and keeps_little(x):
            return _Normalise.apply(x, settings)  # pyright: ignore[reportReturnType]
        return F.local_response_norm(x, *settings)


def keeps_little(x: Tensor, *others: Tensor) -> bool:
    """Return whether to compute a layer in a way that saves little memory for its gradients: training on the CPU.

    Args:
        x: The layer's input blob, (N, C, H, W).
        others: Parameters that may need gradients even if the blob does not.
    """
    return (
        not torch.compiler.is_compiling()
        and torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in (x, *others))
        and x.dim() == 4
        and x.numel() > 0
        and x.device.type == "cpu"
        and x.dtype == torch.float32
    )


def _layout(x: Tensor) -> torch.memory_format:
    rows = x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last)
    return torch.contiguous_format if rows else torch.channels_last


def _parts(x: Tensor) -> Iterator[slice]:
    """Split the images of (N, C, H, W) into parts of about AT_ONCE values."""
    step = max(1, AT_ONCE // x[0].numel())
    return (slice(first, first + step) for first in range(0, len(x), step))


def pooled_with_places(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return torch's max pooling with ceil_mode of (N, C, H, W), and the indices (of H x W) of the maxima, as int32."""

    def pool(part: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.aten.max_pool2d_with_indices(part, kernel, stride, (0, 0), (1, 1), True)

    shape = (len(x), *pool(x[:1])[0].shape[1:])
    out = torch.empty(shape, memory_format=_layout(x))
    places = torch.empty(shape, dtype=torch.int32, memory_format=_layout(x))
    for part in _parts(x):
        out[part], places[part] = pool(x[part])
    return out, places


class _MaxPool(torch.autograd.Function):
    """torch's max pooling with ceil_mode. It saves the indices of the maxima, as int32, and not the input."""

    @staticmethod
    def forward(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return pooled_with_places(x, kernel, stride)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, kernel, stride = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.settings, ctx.shape, ctx.layout = (kernel, stride, (0, 0), (1, 1), True), x.shape, _layout(x)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (places,), grad = ctx.saved_tensors, grads[0]
        back = torch.ops.aten.max_pool2d_with_indices_backward
        d_x = torch.empty(ctx.shape, memory_format=ctx.layout)
        if torch.is_grad_enabled():  # second derivatives are wanted
            return back(grad, d_x, *ctx.settings, places.long()), None, None
        for part in _parts(d_x):
            back.grad_input(grad[part], d_x[part], *ctx.settings, places[part].long(), grad_input=d_x[part])
        return d_x, None, None


class _Normalise(torch.autograd.Function):
    """`F.local_response_norm`, summed in the same order. It saves only the input."""

    @staticmethod
    def forward(x: Tensor, settings: tuple[int, float, float, float]) -> Tensor:
        out = torch.empty_like(x)
        for part in _parts(x):
            torch.div(x[part], _power(_scale(x[part], settings), settings[2]), out=out[part])
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.settings = inputs[1]

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,), (size, alpha, beta, k) = ctx.saved_tensors, ctx.settings
        if torch.is_grad_enabled():  # second derivatives are wanted
            out = F.local_response_norm(x, size, alpha, beta, k)
            return torch.autograd.grad(out, x, grad, create_graph=True)[0], None
        d_x = torch.empty_like(x)
        for part in _parts(x):
            values, scale = x[part], _scale(x[part], ctx.settings)
            direct = _power(scale, beta).reciprocal_().mul_(grad[part])
            through = _window_sums(scale.reciprocal_().mul_(direct).mul_(values), size)
            torch.sub(direct, through.mul_(values), alpha=2 * alpha * beta / size, out=d_x[part])
        return d_x, None


def _scale(x: Tensor, settings: tuple[int, float, float, float]) -> Tensor:
    size, alpha, _, k = settings
    return _window_sums(x * x, size).div_(size).mul_(alpha).add_(k)


def _power(scale: Tensor, beta: float) -> Tensor:
    """Return scale ** beta. The usual beta, 3/4, uses square roots, which are faster than pow."""
    if beta != 0.75:
        return scale.pow(beta)
    root = scale.sqrt()
    return root.sqrt().mul_(root)


def _window_sums(x: Tensor, size: int) -> Tensor:
    """Return, for each channel of (N, C, H, W), the sum over the `size` channels around it, from first to last."""
    total, channels = torch.zeros_like(x), x.shape[1]
    for shift in range(-(size // 2), size // 2 + 1):
        low, high = max(0, -shift), channels - max(0, shift)
        if low < high:
            total[:, low:high].add_(x[:, low + shift : high + shift])
    return total


class Dropout(nn.Module):
    """Dropout as in Caffe: in training, kept values are multiplied by 1 / (1 - ratio).

    Input and output have the same shape, which can be any.

    Args:
        ratio: Share of values set to zero, 0 or more and below 1.
        random: Caffe's random stream for the masks, or None for PyTorch's own random numbers.

    Attributes:
        share: None, or (first, end, total) if the input holds only rows first..end of a minibatch of `total` rows. The
            mask is then drawn for the whole minibatch.

    Raises:
        ValueError: For a ratio out of range.

    Source: Caffe 1.0 dropout_layer.cpp.
    """

    def __init__(self, ratio: float, random: CaffeRandom | None = None):
        super().__init__()
        if not isinstance(ratio, Real) or not 0 <= ratio < 1:
            raise ValueError(f"dropout ratio: expected 0 or more and below 1, got {ratio!r}")
        self.ratio, self.random = ratio, random
        self.share: tuple[int, int, int] | None = None
        self.scale = float(np.float32(1.0 / (1.0 - float(np.float32(ratio)))))

    def extra_repr(self) -> str:
        return f"ratio={self.ratio}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if self.random is None:
            return nn.functional.dropout(x, self.ratio, True)
        first, end, total = self.share or (0, x.shape[0], x.shape[0])
        draw = _mask_outside if torch.compiler.is_compiling() else _mask
        mask: Tensor = draw(self.random, (total, *x.shape[1:]), self.ratio, slice(first, end), x.device)
        return x * mask * self.scale


def _mask(random: CaffeRandom, shape: tuple[int, ...], ratio: float, rows: slice, device: torch.device) -> Tensor:
    mask = torch.from_numpy(random.dropout_mask(shape, ratio))[rows]
    if device.type == "cuda":  # a copy from pinned memory does not wait for the GPU
        return mask.pin_memory().to(device, non_blocking=True)
    return mask.to(device)


# torch.compile must not trace the stream. torch.compiler.disable would load the compiler whenever this is imported
_mask_outside = torch._disable_dynamo(_mask)
