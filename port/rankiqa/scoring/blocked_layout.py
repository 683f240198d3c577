"""Run a network's convolutions in oneDNN's own memory layout on the CPU: the same bits in less time.

For each convolution, PyTorch converts its input, weights and output between rows of pixels and the channel blocks that
oneDNN works on. Here the weights are converted once, and blobs keep oneDNN's layout up to the first layer that needs
another one. Kernels and the order of sums are the same, so the output should be, too; `SameBits` checks it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from rankiqa.caffe.layers import MaxPool2d
from rankiqa.models.network import FLATTEN, Network

# Weight, bias, and (padding, stride, dilation, groups).
Packed = tuple[Tensor, Tensor | None, tuple[Any, Any, Any, int]]


FIRST = 3  # the first passes use the network itself, so that the check does not slow down a single image of 30 crops


def can_block(model: nn.Module) -> TypeGuard[Network]:
    """Return whether a network can use oneDNN's layout: one of the original's networks, float32, on the CPU."""
    if not isinstance(model, Network) or not torch.backends.mkldnn.is_available():
        return False
    first = next(model.parameters())
    return first.device.type == "cpu" and first.dtype == torch.float32


class BlockedLayout:
    """The forward pass of a network with its convolutional part in oneDNN's layout.

    Args:
        model: A network for which `can_block` is true. Its weights are copied, so later changes have no effect.
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
        """Return the scores (N, 1) of crops (N, 3, crop, crop)."""
        x = self.convolutions(x)
        after = self.model.steps.index(FLATTEN)
        for name in self.model.steps[after:]:
            x = self.model.get_submodule(name)(x)
        return x

    def convolutions(self, x: Tensor) -> Tensor:
        """Return the blob before the first fully-connected layer, (N, C, H', W'), for images (N, 3, H, W)."""
        for name in self.model.steps:
            if name == FLATTEN:
                break
            module = self.model.get_submodule(name)
            if name in self.packed:
                weight, bias, geometry = self.packed[name]
                x = x if x.is_mkldnn else x.to_mkldnn()
                x = torch.mkldnn_convolution(x, weight, bias, *geometry)
            elif x.is_mkldnn and not isinstance(module, (nn.ReLU, MaxPool2d)):
                x = module(x.to_dense())  # LRN does not support oneDNN's layout
            else:
                x = module(x)
        return x.to_dense() if x.is_mkldnn else x


class SameBits:
    """A forward pass that uses the blocked layout for each size where it gives the network's own bits.

    After the first image, the first pass of each size is computed both ways. If the results differ, or a layer does not
    support the layout, the network itself computes all passes of that size.

    Args:
        model: A network for which `can_block` is true.
    """

    def __init__(self, model: Network):
        self.model = model
        self.passes = 0  # number of passes so far
        self.same: dict[torch.Size, bool] = {}  # by the shape of a pass: whether both ways give the same bits

    @cached_property
    def blocked(self) -> BlockedLayout | None:
        """Return the blocked forward pass, created at its first use; None if PyTorch's oneDNN lacks it."""
        try:
            return BlockedLayout(self.model)
        except (RuntimeError, AttributeError):
            return None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N, 1) of crops (N, 3, crop, crop), bit for bit those of the network."""
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
