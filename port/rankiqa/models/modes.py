"""Context managers for temporary modes: eval mode of a model, full float32. They are safe to use from several threads.

Threads that use a mode at the same time share it: the first sets it, and the last restores the previous state.
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
    """Hold a shared mode. `enter` sets it and returns a function that restores the previous mode."""
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
    """Put every layer of a model into eval mode, and restore each layer's mode afterwards."""

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
_WANTED: list[str] = []  # the active requests, in the order in which they were made
_BEFORE: list[Callable[[], None]] = []  # functions that restore the process's own settings


@contextlib.contextmanager
def float32_products(kind: str) -> Iterator[None]:
    """Set the precision of a GPU's float32 matrix products and convolutions temporarily.

    If two threads request different precisions at the same time, the later request is used. The last thread to finish
    restores the previous settings.

    Args:
        kind: "ieee" for full float32, as in Caffe; "tf32" to round factors to ten bits on GPUs that support it.
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
    """Apply the last of these requests if it is not active yet. Restore the process's own settings if there is none."""
    if kinds[-1:] != _WANTED[-1:]:
        while _BEFORE:
            _BEFORE.pop()()
        if kinds:
            _BEFORE.append(_set_products(kinds[-1]))
    _WANTED[:] = kinds


def _set_products(kind: str) -> Callable[[], None]:
    """Set the precision of products and return a function that restores the previous settings."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    undo: list[tuple[object, str, object]] = []

    def put(owner: object, name: str, value: object, before: object) -> None:
        setattr(owner, name, value)
        undo.append((owner, name, before))

    if hasattr(cudnn, "conv"):
        # A setting that inherits its value must still inherit afterwards. So set the value for all of cuDNN, then only
        # those settings that do not follow it
        whole = cudnn.fp32_precision
        inherited = whole == torch.backends.fp32_precision  # pyright: ignore  torch defines it by hand
        put(cudnn, "fp32_precision", kind, "none" if inherited else whole)
        for owner in (matmul, cudnn.conv):
            if owner.fp32_precision != kind:
                put(owner, "fp32_precision", kind, owner.fp32_precision)
    else:  # before PyTorch 2.9; later versions refuse to mix the old names and the new ones
        put(matmul, "allow_tf32", kind == TF32, matmul.allow_tf32)
        put(cudnn, "allow_tf32", kind == TF32, cudnn.allow_tf32)

    def restore() -> None:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)

    return restore


def full_float32() -> contextlib.AbstractContextManager[None]:
    """Turn off TF32 temporarily, which PyTorch allows for convolutions on a GPU by default."""
    return float32_products(IEEE)
