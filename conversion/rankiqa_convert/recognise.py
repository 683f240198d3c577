"""Recognise the network in a model file, or the layers that it shares with one.

If a file does not fit, one error lists everything that differs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caffemodel import Blob, CaffemodelError, Net
from caffemodel.message import text_of
from rankiqa.models.architectures import ARCHITECTURES, SUFFIX, Architecture, Conv, known_nets
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa_convert.structure import check_types, differences, read_prototxt, states_structure, v2_layers
from rankiqa_convert.trained_on import meaning_of, trained_on

CHECKED, NOT_STATED = "checked", "not stated"


@dataclass(frozen=True)
class Match:
    """A recognised model file.

    Attributes:
        arch: The network.
        fc: The names of the fully-connected layers in the file.
        blobs: {layer: (weight, bias)} in Caffe's order.
        structure: How the layer list was compared: CHECKED, NOT_STATED or "checked against FILE".
        trained_on: Which of upstream's nets it is; None if that is not known.
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
        """The meaning of the score, as far as it is known."""
        return meaning_of(self.trained_on)


def recognise(
    net: Net, path: str, arch: str | None = None, *, prototxt: Path | None = None, claimed: str | None = None
) -> Match:
    """Identify the network in a model file, check that it computes the same, and return its weights.

    Args:
        net: The content of the model file.
        path: The file's name, for error messages.
        arch: The expected network; None: the best match.
        prototxt: A network description that is compared with the table, too.
        claimed: The value of --trained-on.

    Raises:
        CaffemodelError: If the file differs. The message lists every missing and unexpected layer, every wrong shape,
            and every difference in what the layer list computes.
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
        problems.insert(0, f"{outputs} outputs at {fc[-1]}, expected 1 (a classifier?)")
    structure, different = _structure(net, architecture, fc, prototxt)
    problems += different
    if problems:
        raise CaffemodelError(f"{path}: expected a {architecture.name} of RankIQA, got: " + "; ".join(problems))
    name = trained_on(net, path, architecture, fc, claimed)
    return Match(architecture, fc, _pairs(layers, shapes), structure, name)


def _structure(
    net: Net, architecture: Architecture, fc: tuple[str, ...], prototxt: Path | None, until: str | None = None
) -> tuple[str, list[str]]:
    """Return (how the structure was checked, all differences)."""
    checked, problems = NOT_STATED, []
    if states_structure(v2_layers(net)):
        checked, problems = CHECKED, differences(net, architecture, fc, until)
    else:
        problems = check_types(net, layer_types(architecture, fc))
    if prototxt is not None:
        checked = f"checked against {text_of(os.fsencode(prototxt.name))}"
        problems += [
            f"{prototxt.name}: {text}" for text in differences(read_prototxt(prototxt), architecture, fc, until)
        ]
    return checked, problems


def shared(
    net: Net, path: str, like: str, arch: str | None = None, *, prototxt: Path | None = None, claimed: str | None = None
) -> Match:
    """Return the layers that a file shares by name with one of the original's nets, as `caffe train --weights` copies.

    Args:
        net: The content of the model file, for example ImageNet's VGG-16.
        path: The file's name, for error messages.
        like: The original's net: live-rank ..
        arch: The network; None: the best match.
        prototxt: A network description that is compared with the table, too.
        claimed: The value of --trained-on.

    Raises:
        CaffemodelError: If `like` is unknown, no layer is shared, a shared layer has another shape (Caffe fails, too),
            or the structure differs up to the last shared layer.
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
    target_fc = tuple(nets[like])
    if target_fc[-1] in common:
        name = trained_on(net, path, architecture, target_fc, claimed)
    elif claimed in (None, like):
        name = like  # without the file's output layer the score gets its meaning from the net that is trained
    else:
        raise CaffemodelError(f"{path}: --trained-on: expected {like}, the net of --for, got {claimed}")
    return Match(architecture, target_fc, _pairs(layers, common), structure, name)


def _pairs(layers: dict[str, list[Blob]], names: Iterable[str]) -> dict[str, tuple[Blob, Blob]]:
    """Return {layer: (weight, bias)}."""
    return {name: (layers[name][0], layers[name][1]) for name in names}


def _with_blobs(net: Net) -> tuple[dict[str, list[Blob]], list[str]]:
    """Return ({layer: its blobs}, problems) for the layers with weights."""
    layers, problems = {}, []
    for layer in net.layers:
        if layer.blobs and layer.name in layers:
            problems.append(f"layer {layer.name} occurs twice")
        if layer.blobs:
            layers[layer.name] = layer.blobs
    return layers, problems


def _misfits(name: str, blobs: list[Blob], expected: tuple) -> list[str]:
    """Describe the differences between a layer's blobs and the expected shapes."""
    if len(blobs) != 2:
        return [f"{name}: expected 2 blobs (weight, bias), got {len(blobs)}"]
    return [
        f"{name} blob {k}: expected {shape}, got {blob.shape}"
        for k, (blob, shape) in enumerate(zip(blobs, expected, strict=True))
        if not blob.fits(shape)
    ]


def _fc_name(base: str, layers: dict) -> str:
    """Return the name of a fully-connected layer in a file, with or without the suffix."""
    return base + SUFFIX if base + SUFFIX in layers and base not in layers else base


def _likeliest(layers: dict, path: str) -> Architecture:
    """Return the network that shares the most layer names and shapes with a file."""

    def likeness(architecture: Architecture) -> tuple[int, int]:
        """Return (number of layers with the same name and weight shape, number with the same name)."""
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
    """Return {layer name: Caffe's type} of the layers with weights, in order."""
    convs = {layer.name for layer in architecture.layers if isinstance(layer, Conv)}
    return {name: "Convolution" if name in convs else "InnerProduct" for name in architecture.parameter_shapes(fc)}
