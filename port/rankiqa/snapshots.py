"""Snapshots of a training: a weights file that `rankiqa.load` reads, with what is needed to go on beside the weights.

Tensors: NAME.weight, NAME.bias, solver.history.NAME (the momentum buffers), solver.random (int64 (625,), Caffe's random
stream). The metadata is that of converted weights, and "training": iteration, current_step and, unless the snapshot was
made from Caffe's files, the seed, the lists' digests and how many minibatches were taken.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rankiqa.architectures import SOLVER
from rankiqa.files import replacing
from rankiqa.networks import VERSION, Network

HISTORY, RANDOM = f"{SOLVER}history.", f"{SOLVER}random"


def save(
    path: str | os.PathLike,
    arch: str,
    fc: tuple[str, ...],
    parameters: Mapping[str, Tensor],
    history: Mapping[str, Tensor],
    training: Mapping,
    random: Tensor | None = None,
) -> None:
    """Write a snapshot, whole or not at all: to a temporary file beside it, then renamed."""
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}
    tensors |= {HISTORY + name: tensor.detach().cpu().contiguous() for name, tensor in history.items()}
    if random is not None:
        tensors[RANDOM] = random
    metadata = {"format": "rankiqa", "version": VERSION, "arch": arch, "fc": json.dumps(list(fc)), "head": fc[-1]}
    metadata["training"] = json.dumps(dict(training))
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def read(path: str | os.PathLike) -> tuple[dict[str, str], dict, dict[str, Tensor]]:
    """(metadata, its "training", {key: tensor}) of a snapshot. Raises ValueError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "training" not in metadata:
                raise ValueError(f"{path}: expected a snapshot of a training, got weights alone, or another file")
            return metadata, json.loads(metadata["training"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a snapshot of a training, got: {error}") from None


def latest(folder: str | os.PathLike, prefix: str) -> Path | None:
    """The whole snapshot of the highest iteration among FOLDER/PREFIX_iter_N.safetensors, or None."""
    name = re.compile(re.escape(prefix) + r"_iter_(\d+)\.safetensors")
    found = {int(match[1]): path for path in Path(folder).glob("*.safetensors") if (match := name.fullmatch(path.name))}
    return found[max(found)] if found else None


def copy_weights(model: Network, path: str | Path) -> list[str]:
    """Copy weights by layer name, as `caffe train --weights` does; returns the layers that the file lacks.

    path: a .safetensors from conversion/convert.py, or a snapshot. Raises ValueError for a wrong shape, or when no
    layer has a name in common.
    """
    # CAFFE: a layer that the file does not name keeps its filler's values without a word (net.cpp); here it is told
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected converted weights (.safetensors), got: {error}") from None
    own, missing = model.state_dict(), set()
    for name, tensor in own.items():
        if name not in state:
            missing.add(name.rsplit(".", 1)[0])
        elif state[name].shape != tensor.shape:
            raise ValueError(f"{path}: {name}: expected {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
        else:
            tensor.copy_(state[name])
    layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in own))
    if len(missing) == len(layers):
        raise ValueError(f"{path}: expected some of the layers {', '.join(layers)}, got none of them")
    return [name for name in layers if name in missing]
