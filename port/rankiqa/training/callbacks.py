"""Callbacks for the events of training: Caffe's log, a CSV table, TensorBoard and snapshots."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankiqa.caffe import log
from rankiqa.data.atomic_files import remove_abandoned, replacing
from rankiqa.data.extras import need
from rankiqa.training import snapshots

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


class Callback:
    """The events of the training loop. The methods do nothing by default."""

    def on_start(self, trainer: Trainer) -> None:
        """Called before the first iteration of a run."""

    def on_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Called after an iteration's gradients and before its update. `mean` is the smoothed loss."""

    def on_test_start(self, trainer: Trainer) -> None:
        """Called before a test phase."""

    def on_test_end(self, trainer: Trainer, means: dict[str, float]) -> None:
        """Called after a test phase. `means` contains the means of the task's measures."""

    def on_snapshot(self, trainer: Trainer) -> None:
        """Called when a snapshot is due."""

    def on_last_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Called after the forward pass that follows the last iteration. `mean` is the smoothed loss."""

    def on_error(self, trainer: Trainer, error: BaseException) -> None:
        """Called when a run ends with an error, after the trainer has returned to the end of the last iteration."""

    def on_end(self, trainer: Trainer) -> None:
        """Called when a run has ended, for any reason."""


class CaffeLog(Callback):
    """A callback that passes the lines that `caffe train` prints to `write`."""

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
    """A callback that writes OUT/PRESET_iter_N.safetensors when a snapshot is due and when the run ends with an error.

    Attributes:
        last: The path of the last snapshot written, or None.
    """

    def __init__(self, out: Path, write: Callable[[str], object]):
        self.out, self.write = out, write
        self.last: Path | None = None

    def _path(self, trainer: Trainer) -> Path:
        return self.out / f"{trainer.preset.name}_iter_{trainer.iteration}.safetensors"

    def on_snapshot(self, trainer: Trainer) -> None:
        """Write the snapshot atomically."""
        self.out.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self.out)
        path = self._path(trainer)
        snapshots.take(trainer, path)
        self.last = path
        self.write(f"Snapshot {path}")

    def on_error(self, trainer: Trainer, error: BaseException) -> None:
        """Write a snapshot if this iteration has none and the weights are finite."""
        if isinstance(error, FloatingPointError) or self.last == self._path(trainer):
            return
        with contextlib.suppress(OSError, FloatingPointError):  # the error may be that of the disk
            self.on_snapshot(trainer)


class Numbers(Callback):
    """The base of callbacks that log numbers: loss and rate of displayed iterations, measures of test phases."""

    def keep(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Log the numbers {name: value} of an iteration."""
        raise NotImplementedError

    def on_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Log loss and rate if the iteration is displayed."""
        every = trainer.settings.display
        if every and trainer.iteration % every == 0:
            loss, rate = float(trainer.last_output), trainer.optimizer.rate()
            self.keep(trainer, {"loss": loss, "mean_loss": float(mean), "rate": rate})

    def on_test_end(self, trainer: Trainer, means: dict[str, float]) -> None:
        """Log the measures."""
        self.keep(trainer, {f"test_{name}": value for name, value in means.items()})


class CsvLog(Numbers):
    """A callback that writes OUT/log.csv: a row per displayed iteration and test phase. A resumed run appends to it.

    Columns: iteration, loss (of the minibatch), mean_loss (smoothed), rate, then the test phase's measures. If the
    table cannot be written (full disk), training continues.
    """

    def __init__(self, out: Path):
        self.path = out / "log.csv"

    def on_start(self, trainer: Trainer) -> None:
        """Write the header, and keep only the rows of iterations that this run does not repeat."""
        columns = self._columns(trainer)
        with contextlib.suppress(OSError, UnicodeDecodeError, ValueError):
            rows = []
            if self.path.exists():
                with open(self.path, newline="") as file:
                    rows = [row for row in csv.reader(file) if row and row[0].isdigit()]
            kept = [row for row in rows if int(row[0]) < trainer.iteration]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary, open(temporary, "w", newline="") as file:
                csv.writer(file).writerows([columns, *kept])

    def keep(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Append a row."""
        columns = self._columns(trainer)
        row = {"iteration": trainer.iteration, **values}
        with contextlib.suppress(OSError), open(self.path, "a", newline="") as file:
            csv.DictWriter(file, columns).writerow(row)

    @staticmethod
    def _columns(trainer: Trainer) -> list[str]:
        measures = [f"test_{name}" for name in trainer.task.measure_names]
        return ["iteration", "loss", "mean_loss", "rate", *measures]


class TensorBoard(Numbers):
    """A callback that writes the same numbers as event files for TensorBoard.

    Raises:
        MissingExtra: If the package tensorboard is missing.
    """

    def __init__(self, folder: Path):
        need("tensorboard", "tensorboard", "--tensorboard")
        module = need("torch.utils.tensorboard", "tensorboard", "--tensorboard")
        self.folder, self._make = folder, module.SummaryWriter
        self._writer = None

    def on_start(self, trainer: Trainer) -> None:
        """Open the event file. TensorBoard hides earlier events of iterations that this run repeats."""
        self._writer = self._make(str(self.folder), purge_step=trainer.iteration or None)

    def keep(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Write the numbers."""
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(name, value, trainer.iteration)

    def on_end(self, trainer: Trainer) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
