"""A network's convolutions in oneDNN's own memory layout, on the CPU: the same bits in less time.

For each convolution PyTorch rearranges its input, its weights and its output between rows of pixels and the blocks of
channels that oneDNN works on. Here weights are rearranged once, and blobs stay as oneDNN leaves them up to the first
layer that needs them otherwise. Kernels and sums are the same, so the output is; `SameBits` looks whether it is.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from rankiqa.caffe.layers import MaxPool2d
from rankiqa.models.network import FLATTEN, Network

# Weight, bias, then padding, stride, dilation and groups
Packed = tuple[Tensor, Tensor | None, tuple[Any, Any, Any, int]]


FIRST = 3  # passes that the network itself computes: a single image of 30 crops is not slowed down by the comparison


def can_block(model: nn.Module) -> TypeGuard[Network]:
    """Whether a network's convolutions can run in oneDNN's layout: one of the original's, float32, on the CPU."""
    if not isinstance(model, Network) or not torch.backends.mkldnn.is_available():
        return False
    first = next(model.parameters())
    return first.device.type == "cpu" and first.dtype == torch.float32


class BlockedLayout:
    """The forward pass of a network, its convolutional part in oneDNN's layout.

    Args:
        model: Of which `can_block` is true; the weights are copied, later changes to them have no effect.
    """

    def __init__(self, model: Network):
        self.model = model
        self.packed: dict[str, Packed] = {}
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                geometry = (module.padding, module.stride, module.dilation, module.groups)
                weight = torch._C._nn.mkldnn_reorder_conv2d_weight(module.weight.detach().to_mkldnn(), *geometry)  # pyright: ignore
                bias = None if module.bias is None else module.bias.detach().to_mkldnn()
                self.packed[name] = (weight, bias, geometry)

    def __call__(self, x: Tensor) -> Tensor:
        """Scores (N, 1) of crops (N, 3, crop, crop)."""
        x = self.convolutions(x)
        after = self.model.steps.index(FLATTEN)
        for name in self.model.steps[after:]:
            x = self.model.get_submodule(name)(x)
        return x

    def convolutions(self, x: Tensor) -> Tensor:
        """The blob before the first fully-connected layer (N, C, H', W') of images (N, 3, H, W)."""
        for name in self.model.steps:
            if name == FLATTEN:
                break
            module = self.model.get_submodule(name)
            if name in self.packed:
                weight, bias, geometry = self.packed[name]
                x = x if x.is_mkldnn else x.to_mkldnn()
                x = torch.mkldnn_convolution(x, weight, bias, *geometry)
            elif x.is_mkldnn and not isinstance(module, (nn.ReLU, MaxPool2d)):
                x = module(x.to_dense())  # LRN
            else:
                x = module(x)
        return x.to_dense() if x.is_mkldnn else x


class SameBits:
    """The blocked forward pass wherever it gives the network's own bits.

    After the first image, the next pass of each size goes through both. Where they differ, or a layer does not take the
    layout, the network itself computes passes of that size.

    Args:
        model: Of which `can_block` is true.
    """

    def __init__(self, model: Network):
        self.model = model
        self.passes = 0  # so far
        self.same: dict[torch.Size, bool] = {}  # by the shape of a pass

    @cached_property
    def blocked(self) -> BlockedLayout | None:
        """The blocked forward pass, made when it is first needed; None where PyTorch's oneDNN lacks it."""
        try:
            return BlockedLayout(self.model)
        except (RuntimeError, AttributeError):
            return None

    def __call__(self, x: Tensor) -> Tensor:
        """Scores (N, 1) of crops (N, 3, crop, crop), bit for bit the network's."""
        self.passes += 1
        if self.passes > FIRST and self.blocked is not None:
            if self.same.get(x.shape):
                return self.blocked(x)
            if x.shape not in self.same:
                expected = self.model(x)
                try:
                    self.same[x.shape] = torch.equal(self.blocked(x), expected)
                except RuntimeError:
                    self.same[x.shape] = False
                return expected
        return self.model(x)
