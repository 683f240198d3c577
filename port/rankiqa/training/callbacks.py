"""What happens at the events of a training: Caffe's log, snapshots."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankiqa.caffe import log
from rankiqa.training import snapshots

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


class Callback:
    """The events of a training's loop; each does nothing here."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first iteration of a run."""

    def on_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """After an iteration's gradients, before its update. mean: the smoothed loss."""

    def on_test_start(self, trainer: Trainer) -> None:
        """Before a test phase."""

    def on_test_end(self, trainer: Trainer, means: dict[str, float]) -> None:
        """After a test phase. means: of the task's measures."""

    def on_snapshot(self, trainer: Trainer) -> None:
        """When a snapshot is due."""

    def on_last_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """After the forward pass that follows the last iteration. mean: the smoothed loss."""

    def on_error(self, trainer: Trainer, error: BaseException) -> None:
        """When a run ends by an error, the training back where its last iteration ended."""


class CaffeLog(Callback):
    """The lines that `caffe train` prints, each to `write`."""

    def __init__(self, write: Callable[[str], object]):
        self.write = write
        self._since, self._shown = 0.0, 0

    def on_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._since, self._shown = time.perf_counter(), trainer.iteration

    def on_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Write the lines of a displayed iteration."""
        n, every = trainer.iteration, trainer.settings.display
        if not every or n % every:
            return
        now = time.perf_counter()
        lines = log.display(
            n, float(mean), done=n - self._shown, seconds=now - self._since, every=every,
            output_name=trainer.task.output_name, output=float(trainer.last_output), rate=trainer.optimizer.rate(),
        )  # fmt: skip
        for line in lines:
            self.write(line)
        self._since, self._shown = now, n

    def on_test_start(self, trainer: Trainer) -> None:
        """Write the line before a test phase."""
        self.write(log.test_begins(trainer.iteration))

    def on_test_end(self, trainer: Trainer, means: dict[str, float]) -> None:
        """Write a line for each measure."""
        for number, (name, value) in enumerate(means.items()):
            self.write(log.test_output(number, name, value))

    def on_last_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Write the line of the last forward pass."""
        self.write(log.last_loss(trainer.iteration, float(mean)))


class Snapshots(Callback):
    """OUT/PRESET_iter_N.safetensors whenever a snapshot is due, and when the run ends by an error.

    Attributes:
        last: The last that was written; None before that.
    """

    def __init__(self, out: Path, write: Callable[[str], object]):
        self.out, self.write = out, write
        self.last: Path | None = None

    def _path(self, trainer: Trainer) -> Path:
        return self.out / f"{trainer.preset.name}_iter_{trainer.iteration}.safetensors"

    def on_snapshot(self, trainer: Trainer) -> None:
        """Write the snapshot, whole or not at all."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self._path(trainer)
        snapshots.take(trainer, path)
        self.last = path
        self.write(f"Snapshot {path}")

    def on_error(self, trainer: Trainer, error: BaseException) -> None:
        """Write a snapshot, if there is none of this iteration and the weights are good."""
        if isinstance(error, FloatingPointError) or self.last == self._path(trainer):
            return
        with contextlib.suppress(OSError, FloatingPointError):  # the disk may be what failed
            self.on_snapshot(trainer)
