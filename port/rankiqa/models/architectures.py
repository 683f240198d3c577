"""The three networks of the paper as one table. This module does not import torch.

Names are Caffe's layer names, in Caffe's order. The name of a fully-connected layer may have the suffix `_m`. The
original's nets rename the layers that they re-initialise, because `caffe train --weights` copies by name.

Source: paper section 3 and supplement table 5; BVLC's AlexNet; upstream src/{RankIQA,FT}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankiqa.caffe.fillers import XAVIER, Filler
from rankiqa.caffe.pooling import pooled_size

SUFFIX = "_m"


def _fillers(std: float | None, bias: float) -> tuple[Filler, Filler]:
    weight = XAVIER if std is None else Filler("gaussian", std=std)
    return weight, Filler("constant", value=bias)


@dataclass(frozen=True)
class Conv:
    """A convolution with bias; weight (out, in / group, kernel, kernel). Filler: gaussian with `std`, else xavier."""

    name: str
    out_channels: int
    kernel: int
    stride: int = 1
    pad: int = 0
    group: int = 1
    relu: bool = True
    std: float | None = None
    bias: float = 0.0

    @property
    def fillers(self) -> tuple[Filler, Filler]:
        """How weight and bias are filled."""
        return _fillers(self.std, self.bias)


@dataclass(frozen=True)
class Pool:
    """Max pooling whose output size rounds up, as in Caffe."""

    name: str
    kernel: int
    stride: int


@dataclass(frozen=True)
class Norm:
    """Local response normalisation (LRN) across channels."""

    name: str
    local_size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75


@dataclass(frozen=True)
class Linear:
    """A fully-connected layer with bias; weight (out, in). ReLU and dropout 0.5 follow a hidden layer."""

    name: str
    out_features: int
    hidden: bool = True
    std: float | None = None
    bias: float = 0.0

    @property
    def fillers(self) -> tuple[Filler, Filler]:
        """How weight and bias are filled."""
        return _fillers(self.std, self.bias)


@dataclass(frozen=True)
class Architecture:
    """A network: its name, the side of its square input in pixels, and its layers."""

    name: str
    crop: int
    layers: tuple[Conv | Pool | Norm | Linear, ...]

    @property
    def conv_layers(self) -> tuple[Conv, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, Conv))

    @property
    def linear_layers(self) -> tuple[Linear, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, Linear))

    @property
    def parameter_layers(self) -> tuple[Conv | Linear, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, (Conv, Linear)))

    def fc_names(self, fc: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the names of the fully-connected layers, by default those of the rank nets (`_m` on the output).

        Raises ValueError unless each name is the table's name, with or without `_m`.
        """
        base = [layer.name for layer in self.linear_layers]
        if fc is None:
            return (*base[:-1], base[-1] + SUFFIX)
        names = tuple(fc)
        if len(names) != len(base) or [name.removesuffix(SUFFIX) for name in names] != base:
            expected = " ".join(f"{name}[{SUFFIX}]" for name in base)
            raise ValueError(f"{self.name} fully-connected layers: expected {expected}, got {' '.join(names)}")
        return names

    def parameter_shapes(self, fc: Sequence[str] | None = None) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return {layer name: (weight shape, bias shape)} with Caffe's shapes, in Caffe's order."""
        shapes, names = {}, iter(self.fc_names(fc))
        channels, side = 3, self.crop
        for layer in self.layers:
            if isinstance(layer, Conv):
                kernel = (layer.kernel, layer.kernel)
                shapes[layer.name] = ((layer.out_channels, channels // layer.group, *kernel), (layer.out_channels,))
                channels, side = layer.out_channels, (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
            elif isinstance(layer, Pool):
                side = pooled_size(side, layer.kernel, layer.stride)
            elif isinstance(layer, Linear):
                shapes[next(names)] = ((layer.out_features, channels * side * side), (layer.out_features,))
                channels, side = layer.out_features, 1
        return shapes


def _vgg16() -> tuple:
    layers: list = []
    for block, (width, convs) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        layers += [Conv(f"conv{block}_{i}", width, 3, pad=1) for i in range(1, convs + 1)]
        layers.append(Pool(f"pool{block}", 2, 2))
    return (*layers, Linear("fc6", 4096), Linear("fc7", 4096), Linear("fc8", 1, hidden=False))


_ALEXNET = (
    Conv("conv1", 96, 11, stride=4, std=0.01),
    Norm("norm1"),
    Pool("pool1", 3, 2),
    Conv("conv2", 256, 5, pad=2, group=2, std=0.01, bias=0.1),
    Norm("norm2"),
    Pool("pool2", 3, 2),
    Conv("conv3", 384, 3, pad=1, std=0.01),
    Conv("conv4", 384, 3, pad=1, group=2, std=0.01, bias=0.1),
    Conv("conv5", 256, 3, pad=1, group=2, std=0.01, bias=0.1),
    Pool("pool5", 3, 2),
    Linear("fc6", 4096, std=0.005, bias=0.1),
    Linear("fc7", 4096, std=0.005, bias=0.1),
    Linear("fc8", 1, hidden=False, std=0.01),
)

# The supplement gives no fillers for this network; xavier is our choice.
_SHALLOW = (
    Conv("conv1", 32, 3),
    Pool("pool1", 4, 4),
    Conv("conv2", 32, 3),
    Pool("pool2", 4, 4),
    Conv("conv3", 32, 3),
    Conv("conv4", 32, 12, relu=False),
    Linear("fc1", 1, hidden=False),
)

ARCHITECTURES = {
    "vgg16": Architecture("vgg16", 224, _vgg16()),
    "alexnet": Architecture("alexnet", 227, _ALEXNET),
    "shallow": Architecture("shallow", 227, _SHALLOW),
}


def known_nets(arch: Architecture) -> dict[str, tuple[str, ...]]:
    """Return {name of one of the original's nets: names of its fully-connected layers}, for the option --like."""
    base = [layer.name for layer in arch.linear_layers]
    renamed = tuple(name + SUFFIX for name in base[:-1])
    rank = arch.fc_names()
    return {"live-rank": rank, "tid2013-rank": rank, "live-ft": tuple(base), "tid2013-ft": (*renamed, base[-1])}
