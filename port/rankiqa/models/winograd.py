"""3 x 3 convolutions on the CPU with Winograd's algorithm, which needs fewer multiplications and rounds differently.

The computation is done by NNPACK, which is part of PyTorch's wheels for x86 and ARM. This module selects it, also for
gradients. Outputs differ from PyTorch's usual ones in the last bits (about 1e-6 of the largest value). It is optional;
the original has no such thing. Source of the algorithm: Lavin and Gray 2016.

Shapes: N images, C channels, H x W pixels of the blob.
"""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEWEST_CHANNELS = 16  # input channels; with fewer, the algorithm is not faster
AT_ONCE = 48 * 64 * 224 * 224  # values whose transforms are in memory together: a minibatch of VGG-16's largest blob


def apply_to(model: nn.Module) -> None:
    """Make a network compute its 3 x 3 convolutions of stride 1 with Winograd's algorithm. Others stay unchanged.

    Args:
        model: A float32 network on the CPU.
        frozen: Transform the weights now and keep the transforms (four times the weights' memory), instead of at each
            forward pass. The weights must not change afterwards, and the network has no gradients.

    Raises:
        ValueError: If the network is on another device, has another dtype or has no such convolution, or if PyTorch has
            no NNPACK that supports this processor.
    """
    first = next(model.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32:
        raise ValueError(f"winograd: expected a float32 network on the CPU, got {first.dtype} on {first.device}")
    if not (torch.backends.nnpack.is_available() and torch._nnpack_available()):
        raise ValueError("winograd: expected a PyTorch with NNPACK and a processor that it supports, got none")
    chosen = [module for module in model.modules() if _suits(module)]
    if not chosen:
        raise ValueError(
            "winograd: expected a network with 3 x 3 convolutions (stride 1, one group, zeros as padding) of "
            f"{FEWEST_CHANNELS} channels or more, got none in {getattr(model, 'arch', type(model).__name__)}"
        )
    for layer in chosen:
        if frozen:
            transformed = winograd_tiles.transformed_weights(layer.weight.detach())
            layer.forward = MethodType(partial(_frozen_forward, transformed), layer)
        else:
            layer.forward = MethodType(_forward, layer)


def _suits(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and module.padding in ((0, 0), (1, 1), (2, 2))
        and module.in_channels >= FEWEST_CHANNELS
    )


def _frozen_forward(transformed: Tensor, layer: nn.Conv2d, x: Tensor) -> Tensor:
    return winograd_tiles.convolution(x, transformed, layer.bias, cast(tuple[int, int], layer.padding))


def _forward(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return _Convolution.apply(x, layer.weight, layer.bias, layer.padding)  # pyright: ignore[reportReturnType]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return winograd_tiles.convolution(x, winograd_tiles.transformed_weights(weight), bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), grad, (down, across) = ctx.saved_tensors, grad.contiguous(), ctx.padding
        d_x, (want_x, *want) = None, ctx.needs_input_grad[:3]
        if want_x:  # the gradient of the input is also a convolution
            rotated = weight.transpose(0, 1).flip(2, 3).contiguous()
            d_x = _convolved(grad, rotated, None, (2 - down, 2 - across))
        want[1] = want[1] and ctx.bias is not None
        _, d_weight, d_bias = torch.ops.aten.convolution_backward(
            grad, x, weight, ctx.bias, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (False, *want)
        )
        return d_x, d_weight, d_bias, None


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """Convolve a contiguous (N, C, H, W) blob, in parts if it is large."""
    images = max(1, AT_ONCE // max(1, x[0].numel(), x[0, 0].numel() * len(weight)))
    if len(x) <= images:
        return torch._nnpack_spatial_convolution(x, weight, bias, padding)
    return torch.cat([torch._nnpack_spatial_convolution(part, weight, bias, padding) for part in x.split(images)])
