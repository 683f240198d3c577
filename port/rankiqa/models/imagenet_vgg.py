"""ImageNet weights of torchvision's VGG-16 for the original's VGG-16, which takes BGR 0..255.

torchvision's network takes RGB 0..1, minus a mean and divided by a deviation. This is linear, so it is folded into the
first convolution. The two networks differ at the image border: torchvision pads with 0 after subtracting the mean,
while the original's network pads the raw pixels with 0, which is black.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankiqa.data.input_spec import IMAGENET_MEAN, IMAGENET_STD
from rankiqa.models.network import Network

PARTS = ("weight", "bias")


@torch.no_grad()
def folded_first_convolution(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Convert a convolution on normalised RGB to one on BGR 0..255 with equal results, except at the border.

    Args:
        weight: (out, 3, kernel, kernel), channels in RGB order.
        bias: (out,).

    Returns:
        The weight, with channels in BGR order, and the bias, both float32.
    """
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    exact = weight.double()
    shift = (exact * (mean / std)).sum((1, 2, 3))
    folded = exact / (255 * std)
    return folded.flip(1).float(), (bias.double() - shift).float()


@torch.no_grad()
def copy_torchvision(model: Network, source: nn.Module) -> list[str]:
    """Copy the weights of torchvision's VGG-16, except the output layer's, into the original's VGG-16.

    Args:
        model: A vgg16.
        source: torchvision's `vgg16` with its weights.

    Returns:
        The names of the layers that keep their own weights: the output layer.

    Raises:
        ValueError: If either network is not VGG-16.
    """
    ours = [name for name in model.steps if _has_weights(model.get_submodule(name))]
    theirs = [module for module in source.modules() if _has_weights(module)]
    if model.arch != "vgg16" or len(theirs) != len(ours):
        raise ValueError(f"expected VGG-16 on both sides, got {model.arch} and {type(source).__name__}")
    for number, (name, module) in enumerate(zip(ours[:-1], theirs[:-1], strict=True)):
        own = [model.get_parameter(f"{name}.{part}") for part in PARTS]
        given = [module.get_parameter(part) for part in PARTS]
        if own[0].shape != given[0].shape:
            raise ValueError(f"{name}: expected {tuple(own[0].shape)}, got {tuple(given[0].shape)}")
        for target, values in zip(own, folded_first_convolution(*given) if number == 0 else given, strict=True):
            target.copy_(values)
    return ours[-1:]


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv2d, nn.Linear))
