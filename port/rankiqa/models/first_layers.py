"""A first convolution and the max pooling behind it, in training: blobs with every pixel are never kept.

The gradient of a pooled value goes to one pixel of the convolution's output, and the crops need no gradient. So the
weights' gradient is a sum over the pooled values, of the crop's pixels around that one pixel: for Shallow a sixteenth
of the products of a gradient with every pixel.

Shapes: N crops, C channels, H x W pixels; K channels out, H' x W' convolved; k x k the kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.caffe.layers import MaxPool2d, keeps_little, pooled_with_places

PART = 12  # crops that are convolved at once, so that memory never holds the output of the whole minibatch


def are_fused(x: Tensor, conv: nn.Module, pool: nn.Module) -> bool:
    """Return whether `convolve_and_pool` can compute two layers for crops (N, C, H, W): in training, on the CPU.

    It needs PyTorch's own convolution: Caffe's products (`caffe.blas`) sum in their own order.
    """
    return (
        type(conv) is nn.Conv2d
        and isinstance(pool, MaxPool2d)
        and pool.same_as_torch
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding == (0, 0)
        and conv.groups == 1
        and conv.bias is not None
        and "forward" not in vars(conv)
        and keeps_little(x, conv.weight)
        and not x.requires_grad
    )


def convolve_and_pool(x: Tensor, conv: nn.Conv2d, pool: MaxPool2d) -> Tensor:
    """Return the pooled output of a convolution of crops (N, C, H, W), if `are_fused`."""
    return _Fused.apply(x, conv.weight, conv.bias, pool.kernel, pool.stride)[0]  # pyright: ignore[reportOptionalSubscript]


class _Fused(torch.autograd.Function):
    """It saves the crops and, as int32, the index (of H' x W') of each pooled value."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor, kernel: tuple[int, int], stride: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        parts = [pooled_with_places(F.conv2d(part, weight, bias), kernel, stride) for part in x.split(PART)]
        pooled, places = zip(*parts, strict=True)
        return torch.cat(pooled), torch.cat(places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, weight, bias, kernel, stride = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, weight, bias, output[1])
        ctx.pooling = kernel, stride

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, bias, places), grad = ctx.saved_tensors, grads[0]
        _, for_weight, for_bias, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # second derivatives are wanted
            kernel, stride = ctx.pooling
            out = F.max_pool2d(F.conv2d(x, weight, bias), kernel, stride, ceil_mode=True)
            wanted = [tensor for tensor, needed in ((weight, for_weight), (bias, for_bias)) if needed]
            found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
            d_weight, d_bias = (next(found) if needed else None for needed in (for_weight, for_bias))
        else:
            d_weight = _weight_gradient(x, grad, places, weight.shape[-1]) if for_weight else None
            d_bias = grad.sum((0, 2, 3)) if for_bias else None
        return None, d_weight, d_bias, None, None


def _weight_gradient(x: Tensor, grad: Tensor, places: Tensor, side: int) -> Tensor:
    """Return the weights' gradient (K, C, k, k) of crops (N, C, H, W), for pooled gradients and places (N, K, ..)."""
    c, h, w = x.shape[1:]
    across, width = w - side + 1, side * c
    total = x.new_zeros((side, grad.shape[1], width))
    for crop, slopes, at in zip(x.permute(0, 2, 3, 1), grad.flatten(2), places.flatten(2), strict=True):
        # A row for each pixel: the values of k neighbours in a row of the crop. One crop at a time stays in the cache
        rows = crop.contiguous().as_strided((h, across, width), (w * c, c, 1)).reshape(h * across, width)
        at, slopes = at.contiguous(), slopes.contiguous()
        for below in range(side):
            total[below] += F.embedding_bag(at, rows[below * across :], per_sample_weights=slopes, mode="sum")
    return total.view(side, -1, side, c).permute(1, 3, 0, 2).contiguous()
