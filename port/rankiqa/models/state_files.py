"""Read state dicts of other programs, from .safetensors and torch.save files, without running code from a file.

Training programs store them in several ways: next to an optimizer's state, or with a wrapper's prefix in the names.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# Keys under which checkpoints of timm, Lightning, torchvision's references and others store the network
ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "params")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors file, a torch.save file, or a checkpoint that contains one.

    Args:
        path: The file.

    Raises:
        ValueError: For any other file. A file that contains code (a pickled module) is refused, and none of it runs.
    """
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        what = "a folder" if os.path.isdir(path) else "a device or a pipe" if os.path.exists(path) else "no such file"
        raise ValueError(f"{path}: expected a state dict, got {what}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a state dict (.safetensors), got: {error}") from None
    state = _state_in(content)
    if state is None:
        got = type(content).__name__
        if isinstance(content, dict):
            got += f" of {', '.join(sorted(map(str, content))[:5]) or 'nothing'}"
        raise ValueError(f"{path}: expected a state dict of tensors, alone or as {' or '.join(ENTRIES[:3])}, got {got}")
    return state


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they concern sparse tensors and old pickles, which are refused here
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # of many types; torch's own message suggests loading without weights_only, which runs code
        raise ValueError(
            f"{path}: expected a state dict of tensors alone (torch.save of model.state_dict()), got a damaged file or "
            "one with other objects, which is not opened, since it can run code"
        ) from None


def _state_in(content: Any) -> dict[str, Tensor] | None:
    for state in (content, *(content.get(name) for name in ENTRIES)) if isinstance(content, dict) else ():
        if isinstance(state, dict) and state and all(map(_is_plain, state, state.values())):
            return dict(state)
    return None


def _is_plain(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def under_names(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Remove prefixes that all names of a state dict share until one of them is among the expected names.

    DataParallel adds the prefix "module.", torch.compile "_orig_mod.", and a wrapper module the name of its attribute.

    Returns:
        The renamed state dict; a copy with its own names if removing prefixes does not help.
    """
    renamed = dict(state)
    while renamed and not renamed.keys() & set(names):
        first = {name.partition(".")[0] for name in renamed}
        if len(first) > 1 or not all("." in name for name in renamed):
            return dict(state)
        renamed = {name.partition(".")[2]: value for name, value in renamed.items()}
    return renamed


def misfit(own: Tensor, given: Tensor) -> str | None:
    """Return why a tensor cannot be copied to a network's own tensor, or None if it can."""
    if own.shape != given.shape:
        return f"expected {tuple(own.shape)}, got {tuple(given.shape)}"
    if own.is_floating_point() != given.is_floating_point() or given.is_complex():
        return f"expected {own.dtype}, got {given.dtype}"
    if not torch.isfinite(given).all():
        return "expected finite values, got nan or inf"
    return None
