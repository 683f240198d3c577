"""State dicts of other programs: .safetensors, and what torch.save writes, without running what a file says.

Trainings save them in several wrappings: beside an optimizer's state, or under names that begin with a wrapper's.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# Where the checkpoints of timm, Lightning, torchvision's references and others keep the network
ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "params")


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict: of a .safetensors, of a file of torch.save, or of a checkpoint that has one among its entries.

    Raises:
        ValueError: For any other file; one that holds code (a pickled module) is refused, and nothing of it runs.
    """
    if path.is_dir():
        raise ValueError(f"{path}: expected a state dict, got a folder")
    if not path.exists():
        raise ValueError(f"{path}: expected a state dict, got no such file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a state dict (.safetensors), got: {error}") from None
    state = _found(content)
    if state is None:
        got = type(content).__name__
        if isinstance(content, dict):
            got += f" of {', '.join(sorted(map(str, content))[:5]) or 'nothing'}"
        raise ValueError(f"{path}: expected a state dict of tensors, alone or as {' or '.join(ENTRIES[:3])}, got {got}")
    return state


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors and old pickles, which are refused here
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # of many kinds; torch's own words advise to load without weights_only, which runs code
        raise ValueError(
            f"{path}: expected a state dict of tensors alone (torch.save of model.state_dict()), got a damaged file or "
            "one with other objects, which is not opened, since it can run code"
        ) from None


def _found(content: Any) -> dict[str, Tensor] | None:
    for state in (content, *(content.get(name) for name in ENTRIES)) if isinstance(content, dict) else ():
        if isinstance(state, dict) and state and all(map(_is_plain, state, state.values())):
            return dict(state)
    return None


def _is_plain(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def under_names(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """A state dict without the words that all its names begin with, where only that brings it to the names wanted.

    DataParallel puts "module." before each name, torch.compile "_orig_mod.", a wrapper the name of its attribute.
    """
    found = dict(state)
    while found and not found.keys() & set(names):
        first = {name.partition(".")[0] for name in found}
        if len(first) > 1 or not all("." in name for name in found):
            return dict(state)
        found = {name.partition(".")[2]: value for name, value in found.items()}
    return found


def misfit(own: Tensor, given: Tensor) -> str | None:
    """What keeps a tensor from being copied to a network's own; None: nothing."""
    if own.shape != given.shape:
        return f"expected {tuple(own.shape)}, got {tuple(given.shape)}"
    if own.is_floating_point() != given.is_floating_point() or given.is_complex():
        return f"expected {own.dtype}, got {given.dtype}"
    if not torch.isfinite(given).all():
        return "expected finite values, got nan or inf"
    return None
