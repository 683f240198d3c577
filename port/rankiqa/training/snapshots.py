"""Snapshots of a training: a weights file that `rankiqa.load` reads, with what is needed to go on beside the weights.

Tensors: NAME.weight, NAME.bias, solver.history.NAME (the momentum buffers), solver.random (int64 (625,), Caffe's random
stream). The metadata is that of a weights file, and "training": iteration, current_step and, unless the snapshot was
made from Caffe's files, the seed, the settings, the lists' digests and how many minibatches were taken.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rankiqa.data.atomic_files import replacing
from rankiqa.models import weights
from rankiqa.models.file_format import HISTORY, RANDOM

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


def take(trainer: Trainer, path: str | os.PathLike) -> None:
    """Write a snapshot of a training."""
    training = {
        "iteration": trainer.iteration,
        "current_step": trainer.optimizer.current_step,
        "origin": trainer.origin(),
        "seen": trainer.seen,
        "losses": [float(loss) for loss in trainer.smoothed.losses],
        "smoothed": [float(trainer.smoothed.mean), trainer.smoothed.at],
    }
    history = {name: trainer.optimizer.history(p) for name, p in trainer.model.named_parameters()}
    random = torch.from_numpy(trainer.random.state().astype(np.int64))
    save(path, weights.describe(trainer.model), dict(trainer.model.named_parameters()), history, training, random)


def save(
    path: str | os.PathLike,
    metadata: Mapping[str, str],
    parameters: Mapping[str, Tensor],
    history: Mapping[str, Tensor],
    training: Mapping,
    random: Tensor | None = None,
) -> None:
    """Write a snapshot, whole or not at all: to a temporary file beside it, then renamed.

    Args:
        path: The file.
        metadata: Of a weights file (`weights.describe`).
        parameters: {NAME.weight or NAME.bias: tensor}.
        history: The momentum buffer of each.
        training: Iteration, current_step and what else `restore` needs, as JSON can hold it.
        random: Caffe's random stream, int64 (625,).
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}
    tensors |= {HISTORY + name: tensor.detach().cpu().contiguous() for name, tensor in history.items()}
    if random is not None:
        tensors[RANDOM] = random
    with replacing(path) as temporary:
        save_file(tensors, temporary, {**metadata, "training": json.dumps(dict(training))})


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


def restore(trainer: Trainer, path: str | Path) -> None:
    """Put a training into the state of a snapshot: see `Trainer.restore`."""
    metadata, training, tensors = read(path)
    model = trainer.model
    expected, got = (model.arch, list(model.fc)), (metadata["arch"], json.loads(metadata["fc"]))
    if expected != got:
        raise ValueError(f"{path}: expected a snapshot of {expected}, got one of {got}")
    origin = training.get("origin")
    if origin is not None and (differences := _differences(json.loads(json.dumps(trainer.origin())), origin)):
        raise ValueError(f"{path}: a run can go on only as it began; {'; '.join(differences)}")
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])
        trainer.optimizer.history(parameter).copy_(tensors[HISTORY + name])
    trainer.optimizer.set_iteration(training["iteration"], training["current_step"])
    if origin is None:
        return
    trainer.random.set_state(tensors[RANDOM].numpy().astype(np.uint32))
    trainer.seen = dict(training["seen"])
    smoothed = trainer.smoothed
    smoothed.losses = [np.float32(loss) for loss in training["losses"]]
    mean, smoothed.at = training["smoothed"]
    smoothed.mean = np.float32(mean)


def _differences(own: Mapping, theirs: Mapping, where: str = "") -> list[str]:
    """What differs between two trees of settings, as far as both have it (older snapshots have less)."""
    found = []
    for key in own.keys() & theirs.keys():
        if isinstance(own[key], Mapping) and isinstance(theirs[key], Mapping):
            found += _differences(own[key], theirs[key], f"{key} ")
        elif own[key] != theirs[key]:
            found.append(f"{where}{key}: expected {own[key]}, got {theirs[key]}")
    return sorted(found)


def latest(folder: str | os.PathLike, prefix: str) -> Path | None:
    """The whole snapshot of the highest iteration among FOLDER/PREFIX_iter_N.safetensors, or None."""
    name = re.compile(re.escape(prefix) + r"_iter_(\d+)\.safetensors")
    found = {int(match[1]): path for path in Path(folder).glob("*.safetensors") if (match := name.fullmatch(path.name))}
    return found[max(found)] if found else None


def copy_weights(model: nn.Module, path: str | Path) -> list[str]:
    """Copy weights by layer name, as `caffe train --weights` does; returns the layers that the file lacks.

    Args:
        model: Takes the weights.
        path: A weights file or a snapshot.

    Raises:
        ValueError: For a wrong shape, or when no layer has a name in common.
    """
    # CAFFE: a layer that the file does not name keeps its filler's values without a word (net.cpp); here it is returned
    _, state = weights.read(Path(path))
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
