"""VGG-16, AlexNet and Shallow with one output, built from the table in `architectures`.

Input (N, 3, crop, crop) float32, BGR, 0..255, without mean subtraction or scaling; output (N, 1).
State-dict keys are Caffe's layer names: conv1_1.weight, fc8_m.bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankiqa.caffe.layers import LRN, Dropout, MaxPool2d
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.input_spec import InputSpec
from rankiqa.models import first_layers
from rankiqa.models.architectures import Architecture, Conv, Linear, Norm, Pool
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.scorer import Scorer, check_input

DROPOUT = 0.5
FLATTEN = "flatten"  # the step from the last (C, H, W) blob to the first vector; Caffe has no such layer


class Network(Scorer):
    """One of the three networks. The constructor does not set the parameters: see `build` and `load`.

    Args:
        architecture: A row of `ARCHITECTURES`.
        fc: Names of the fully-connected layers, each plain or with `_m`, or None for those of the rank nets.
        meaning: The meaning of the score.

    Attributes:
        arch: Name of the architecture.
        input_spec: The crops that the network takes.
        fc: Names of the fully-connected layers.
        head: Name of the output layer.
        meaning: The meaning of the score.
        flatten_side: Side of the input blob of the first fully-connected layer.
        steps: Names of the modules in execution order.

    Raises:
        ValueError: If `fc` contains names of other layers.
    """

    def __init__(
        self,
        architecture: Architecture,
        fc: Sequence[str] | None = None,
        meaning: ScoreMeaning | None = None,
    ):
        super().__init__()
        self.arch, self.input_spec = architecture.name, InputSpec(architecture.crop)
        self.fc = architecture.fc_names(fc)
        self.head = self.fc[-1]
        self.meaning = meaning or ScoreMeaning()
        self.steps: list[str] = []
        shapes, names = architecture.parameter_shapes(fc), iter(self.fc)
        unset: dict[str, Any] = {"device": "meta", "dtype": torch.float32}  # torch's initial values are never used
        for layer in architecture.layers:
            if isinstance(layer, Conv):
                channels = shapes[layer.name][0][1] * layer.group
                geometry = (layer.kernel, layer.stride, layer.pad)
                conv = nn.Conv2d(channels, layer.out_channels, *geometry, groups=layer.group, **unset)
                self._add(layer.name, conv)
                if layer.relu:
                    self._add("relu" + layer.name.removeprefix("conv"), nn.ReLU(inplace=True))
            elif isinstance(layer, Pool):
                self._add(layer.name, MaxPool2d(layer.kernel, layer.stride))
            elif isinstance(layer, Norm):
                self._add(layer.name, LRN(layer.local_size, layer.alpha, layer.beta))
            else:
                if FLATTEN not in self.steps:
                    self._add(FLATTEN, nn.Flatten())
                    self.flatten_side = math.isqrt(shapes[self.fc[0]][0][1] // channels_before(architecture))
                name = next(names)
                self._add(name, nn.Linear(shapes[name][0][1], layer.out_features, **unset))
                if layer.hidden:
                    number = layer.name.removeprefix("fc")
                    self._add("relu" + number, nn.ReLU(inplace=True))
                    self._add("drop" + number, Dropout(DROPOUT))
        self._steps_of_training = self._pooled_first()

    def _add(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self.steps.append(name)

    def _pooled_first(self) -> list[str]:
        """Return `steps` with each ReLU moved behind the max pooling after it, where it processes fewer values.

        The two commute, including gradients: if a window's maximum is not positive, neither order passes a gradient.
        """
        order = list(self.steps)
        for i, (first, second) in enumerate(zip(self.steps, self.steps[1:], strict=False)):
            if isinstance(getattr(self, first), nn.ReLU) and isinstance(getattr(self, second), MaxPool2d):
                order[i : i + 2] = second, first
        return order

    def use_random(self, random: CaffeRandom | None) -> None:
        """Draw dropout masks from Caffe's random stream, or from PyTorch's random numbers if `random` is None."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.random = random

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, 1) of crops (N, 3, crop, crop). Use `check_input` to validate the input."""
        steps = self._steps_of_training if self.training else self.steps
        if self.training:
            first, second, *others = steps
            pair = getattr(self, first), getattr(self, second)
            if first_layers.are_fused(x, *pair):
                x, steps = first_layers.convolve_and_pool(x, *pair), others
        for name in steps:
            x = getattr(self, name)(x)  # torch.compile before 2.5 does not support get_submodule
        return x

    def forward_layers(self, x: Tensor) -> dict[str, Tensor]:
        """Return the output of each of Caffe's layers, {layer name: blob} in Caffe's order, before in-place changes.

        Args:
            x: Crops, (N, 3, crop, crop) float.

        Raises:
            ValueError: For another shape or dtype.
        """
        check_input(self, x)
        blobs: dict[str, Tensor] = {}
        for name in self.steps:
            x = self.get_submodule(name)(x)
            if name != FLATTEN:
                blobs[name] = x.clone()  # the next layer may modify x in place
        return blobs


def channels_before(architecture: Architecture) -> int:
    """Return the number of channels of the first fully-connected layer's input blob."""
    return architecture.conv_layers[-1].out_channels


def fill(architecture: Architecture, random: CaffeRandom, fc: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Initialise every parameter of a network with Caffe's fillers: {NAME.weight, NAME.bias: tensor} in Caffe's order.

    This advances the stream exactly as building the net in Caffe does. It can thus also skip the words of a solver's
    TEST net, whose values are never used.
    """
    filled = {}
    shapes = architecture.parameter_shapes(fc)
    for layer, (name, pair) in zip(architecture.parameter_layers, shapes.items(), strict=True):
        for part, shape, filler in zip(("weight", "bias"), pair, layer.fillers, strict=True):
            filled[f"{name}.{part}"] = torch.from_numpy(random.fill(shape, filler))
    return filled


def build_network(
    architecture: Architecture, *, fc: Sequence[str] | None = None, random: CaffeRandom | None = None
) -> Network:
    """Build a network with new weights: see `rankiqa.build`."""
    model = Network(architecture, fc)
    if random is not None:
        model.load_state_dict(fill(architecture, random, fc), assign=True)
        model.use_random(random)
        return model.requires_grad_().to(torch.get_default_device())
    model = model.to_empty(device=torch.get_default_device())
    for layer, name in zip(architecture.parameter_layers, architecture.parameter_shapes(fc), strict=True):
        _fill_like_caffe(model.get_submodule(name), layer)
    return model


@torch.no_grad()
def _fill_like_caffe(module: nn.Module, layer: Conv | Linear) -> None:
    """Fill a layer with the fillers' distributions, from torch's random numbers."""
    assert isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None
    weight, bias = layer.fillers
    if weight.type == "xavier":
        # CAFFE: xavier divides by fan_in only; PyTorch's divides by the mean of fan_in and fan_out (filler.hpp)
        bound = math.sqrt(3.0 / module.weight[0].numel())
        module.weight.uniform_(-bound, bound)
    else:
        module.weight.normal_(0.0, weight.std)
    module.bias.fill_(bias.value)
