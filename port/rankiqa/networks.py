"""VGG-16, AlexNet and Shallow with one output, built from the table in `architectures`.

Input (N, 3, crop, crop) float32, BGR, 0..255, neither mean nor scale taken off; output (N, 1).
State-dict keys are Caffe's layer names: conv1_1.weight, fc8_m.bias.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from rankiqa.architectures import ARCHITECTURES, SOLVER, Architecture, Conv, Linear, Norm, Pool
from rankiqa.caffe_random import CaffeDropout, CaffeRandom
from rankiqa.layers import LRN, MaxPool2d

DROPOUT = 0.5
VERSION = "1"  # of the files that conversion/convert.py writes


class Network(nn.Module):
    """One of the three networks, its parameters not yet set: see `build` and `load`.

    Attributes: arch (name), crop (pixels), fc (names of the fully-connected layers), head (name of the output layer).
    """

    def __init__(self, architecture: Architecture, fc: Sequence[str] | None = None):
        super().__init__()
        self.arch, self.crop = architecture.name, architecture.crop
        self.fc = architecture.fc_names(fc)
        self.head = self.fc[-1]
        self.steps: list[str] = []  # names of the layers, in order
        shapes, names = architecture.parameter_shapes(fc), iter(self.fc)
        unset = {"device": "meta", "dtype": torch.float32}  # PyTorch's own initial values would be thrown away
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
                name = next(names)
                self._add(name, nn.Linear(shapes[name][0][1], layer.out_features, **unset))
                if layer.hidden:
                    number = layer.name.removeprefix("fc")
                    self._add("relu" + number, nn.ReLU(inplace=True))
                    self._add("drop" + number, CaffeDropout(DROPOUT))

    def _add(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self.steps.append(name)

    def use_random(self, random: CaffeRandom | None) -> None:
        """Draw dropout masks from Caffe's stream, or (None) from PyTorch's."""
        for module in self.modules():
            if isinstance(module, CaffeDropout):
                module.random = random

    def _run(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        expected = (3, self.crop, self.crop)
        if x.dim() != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(f"{self.arch} input: expected (N, 3, {self.crop}, {self.crop}), got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"{self.arch} input: expected floating point, BGR 0..255, got {x.dtype}")
        for name in self.steps:
            module = self.get_submodule(name)
            if isinstance(module, nn.Linear):
                x = x.flatten(1)
            x = module(x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 1) of crops (N, 3, crop, crop)."""
        for _, x in self._run(x):  # noqa: B007, B020
            pass
        return x

    def forward_layers(self, x: Tensor) -> dict[str, Tensor]:
        """What each of Caffe's layers computes, {layer name: output} in Caffe's order, before any layer in place."""
        return {name: x.clone() for name, x in self._run(x)}


def _architecture(arch: str) -> Architecture:
    if arch not in ARCHITECTURES:
        raise ValueError(f"arch: expected one of {', '.join(ARCHITECTURES)}, got {arch!r}")
    return ARCHITECTURES[arch]


def build(arch: str, *, fc: Sequence[str] | None = None, random: CaffeRandom | None = None) -> Network:
    """A network with fresh weights as Caffe's fillers make them, on torch's default device.

    arch: "vgg16", "alexnet" or "shallow". fc: names of the fully-connected layers as a caffemodel has them, each the
    plain name or with `_m`; default: the rank nets' (fc6 fc7 fc8_m, or fc1_m).
    random: Caffe's random stream, which the weights are drawn from, bit for bit Caffe's, and later the dropout masks;
    None: the fillers' distributions and PyTorch's dropout, from torch's global random numbers.
    Raises ValueError for another arch or other names.
    Source: upstream's fillers (xavier, zero bias); BVLC's AlexNet; for Shallow, where none are given, xavier.
    """
    architecture = _architecture(arch)
    model = Network(architecture, fc)
    if random is not None:
        model.load_state_dict(random.fill(architecture, fc), assign=True)
        model.use_random(random)
        return model.requires_grad_().to(torch.get_default_device())
    model = model.to_empty(device=torch.get_default_device())
    for layer, name in zip(architecture.parameter_layers, architecture.parameter_shapes(fc), strict=True):
        _fill(model.get_submodule(name), layer)
    return model


def _fill(module: nn.Conv2d | nn.Linear, layer: Conv | Linear) -> None:
    with torch.no_grad():
        if layer.std is None:
            # CAFFE: xavier divides by fan_in alone, PyTorch's by the mean of fan_in and fan_out (filler.hpp)
            bound = math.sqrt(3.0 / module.weight[0].numel())
            module.weight.uniform_(-bound, bound)
        else:
            module.weight.normal_(0.0, layer.std)
        module.bias.fill_(layer.bias)


def load(path: str | os.PathLike) -> Network:
    """The network in a file that conversion/convert.py wrote, or a training's snapshot (.safetensors), in eval mode, on
    the CPU.

    Raises ValueError when the file is missing, is no such file, or does not hold exactly the network's parameters, all
    finite; one message names everything missing, unexpected or of a wrong shape.
    """
    path = Path(path)
    metadata, state = _read(path)
    model = _described(metadata, path)
    _check(state, model.state_dict(), path)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_().eval()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if path.is_dir():
        raise ValueError(f"{path}: expected converted weights (.safetensors), got a folder")
    if not path.exists():
        raise ValueError(f"{path}: expected converted weights (.safetensors), got no such file")
    try:
        with safe_open(path, framework="pt") as file:
            # A copy: the parameters must outlive the file and whatever is written to it later
            keys = (key for key in file.keys() if not key.startswith(SOLVER))  # noqa: SIM118
            return file.metadata() or {}, {key: file.get_tensor(key).clone() for key in keys}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: expected converted weights (.safetensors), got a truncated file or another kind ({error}); "
            "a caffemodel is converted by `python conversion/convert.py MODEL.caffemodel --out W.safetensors`"
        ) from None


def _described(metadata: dict[str, str], path: Path) -> Network:
    """The network that a file's metadata names, its parameters not yet set."""
    if metadata.get("format") != "rankiqa" or not {"arch", "fc"} <= set(metadata):
        raise ValueError(
            f"{path}: expected the metadata that conversion/convert.py writes (format rankiqa, arch, fc), "
            f"got {sorted(metadata) or 'none'}: convert the original's caffemodel"
        )
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path}: expected format version {VERSION}, got {metadata.get('version')}")
    try:
        fc = json.loads(metadata["fc"])
        if not isinstance(fc, list) or not all(isinstance(name, str) for name in fc):
            raise ValueError(f"fc: expected a list of names, got {metadata['fc']}")
        return Network(_architecture(metadata["arch"]), fc)
    except ValueError as error:
        raise ValueError(f"{path}: metadata: {error}") from None


def _check(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unexpected {key}" for key in state if key not in expected]
    for key in expected.keys() & state.keys():
        if state[key].shape != expected[key].shape or state[key].dtype != expected[key].dtype:
            wanted, got = (f"{tuple(t.shape)} {t.dtype}" for t in (expected[key], state[key]))
            wrong.append(f"{key}: expected {wanted}, got {got}")
        elif not torch.isfinite(state[key]).all():
            wrong.append(f"{key}: expected finite values, got nan or inf")
    if wrong:
        raise ValueError(f"{path}: " + "; ".join(sorted(wrong)))
