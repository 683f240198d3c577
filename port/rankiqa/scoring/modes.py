"""Modes that hold while something is scored: eval mode of a model, full float32. Safe from several threads.

Threads that score at once share a mode: the first sets it, and the last puts back what was before.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

_LOCK = threading.Lock()


@dataclass
class _Held:
    users: int
    restore: Callable[[], None]


_HELD: dict[Hashable, _Held] = {}


@contextlib.contextmanager
def _shared(key: Hashable, enter: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """Hold a mode. enter: sets it and returns what puts back the one before."""
    with _LOCK:
        if key not in _HELD:
            _HELD[key] = _Held(0, enter())
        held = _HELD[key]
        held.users += 1
    try:
        yield
    finally:
        with _LOCK:
            held.users -= 1
            if not held.users:
                del _HELD[key]
                held.restore()


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every layer of a model in eval mode for a while, then each as it was."""

    def enter() -> Callable[[], None]:
        training = {module: module.training for module in model.modules()}
        model.eval()

        def restore() -> None:
            for module, mode in training.items():
                module.training = mode

        return restore

    with _shared(id(model), enter):
        yield


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """TF32, which PyTorch allows for convolutions on a GPU, is off for a while."""

    def enter() -> Callable[[], None]:
        if hasattr(torch.backends.cudnn, "conv"):
            switches = ((torch.backends.cuda.matmul, "fp32_precision"), (torch.backends.cudnn.conv, "fp32_precision"))  # pyright: ignore  torch defines it by hand
            off = "ieee"
        else:  # before PyTorch 2.9, which refuses a mixture of the old names and the new
            switches = ((torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32"))
            off = False
        before = [getattr(owner, name) for owner, name in switches]
        for owner, name in switches:
            setattr(owner, name, off)

        def restore() -> None:
            for (owner, name), value in zip(switches, before, strict=True):
                setattr(owner, name, value)

        return restore

    with _shared("full_float32", enter):
        yield
