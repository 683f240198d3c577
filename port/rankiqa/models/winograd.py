"""3 x 3 convolutions by Winograd's algorithm, on the CPU: a quarter of the products, rounded differently.

An option beside the original's way: outputs, and gradients of inputs and weights, differ from PyTorch's usual ones in
the last bits (about 5e-6 of the largest). The arithmetic is in `winograd_tiles`.

Shapes: N images, C channels in, K channels out, H x W the blob.
"""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rankiqa.models import winograd_tiles

FEWEST_CHANNELS = 16  # of the input: with fewer, the transforms take longer than the products saved


def apply_to(model: nn.Module, *, frozen: bool = False) -> None:
    """Compute a network's 3 x 3 convolutions of stride 1 by Winograd's algorithm; other layers are left as they are.

    Args:
        model: A float32 network on the CPU.
        frozen: Transform the weights now and keep the transforms (four times the weights' memory), instead of at each
            forward pass. The weights must not change afterwards, and the network has no gradients.

    Raises:
        ValueError: For a network on another device, of another type or without such a convolution.
    """
    first = next(model.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32:
        raise ValueError(f"winograd: expected a float32 network on the CPU, got {first.dtype} on {first.device}")
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
        (x, weight), (down, across) = ctx.saved_tensors, ctx.padding
        d_x, d_weight, d_bias = None, None, None
        if ctx.needs_input_grad[0]:  # a convolution, too: of the gradient with the weights turned round
            turned = winograd_tiles.transformed_weights(weight.transpose(0, 1).flip(2, 3))
            d_x = winograd_tiles.convolution(grad, turned, None, (2 - down, 2 - across))
        if ctx.needs_input_grad[1]:
            d_weight = winograd_tiles.weight_gradient(x, grad, ctx.padding)
        if ctx.needs_input_grad[2]:
            d_bias = grad.sum((0, 2, 3))
        return d_x, d_weight, d_bias, None
