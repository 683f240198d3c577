"""Training snapshots: weights files that `rankiqa.load` reads and that also contain the state needed to resume.

Tensors: NAME.weight, NAME.bias, solver.history.NAME (the momentum buffers), solver.random (int64 (625,), Caffe's random
stream). Other optimizers have solver.state.SLOT.NAME instead of the history. For a library's network, there are also
solver.torch_random and solver.torch_random.cuda (uint8), the state of torch's random numbers.

The metadata are those of a weights file and two more entries. "training" contains iteration, current_step and, unless
the snapshot was converted from Caffe's files, the seed, the settings, the digests of the lists and the numbers of
minibatches used. "sha256" covers everything else, so that a damaged snapshot is never resumed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import operator
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.atomic_files import replacing
from rankiqa.data.json_text import parse_json
from rankiqa.models import weights
from rankiqa.models.file_format import HISTORY, RANDOM, SOLVER
from rankiqa.training.origin import differences, origin_of
from rankiqa.training.solvers import ScheduledOptimizer

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer

DIGEST = "sha256"
STATE = f"{SOLVER}state."  # prefix for the state of optimizers other than Caffe's; SLOT.NAME follows
TORCH_RANDOM = {"cpu": f"{SOLVER}torch_random", "cuda": f"{SOLVER}torch_random.cuda"}


@dataclass(frozen=True)
class Place:
    """The state of training between two iterations, without weights, momentum and iteration number.

    Attributes:
        seen: {phase: number of minibatches used}, without those that workers have only read ahead.
        random: Caffe's random stream, uint32 (625,).
        losses: The last losses.
        mean: Their mean, as shown in the log.
        at: The total number of losses.
        torch_random: {device type: the state of torch's random numbers}, uint8.
        buffers: The network's running statistics, if a later forward pass may change them.
    """

    seen: Mapping[str, int]
    random: np.ndarray
    losses: tuple[np.float32, ...]
    mean: np.float32
    at: int
    torch_random: Mapping[str, Tensor] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


def take(trainer: Trainer, path: str | os.PathLike) -> None:
    """Write a snapshot of a trainer.

    Raises:
        FloatingPointError: If weights are not finite; nothing is written.
        OSError: If the file cannot be written.
    """
    state, optimizer = trainer.model.state_dict(), trainer.optimizer
    history, solver, numbers = {}, {}, {}
    if isinstance(optimizer, ScheduledOptimizer):
        solver = {STATE + key: tensor for key, tensor in optimizer.tensors().items()}
        numbers = {"current_step": 0, "optimizer": optimizer.numbers()}
    else:
        history = {name: optimizer.history(p) for name, p in trainer.model.named_parameters()}
        numbers = {"current_step": optimizer.current_step}
    for name, tensor in {**state, **{HISTORY + name: h for name, h in history.items()}, **solver}.items():
        if not torch.isfinite(tensor).all():
            raise FloatingPointError(
                f"iteration {trainer.iteration}: expected finite weights, got nan or inf in "
                f"{name.removeprefix(HISTORY)}: base_lr too high?"
            )
    if trainer.forward.draws_from_torch:
        solver |= {TORCH_RANDOM[device]: values for device, values in trainer.forward.random.items()}
    training = {
        "iteration": trainer.iteration,
        **numbers,
        "origin": origin_of(trainer),
        "seen": trainer.batches.seen,
        "losses": [float(loss) for loss in trainer.smoothed.losses],
        "smoothed": [float(trainer.smoothed.mean), trainer.smoothed.at],
    }
    random = torch.from_numpy(trainer.random.state().astype(np.int64))
    save(path, weights.describe(trainer.model), state, history, training, random, solver)


def save(
    path: str | os.PathLike,
    metadata: Mapping[str, str],
    parameters: Mapping[str, Tensor],
    history: Mapping[str, Tensor],
    training: Mapping,
    random: Tensor | None = None,
    solver: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a snapshot atomically: to a temporary file in the same folder, which is then renamed.

    Args:
        path: The file.
        metadata: The metadata of a weights file (`weights.describe`).
        parameters: The network's parameters, {NAME.weight or NAME.bias: tensor}, and its running statistics.
        history: Caffe's momentum buffer of each parameter.
        training: Iteration, current_step and the other entries that `restore` needs, as JSON values.
        random: Caffe's random stream, int64 (625,).
        solver: Further tensors by their keys in the file.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}
    tensors |= {HISTORY + name: tensor.detach().cpu().contiguous() for name, tensor in history.items()}
    tensors |= {key: tensor.detach().cpu().contiguous() for key, tensor in (solver or {}).items()}
    if random is not None:
        tensors[RANDOM] = random
    metadata = {**metadata, "training": json.dumps({**training, "digest": DIGEST})}
    metadata[DIGEST] = _digest(metadata, tensors)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # safetensors' type for an error of the system
            raise OSError(errno.EIO, str(error), str(path)) from None
        with open(temporary, "rb") as file:  # sync before renaming, so that a power failure leaves no empty file
            os.fsync(file.fileno())


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) of everything in a snapshot except the digest itself."""
    digest = hashlib.sha256(json.dumps({key: metadata[key] for key in sorted(metadata) if key != DIGEST}).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: str | os.PathLike) -> tuple[dict[str, str], dict, dict[str, Tensor]]:
    """Read and verify a snapshot.

    Args:
        path: The file.

    Returns:
        The metadata, its parsed "training" entry, and {key: tensor}. "training" contains at least `iteration` and
        `current_step`, whole numbers of 0 or more.

    Raises:
        ValueError: For any other file or a damaged snapshot.
    """
    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "no such file"
        raise ValueError(f"{path}: expected a training snapshot, got {what}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{path}: expected a training snapshot, got a damaged file or another kind ({error}); "
            "`rankiqa convert P.solverstate --out S.safetensors` converts Caffe's snapshots"
        ) from None
    if "training" not in metadata:
        raise ValueError(f"{path}: expected a training snapshot, got only weights: --weights {path} starts from them")
    training: Any = None
    try:
        training = parse_json(metadata["training"])
        whole = (training["iteration"], training["current_step"])
        good = all(type(number) is int and 0 <= number < 2**31 for number in whole)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good or ("digest" in training and metadata.get(DIGEST) != _digest(metadata, tensors)):
        raise ValueError(_damaged(path))
    return metadata, training, tensors


@torch.no_grad()
def restore(trainer: Trainer, path: str | Path) -> None:
    """Restore a trainer from a snapshot: see `Trainer.restore`. Everything is checked before anything is changed."""
    metadata, training, tensors = read(path)
    model, origin = trainer.model, training.get("origin")
    expected, got = (model.arch, json.dumps(list(model.fc))), (metadata.get("arch"), metadata.get("fc"))
    if expected != got:
        raise ValueError(f"{path}: expected a snapshot of {expected}, got one of {got}")
    if origin is not None and (different := differences(json.loads(json.dumps(origin_of(trainer))), origin)):
        raise ValueError(f"{path}: a run can only be resumed as it began; {'; '.join(different)}")
    if training["iteration"] > trainer.settings.max_iter:
        raise ValueError(
            f"{path}: expected max_iter of at least its iteration, {training['iteration']}, "
            f"got {trainer.settings.max_iter}"
        )
    state, optimizer, damaged = model.state_dict(), trainer.optimizer, _damaged(path)
    expected_tensors = dict(state)
    if not isinstance(optimizer, ScheduledOptimizer):
        expected_tensors |= {HISTORY + name: p.detach() for name, p in model.named_parameters()}
    others = (RANDOM, *TORCH_RANDOM.values())
    slots = {key.removeprefix(STATE): tensor for key, tensor in tensors.items() if key.startswith(STATE)}
    left = {key: tensor for key, tensor in tensors.items() if key not in others and not key.startswith(STATE)}
    weights.check(left, expected_tensors, Path(path))
    place = None if origin is None else _place(training, tensors, path)
    if isinstance(optimizer, ScheduledOptimizer):  # load() checks the whole state before it changes anything
        try:
            optimizer.load(training["iteration"], slots, training["optimizer"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{damaged} ({' '.join(str(error).split())})") from None
    elif slots:
        raise ValueError(f"{path}: expected the state of Caffe's SGD, got another optimizer's")
    for name, tensor in state.items():
        tensor.copy_(tensors[name])
    if not isinstance(optimizer, ScheduledOptimizer):
        for name, parameter in model.named_parameters():
            optimizer.history(parameter).copy_(tensors[HISTORY + name])
        optimizer.set_iteration(training["iteration"], training["current_step"])
    if place is not None:
        trainer.go_back(place)


def _damaged(path: str | os.PathLike) -> str:
    return f"{path}: expected a whole snapshot, got a damaged one: resume from an earlier one"


def _place(training: Mapping, tensors: Mapping[str, Tensor], path: str | Path) -> Place:
    """Read the rest of the training state from a snapshot. Raises ValueError for malformed entries."""
    try:
        losses = tuple(np.float32(loss) for loss in training["losses"])
        mean, at = training["smoothed"]
        seen = {phase: operator.index(training["seen"][phase]) for phase in ("train", "test")}
        random = tensors[RANDOM]
        if random.dtype != torch.int64 or random.min() < 0 or random.max() > 2**32 - 1 or min(seen.values()) < 0:
            raise ValueError
        random = random.numpy().astype(np.uint32)
        CaffeRandom(0).set_state(random)
        torch_random = {device: tensors[key] for device, key in TORCH_RANDOM.items() if key in tensors}
        if "cpu" in torch_random:
            torch.Generator().set_state(torch_random["cpu"])
        return Place(seen, random, losses, np.float32(mean), operator.index(at), torch_random)
    except (ValueError, KeyError, TypeError, RuntimeError):
        raise ValueError(_damaged(path)) from None


def latest(folder: str | os.PathLike, prefix: str) -> Path | None:
    """Return the snapshot with the highest iteration among FOLDER/PREFIX_iter_N.safetensors, or None."""
    name = re.compile(re.escape(prefix) + r"_iter_(\d+)\.safetensors")
    paths = {int(match[1]): path for path in Path(folder).glob("*.safetensors") if (match := name.fullmatch(path.name))}
    return paths[max(paths)] if paths else None


def copy_weights(model: nn.Module, path: str | Path) -> list[str]:
    """Copy weights by layer name, like `caffe train --weights`.

    Args:
        model: The network that gets the weights.
        path: A weights file or a snapshot.

    Returns:
        The names of the layers that the file lacks.

    Raises:
        ValueError: For a wrong shape, values that are not finite, or if no layer name matches.
    """
    return copy_by_name(model, weights.read(Path(path))[1], path)


def copy_by_name(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> list[str]:
    """Do the work of `copy_weights` for a state dict in memory; `path` is only used in messages."""
    # CAFFE: a layer that the file lacks silently keeps its filler's values (net.cpp); here its name is returned
    own, missing = model.state_dict(), set()
    for name, tensor in own.items():
        if name not in state:
            missing.add(name.rsplit(".", 1)[0])
        elif state[name].shape != tensor.shape:
            raise ValueError(f"{path}: {name}: expected {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
        elif state[name].is_floating_point() != tensor.is_floating_point() or not torch.isfinite(state[name]).all():
            raise ValueError(f"{path}: {name}: expected finite floating-point values, got others")
        else:
            tensor.copy_(state[name])
    layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in own))
    if len(missing) == len(layers):
        raise ValueError(f"{path}: expected some of the layers {', '.join(layers)}, got none of them")
    return [name for name in layers if name in missing]
