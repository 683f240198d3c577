"""The registry of networks: a factory and an input specification for each name.

@register("mine", InputSpec(224, channel_order="RGB", value_range=1.0))
def mine(*, fc=None, random=None): ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.input_spec import InputSpec
from rankiqa.models.architectures import ARCHITECTURES, Architecture
from rankiqa.models.backbones import LIBRARIES, build_backbone, is_backbone
from rankiqa.models.efficientnet import INPUT, NAME, efficientnet_lite0
from rankiqa.models.network import build_network


@dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        factory: A function with the keyword arguments `fc` and `random` of `build`. It returns a module whose output is
            (N, 1) and that has the attributes `input_spec` and `meaning`.
        input_spec: The crops that the network takes.
    """

    factory: Callable[..., nn.Module]
    input_spec: InputSpec


_ENTRIES: dict[str, Entry] = {}


def register(name: str, input_spec: InputSpec) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated factory, so that `build(name)` calls it. Raises ValueError if the name exists already."""
    if name in _ENTRIES:
        raise ValueError(f"register: expected a new name, got {name!r}, which is registered")

    def keep(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        _ENTRIES[name] = Entry(factory, input_spec)
        return factory

    return keep


def names() -> tuple[str, ...]:
    """Return the registered names."""
    return tuple(_ENTRIES)


def entry(arch: str) -> Entry:
    """Return the entry of a name. Raises ValueError for an unknown name."""
    if arch not in _ENTRIES:
        others = " or ".join(f"{library}:{arch}" for library in LIBRARIES)
        raise ValueError(f"arch: expected one of {', '.join(_ENTRIES)}, or {others}, got {arch!r}")
    return _ENTRIES[arch]


def build(arch: str, *, fc: Sequence[str] | None = None, random: CaffeRandom | None = None) -> nn.Module:
    """Build a network with new weights, initialised like Caffe's fillers, on torch's default device.

    Args:
        arch: "vgg16", "alexnet", "shallow", "efficientnet_lite0", another registered name, or a library's network
            with one output: "timm:NAME", "torchvision:NAME" (`fc` and `random` do not apply to these).
        fc: Names of the fully-connected layers as in a caffemodel, each plain or with `_m`; None for those of the rank
            nets (fc6 fc7 fc8_m, or fc1_m).
        random: Caffe's random stream. The weights are drawn from it and equal Caffe's bit for bit; dropout masks are
            later drawn from it too. None: the fillers' distributions and PyTorch's dropout, from torch's global random
            numbers.

    Raises:
        ValueError: For an unknown arch or names of other layers.

    Source: upstream's fillers (xavier, zero bias); BVLC's AlexNet; xavier for Shallow, whose fillers are not published.
    """
    if is_backbone(arch):
        return build_backbone(arch).to(torch.get_default_device())
    return entry(arch).factory(fc=fc, random=random)


def architecture(arch: str) -> Architecture:
    """Return the table's row for one of the paper's networks. Raises ValueError for another name."""
    if arch not in ARCHITECTURES:
        raise ValueError(f"arch: expected one of {', '.join(ARCHITECTURES)}, got {arch!r}")
    return ARCHITECTURES[arch]


for _row in ARCHITECTURES.values():
    register(_row.name, InputSpec(_row.crop))(partial(build_network, _row))
register(NAME, INPUT)(efficientnet_lite0)
