"""Which of the three networks a model file holds, or what it shares with one; else an error that lists what differs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caffemodel import Blob, CaffemodelError, Net
from rankiqa.models.architectures import ARCHITECTURES, SUFFIX, Architecture, Conv, known_nets
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa_convert.structure import check_types, differences, read_prototxt, states_structure, v2_layers
from rankiqa_convert.trained_on import meaning_of, trained_on

CHECKED, NOT_STATED = "checked", "not stated"


@dataclass(frozen=True)
class Match:
    """What a model file was recognised as.

    Attributes:
        arch: The network.
        fc: The fully-connected layers' names as in the file.
        blobs: {layer: (weight, bias)} in Caffe's order.
        structure: How far its layer list was compared: CHECKED, NOT_STATED or "checked against FILE".
        trained_on: Which of upstream's nets it is; None where that is not known.
    """

    arch: Architecture
    fc: tuple[str, ...]
    blobs: dict[str, tuple[Blob, Blob]]
    structure: str = NOT_STATED
    trained_on: str | None = None

    @property
    def head(self) -> str:
        """The name of the output layer."""
        return self.fc[-1]

    @property
    def meaning(self) -> ScoreMeaning:
        """What the score means, as far as it is known."""
        return meaning_of(self.trained_on)


def recognise(
    net: Net, path: str, arch: str | None = None, *, prototxt: Path | None = None, claimed: str | None = None
) -> Match:
    """Tell which network a file holds and take its weights, when it computes what that network computes.

    Args:
        net: The model file.
        path: Its name, for errors.
        arch: The network to expect; None: the likeliest.
        prototxt: A network's description to compare with the table, too.
        claimed: What --trained-on says.

    Raises:
        CaffemodelError: Which lists every missing and every unexpected layer, every wrong shape, and everything that
            the layer list computes otherwise.
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
    structure, different = _structure(net, architecture, fc, prototxt)
    problems += different
    if problems:
        raise CaffemodelError(f"{path}: expected a {architecture.name} of RankIQA, got: " + "; ".join(problems))
    name = trained_on(net, path, architecture, fc, claimed)
    return Match(architecture, fc, _pairs(layers, shapes), structure, name)


def _structure(
    net: Net, architecture: Architecture, fc: tuple[str, ...], prototxt: Path | None, until: str | None = None
) -> tuple[str, list[str]]:
    """(how far the structure was checked, every difference)."""
    checked, problems = NOT_STATED, []
    if states_structure(v2_layers(net)):
        checked, problems = CHECKED, differences(net, architecture, fc, until)
    else:
        problems = check_types(net, layer_types(architecture, fc))
    if prototxt is not None:
        checked = f"checked against {prototxt.name}"
        problems += [
            f"{prototxt.name}: {text}" for text in differences(read_prototxt(prototxt), architecture, fc, until)
        ]
    return checked, problems


def shared(
    net: Net, path: str, like: str, arch: str | None = None, *, prototxt: Path | None = None, claimed: str | None = None
) -> Match:
    """The layers that a file has in common by name with a net of the original: what `caffe train --weights` copies.

    Args:
        net: The model file, as ImageNet's VGG-16.
        path: Its name, for errors.
        like: The net of the original: live-rank ..
        arch: The network; None: the likeliest.
        prototxt: A network's description to compare with the table, too.
        claimed: What --trained-on says.

    Raises:
        CaffemodelError: For another `like`, no layer in common, or (as Caffe) a common one of another shape; and for a
            structure that is another up to the last layer that is taken.
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
    own = tuple(_fc_name(layer.name, layers) for layer in architecture.linear_layers)
    fc = tuple(wanted if wanted in layers else other for wanted, other in zip(nets[like], own, strict=True))
    structure, different = _structure(net, architecture, fc, prototxt, common[-1])
    problems += different
    if problems:
        raise CaffemodelError(
            f"{path}: expected layers that fit {architecture.name}'s {like}, got: {'; '.join(problems)}"
        )
    taken = tuple(nets[like])
    # Without an output layer there is no score yet: it will mean what the training makes of it
    name = trained_on(net, path, architecture, taken, claimed) if taken[-1] in common else like
    return Match(architecture, taken, _pairs(layers, common), structure, name)


def _pairs(layers: dict[str, list[Blob]], names: Iterable[str]) -> dict[str, tuple[Blob, Blob]]:
    return {name: (layers[name][0], layers[name][1]) for name in names}


def _with_blobs(net: Net) -> tuple[dict[str, list[Blob]], list[str]]:
    """({layer: its blobs}, problems)."""
    layers, problems = {}, []
    for layer in net.layers:
        if layer.blobs and layer.name in layers:
            problems.append(f"layer {layer.name} occurs twice")
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
    if 2 * likeness(best)[0] < len(best.parameter_layers):
        some = " ".join(list(layers)[:8]) + (" .." if len(layers) > 8 else "")
        known = "; ".join(
            f"{a.name}: {len(a.parameter_layers)} layers, {a.parameter_layers[0].name} .. {a.parameter_layers[-1].name}"
            for a in ARCHITECTURES.values()
        )
        raise CaffemodelError(
            f"{path}: {len(layers)} layers with weights{', ' if some else ''}{some}: no network of RankIQA ({known})"
        )
    return best


def layer_types(architecture: Architecture, fc: tuple[str, ...]) -> dict[str, str]:
    """{layer name: Caffe's type} of the layers with weights, in order."""
    convs = {layer.name for layer in architecture.layers if isinstance(layer, Conv)}
    return {name: "Convolution" if name in convs else "InnerProduct" for name in architecture.parameter_shapes(fc)}
