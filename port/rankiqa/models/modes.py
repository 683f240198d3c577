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
_WANTED: list[str] = []  # kinds of products, in the order in which they were asked for
_BEFORE: list[Callable[[], None]] = []  # what puts back the settings of the process


@contextlib.contextmanager
def float32_products(kind: str) -> Iterator[None]:
    """How a GPU multiplies float32 matrices and convolves, for a while.

    Where two threads want different kinds at once, the later has its way; the last to end puts back what was before.

    Args:
        kind: "ieee": in full float32, as Caffe does; "tf32": with factors rounded to ten bits, on GPUs that can.
    """
    assert kind in (IEEE, TF32)
    with _LOCK:
        _want([*_WANTED, kind])
    try:
        yield
    finally:
        with _LOCK:
            at = len(_WANTED) - 1 - _WANTED[::-1].index(kind)
            _want(_WANTED[:at] + _WANTED[at + 1 :])


def _want(kinds: list[str]) -> None:
    """Set the last of these kinds, where it is not set; the process's own settings where there is none."""
    if kinds[-1:] != _WANTED[-1:]:
        while _BEFORE:
            _BEFORE.pop()()
        if kinds:
            _BEFORE.append(_set_products(kinds[-1]))
    _WANTED[:] = kinds


def _set_products(kind: str) -> Callable[[], None]:
    """Set a kind of products; returns what puts back the settings before."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    undo: list[tuple[object, str, object]] = []

    def put(owner: object, name: str, value: object, before: object) -> None:
        setattr(owner, name, value)
        undo.append((owner, name, before))

    if hasattr(cudnn, "conv"):
        # What follows a setting above it must go on to: set the one above, and by name what has a setting of its own
        whole = cudnn.fp32_precision
        inherited = whole == torch.backends.fp32_precision  # pyright: ignore  torch defines it by hand
        put(cudnn, "fp32_precision", kind, "none" if inherited else whole)
        for owner in (matmul, cudnn.conv):
            if owner.fp32_precision != kind:
                put(owner, "fp32_precision", kind, owner.fp32_precision)
    else:  # before PyTorch 2.9, which refuses a mixture of the old names and the new
        put(matmul, "allow_tf32", kind == TF32, matmul.allow_tf32)
        put(cudnn, "allow_tf32", kind == TF32, cudnn.allow_tf32)

    def restore() -> None:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)

    return restore


def full_float32() -> contextlib.AbstractContextManager[None]:
    """TF32, which PyTorch allows for convolutions on a GPU, is off for a while."""
    return float32_products(IEEE)
