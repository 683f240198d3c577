"""Caffe's max pooling and local response normalisation.

Shapes: N images, C channels, H x W pixels; float tensors.
Source: Caffe 1.0 pooling_layer.cpp, lrn_layer.cpp (behaviour, not code).
"""

from __future__ import annotations

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.architectures import pooled

# CAFFE: a window without a single pixel keeps the value the maximum starts from, -FLT_MAX (pooling_layer.cpp)
EMPTY = -torch.finfo(torch.float32).max


def _pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or any(not isinstance(n, Integral) or n < least for n in pair):
        raise ValueError(f"{name}: expected a whole number >= {least} or a (height, width) pair, got {value!r}")
    return int(pair[0]), int(pair[1])


class MaxPool2d(nn.Module):
    """Max pooling as Caffe computes it: the output size rounds up, padding never wins, any padding below the kernel.

    Args: kernel, stride, pad: pixels, an int or a (height, width) pair.
    Input (N, C, H, W), output (N, C, H', W'); a tie sends its gradient to the first maximum, row by row.
    Raises ValueError for a kernel or stride below 1, and for padding that isn't smaller than the kernel.
    """

    def __init__(self, kernel, stride, pad=0):
        super().__init__()
        self.kernel = _pair(kernel, "kernel", 1)
        self.stride = _pair(stride, "stride", 1)
        self.pad = _pair(pad, "pad", 0)
        if any(p >= k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise ValueError(f"pad: expected less than the kernel {self.kernel}, got {self.pad}")

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, pad={self.pad}"

    def forward(self, x: Tensor) -> Tensor:
        size, axes = x.shape[-2:], range(2)
        out = [pooled(size[a], self.kernel[a], self.stride[a], self.pad[a], clip=any(self.pad)) for a in axes]
        if min(out) < 1:
            raise ValueError(f"MaxPool2d: input {tuple(size)} leaves no window for kernel {self.kernel}")
        if all(self._plain(size[a], a) for a in axes):  # the common case: PyTorch's own rounding up is the same
            return F.max_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=True)
        reach = [(out[a] - 1) * self.stride[a] + self.kernel[a] for a in axes]  # what the windows span
        (top, left), (bottom, right) = self.pad, (max(0, reach[a] - size[a] - self.pad[a]) for a in axes)
        x = F.pad(x, (left, right, top, bottom), value=EMPTY)
        return F.max_pool2d(x[..., : reach[0], : reach[1]], self.kernel, self.stride)

    def _plain(self, size: int, axis: int) -> bool:
        kernel, pad = self.kernel[axis], self.pad[axis]
        return self.stride[axis] <= kernel and 2 * pad <= kernel and size + 2 * pad >= kernel


class LRN(nn.Module):
    """Local response normalisation across channels: x * (k + alpha / n * sum of x^2 over n channels) ** -beta.

    Args: local_size n (odd), alpha, beta, k. Input and output (N, C, H, W).
    Raises ValueError for an even or non-positive local_size, as Caffe refuses it.
    """

    def __init__(self, local_size: int, alpha: float, beta: float, k: float = 1.0):
        super().__init__()
        if not isinstance(local_size, Integral) or local_size < 1 or local_size % 2 == 0:
            raise ValueError(f"local_size: expected an odd whole number >= 1, got {local_size!r}")
        self.local_size, self.alpha, self.beta, self.k = local_size, alpha, beta, k

    def extra_repr(self) -> str:
        return f"local_size={self.local_size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.local_size, self.alpha, self.beta, self.k)
