"""3 x 3 convolutions by Winograd's algorithm, on the CPU: fewer multiplications, other roundings.

The arithmetic is that of NNPACK, which PyTorch's wheels for x86 and ARM carry; here it is only chosen, and given to
the gradient as well. Outputs differ from PyTorch's usual ones in the last bits (about 1e-6 of the largest). An option
beside the original's way; source: none of the original's (Lavin and Gray 2016 for the algorithm).

Shapes: N images, C channels, H x W the blob.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEWEST_CHANNELS = 16  # of the input: below, there is nothing to win
AT_ONCE = 48 * 64 * 224 * 224  # values, a minibatch of VGG-16's largest blob: their transforms are in memory together


def apply_to(model: nn.Module) -> None:
    """Have a network's 3 x 3 convolutions of stride 1 computed by Winograd's algorithm; the others stay as they are.

    Args:
        model: A float32 network on the CPU.

    Raises:
        ValueError: For a network on another device, of another type or without such a convolution, and where PyTorch
            has no NNPACK that works on this processor.
    """
    first = next(model.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32:
        raise ValueError(f"winograd: expected a float32 network on the CPU, got {first.dtype} on {first.device}")
    if not (torch.backends.nnpack.is_available() and torch._nnpack_available()):
        raise ValueError("winograd: expected a PyTorch with NNPACK and a processor that it knows, got none")
    chosen = [module for module in model.modules() if _suits(module)]
    if not chosen:
        raise ValueError(
            "winograd: expected a network with 3 x 3 convolutions (stride 1, one group, zeros as padding) of "
            f"{FEWEST_CHANNELS} channels or more, got none in {getattr(model, 'arch', type(model).__name__)}"
        )
    for layer in chosen:
        layer.forward = MethodType(_forward, layer)


def _suits(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and module.padding in ((0, 0), (1, 1), (2, 2))
        and module.in_channels >= FEWEST_CHANNELS
    )


def _forward(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return _Convolution.apply(x, layer.weight, layer.bias, layer.padding)  # pyright: ignore[reportReturnType]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.bias = padding, None if bias is None else [len(bias)]
        return _convolved(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), grad, (down, across) = ctx.saved_tensors, grad.contiguous(), ctx.padding
        d_x, (want_x, *want) = None, ctx.needs_input_grad[:3]
        if want_x:  # the gradient of the input is a convolution, too
            turned = weight.transpose(0, 1).flip(2, 3).contiguous()
            d_x = _convolved(grad, turned, None, (2 - down, 2 - across))
        want[1] = want[1] and ctx.bias is not None
        _, d_weight, d_bias = torch.ops.aten.convolution_backward(
            grad, x, weight, ctx.bias, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (False, *want)
        )
        return d_x, d_weight, d_bias, None


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """The convolution of (N, C, H, W), contiguous."""
    images = max(1, AT_ONCE // max(1, x[0].numel(), x[0, 0].numel() * len(weight)))
    if len(x) <= images:
        return torch._nnpack_spatial_convolution(x, weight, bias, padding)
    return torch.cat([torch._nnpack_spatial_convolution(part, weight, bias, padding) for part in x.split(images)])
