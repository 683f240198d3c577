"""Modes that hold for a while: eval mode of a model, full float32. Safe from several threads.

Threads that want a mode at once share it: the first sets it, and the last puts back what was before.
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


IEEE, TF32 = "ieee", "tf32"


@contextlib.contextmanager
def float32_products(kind: str) -> Iterator[None]:
    """How a GPU multiplies float32 matrices and convolves, for a while.

    Args:
        kind: "ieee": in full float32, as Caffe does; "tf32": with factors rounded to ten bits, on GPUs that can.
    """
    assert kind in (IEEE, TF32)

    def enter() -> Callable[[], None]:
        if hasattr(torch.backends.cudnn, "conv"):
            switches = ((torch.backends.cuda.matmul, "fp32_precision"), (torch.backends.cudnn.conv, "fp32_precision"))  # pyright: ignore  torch defines it by hand
            value: str | bool = kind
        else:  # before PyTorch 2.9, which refuses a mixture of the old names and the new
            switches = ((torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32"))
            value = kind == TF32
        before = [getattr(owner, name) for owner, name in switches]
        for owner, name in switches:
            setattr(owner, name, value)

        def restore() -> None:
            for (owner, name), old in zip(switches, before, strict=True):
                setattr(owner, name, old)

        return restore

    with _shared(("float32", kind), enter):
        yield


def full_float32() -> contextlib.AbstractContextManager[None]:
    """TF32, which PyTorch allows for convolutions on a GPU, is off for a while."""
    return float32_products(IEEE)
