"""Which of the three networks a model file holds, or what it shares with one; else an error that lists what differs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from caffemodel import Blob, CaffemodelError, Net
from rankiqa.models.architectures import ARCHITECTURES, SUFFIX, Architecture, Conv, known_nets


@dataclass(frozen=True)
class Match:
    """arch; fc: the fully-connected layers' names as in the file; blobs: {layer: (weight, bias)} in Caffe's order."""

    arch: Architecture
    fc: tuple[str, ...]
    blobs: dict[str, tuple[Blob, Blob]]

    @property
    def head(self) -> str:
        """The name of the output layer."""
        return self.fc[-1]


def recognise(net: Net, path: str, arch: str | None = None) -> Match:
    """Tell the network and take its weights; `arch` names the one to expect.

    Layers without blobs (data, ReLU, loss ..) are passed over. Raises CaffemodelError that lists every missing and
    every unexpected layer and every wrong shape.
    """
    layers, problems = _with_blobs(net)
    architecture = ARCHITECTURES[arch] if arch else _likeliest(layers, path)
    fc = tuple(_fc_name(layer.name, layers) for layer in architecture.linear_layers)
    shapes = architecture.parameter_shapes(fc)
    plain = {layer.name for layer in architecture.linear_layers}
    for name, expected in shapes.items():
        if name not in layers:
            problems.append(f"missing {name}" + (f" (or {name}{SUFFIX})" if name in plain else ""))
        else:
            problems += _misfits(name, layers[name], expected)
    problems += [f"unexpected {name}" for name in layers if name not in shapes]
    outputs = math.prod(layers[fc[-1]][-1].shape) if fc[-1] in layers else 1
    if outputs != 1:
        problems.insert(0, f"{outputs} outputs at {fc[-1]} where RankIQA has 1 (a classifier?)")
    if problems:
        raise CaffemodelError(f"{path}: expected a {architecture.name} of RankIQA, got: " + "; ".join(problems))
    return Match(architecture, fc, {name: tuple(layers[name]) for name in shapes})


def shared(net: Net, path: str, like: str, arch: str | None = None) -> Match:
    """The layers that a file has in common by name with a net of the original (`like` live-rank ..), whatever else is
    there: what `caffe train --weights` copies, as from ImageNet's VGG-16.

    Raises CaffemodelError for another `like`, no layer in common, or (as Caffe) a common one of another shape.
    """
    layers, problems = _with_blobs(net)
    architecture = ARCHITECTURES[arch] if arch else _likeliest(layers, path)
    nets = known_nets(architecture)
    if like not in nets:
        raise CaffemodelError(f"--for: expected one of {', '.join(nets)}, got {like}")
    shapes = architecture.parameter_shapes(nets[like])
    common = [name for name in shapes if name in layers]
    if not common:
        raise CaffemodelError(f"{path}: expected some of the layers {', '.join(shapes)}, got none of them")
    for name in common:
        problems += _misfits(name, layers[name], shapes[name])
    if problems:
        raise CaffemodelError(
            f"{path}: expected layers that fit {architecture.name}'s {like}, got: {'; '.join(problems)}"
        )
    return Match(architecture, tuple(nets[like]), {name: tuple(layers[name]) for name in common})


def _with_blobs(net: Net) -> tuple[dict[str, list[Blob]], list[str]]:
    """({layer: its blobs}, problems)."""
    layers, problems = {}, []
    for layer in net.layers:
        if layer.blobs and layer.name in layers:
            problems.append(f"layer {layer.name} stands there twice")
        if layer.blobs:
            layers[layer.name] = layer.blobs
    return layers, problems


def _misfits(name: str, blobs: list[Blob], expected: tuple) -> list[str]:
    if len(blobs) != 2:
        return [f"{name}: expected 2 blobs (weight, bias), got {len(blobs)}"]
    return [
        f"{name} blob {k}: expected {shape}, got {blob.shape}"
        for k, (blob, shape) in enumerate(zip(blobs, expected, strict=True))
        if not blob.fits(shape)
    ]


def _fc_name(base: str, layers: dict) -> str:
    return base + SUFFIX if base + SUFFIX in layers and base not in layers else base


def _likeliest(layers: dict, path: str) -> Architecture:
    """The network that most of the layers' names and shapes speak for."""

    def likeness(architecture: Architecture) -> tuple[int, int]:
        fc = [_fc_name(layer.name, layers) for layer in architecture.linear_layers]
        shapes = architecture.parameter_shapes(fc)
        known = [name for name in shapes if name in layers]
        return sum(layers[name][0].fits(shapes[name][0]) for name in known), len(known)

    best = max(ARCHITECTURES.values(), key=likeness)
    if not any(likeness(best)):
        some = ", ".join(list(layers)[:8]) or "none with weights"
        raise CaffemodelError(
            f"{path}: expected the layers of one of {', '.join(ARCHITECTURES)} (conv1_1 or conv1 ..), got {some}"
        )
    return best


def layer_types(architecture: Architecture, fc: tuple[str, ...]) -> dict[str, str]:
    """{layer name: Caffe's type} of the layers with weights, in order."""
    convs = {layer.name for layer in architecture.layers if isinstance(layer, Conv)}
    return {name: "Convolution" if name in convs else "InnerProduct" for name in architecture.parameter_shapes(fc)}
