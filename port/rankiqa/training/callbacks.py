"""What happens at the events of a training: Caffe's log, a table, TensorBoard, snapshots."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankiqa.caffe import log
from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
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

    def on_end(self, trainer: Trainer) -> None:
        """When a run has ended, whatever the reason."""


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


class Numbers(Callback):
    """Keeps what a training logs as numbers: loss and rate of a displayed iteration, measures of a test phase."""

    def keep(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Take the numbers of an iteration, by name."""
        raise NotImplementedError

    def on_loss(self, trainer: Trainer, mean: np.float32) -> None:
        """Keep those of a displayed iteration."""
        every = trainer.settings.display
        if every and trainer.iteration % every == 0:
            loss, rate = float(trainer.last_output), trainer.optimizer.rate()
            self.keep(trainer, {"loss": loss, "mean_loss": float(mean), "rate": rate})

    def on_test_end(self, trainer: Trainer, means: dict[str, float]) -> None:
        """Keep the measures."""
        self.keep(trainer, {f"test_{name}": value for name, value in means.items()})


class CsvLog(Numbers):
    """OUT/log.csv: a row for each displayed iteration and each test phase; a resumed run appends to it.

    Columns: iteration, loss (of the minibatch), mean_loss (smoothed), rate, then the test phase's measures. A table
    that cannot be written (a full disk) ends no training.
    """

    def __init__(self, out: Path):
        self.path = out / "log.csv"

    def on_start(self, trainer: Trainer) -> None:
        """Take away rows of iterations that are done again, and write the head of a new table."""
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
    """The same numbers for TensorBoard, in a folder of event files.

    Raises:
        MissingExtra: Where the package tensorboard is missing.
    """

    def __init__(self, folder: Path):
        need("tensorboard", "tensorboard", "--tensorboard")
        module = need("torch.utils.tensorboard", "tensorboard", "--tensorboard")
        self.folder, self._make = folder, module.SummaryWriter
        self._writer = None

    def on_start(self, trainer: Trainer) -> None:
        """Open the event file; events of iterations that are done again are hidden."""
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
