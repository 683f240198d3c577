"""The training loop: minibatches, loss, update, test phase, callbacks and resuming.

`Trainer.from_preset` sets up training like the original. From one seed, it draws the same random numbers as Caffe in
the same order: the train net's fillers, the TEST net's, then dropout masks, all from one stream. Minibatches and crops
use separate streams (`rankiqa.data.minibatches`).

Source: Caffe 1.0 solver.cpp (behaviour, not code); upstream src/{RankIQA,FT}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.log import SmoothedLoss
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.caffe.sgd import CaffeSGD
from rankiqa.data.order import FAITHFUL, Quirks
from rankiqa.models.scorer import Scorer
from rankiqa.training import origin, snapshots
from rankiqa.training.batches import TEST, TRAIN, Batches
from rankiqa.training.callbacks import Callback
from rankiqa.training.distributed import ALONE, Ranks, Share
from rankiqa.training.forward_pass import ForwardPass
from rankiqa.training.presets import Preset
from rankiqa.training.recipe import ORIGINAL, Recipe
from rankiqa.training.setup import set_up
from rankiqa.training.snapshots import Place
from rankiqa.training.solvers import ScheduledOptimizer
from rankiqa.training.tasks import Source, Task


class Trainer:
    """The training of one network on one task.

    Args:
        model: The network, on the device on which it trains.
        task: Defines minibatches, loss and measures.
        optimizer: Updates the model's parameters and counts the iterations.
        preset: The settings.
        train: The training list.
        test: The test list, or None for no test phase.
        seed: The seed of minibatches and crops.
        random: Caffe's random stream; part of snapshots.
        quirks: The quirks of the original to reproduce.
        workers: Number of processes that read images. The minibatches do not depend on it.
        cache_mb: Size of each worker's cache of decoded images, in MiB.
        callbacks: Callbacks for the events of the loop, called in this order.
        recipe: Options of the forward pass. The optimizer is built from them by `from_preset`, not here.
        ranks: The processes that train together.

    Attributes:
        losses: The losses of the last `run`, one per iteration.
        smoothed: The mean of the last losses, as shown in the log.
        last_output: The loss of the last forward pass.
        stop_requested: Set this to True (from a signal handler) to end after the current iteration, with a snapshot.
        products: Matrix products summed in Caffe's order, or None.
        forward: The network's forward pass.
    """

    def __init__(
        self,
        model: Scorer,
        task: Task,
        optimizer: CaffeSGD | ScheduledOptimizer,
        preset: Preset,
        *,
        train: Source,
        test: Source | None = None,
        seed: int,
        random: CaffeRandom,
        quirks: Quirks = FAITHFUL,
        workers: int = 0,
        cache_mb: int = 0,
        callbacks: Sequence[Callback] = (),
        recipe: Recipe = ORIGINAL,
        ranks: Ranks = ALONE,
    ):
        self.model, self.task, self.optimizer, self.preset = model, task, optimizer, preset
        self.settings, self.seed, self.random, self.quirks = preset.solver, seed, random, quirks
        self.lists = {TRAIN: train, TEST: test}
        self.share = Share.of(ranks, preset.size, task.group)
        self.batches = Batches(
            task, model, self.lists, seed=seed, quirks=quirks, workers=workers, cache_mb=cache_mb,
            share=self.share, pinned=self.device.type == "cuda",
        )  # fmt: skip
        self.callbacks = list(callbacks)
        self.recipe, self.forward = recipe, ForwardPass(model, recipe, seed, self.share)
        self.smoothed = SmoothedLoss(self.settings.average_loss)
        self.losses: list[float] = []
        self.last_output = np.float32(0)
        self.stop_requested = False
        self.products: CaffeBlas | None = None
        self._between: Place | None = None  # the state at the end of the last iteration; None during an update

    @classmethod
    def from_preset(
        cls,
        preset: Preset,
        arch: str = "vgg16",
        *,
        train: Source,
        test: Source | None = None,
        seed: int,
        weights: str | Path | None = None,
        out: str | Path | None = None,
        quirks: Quirks = FAITHFUL,
        workers: int = 0,
        cache_mb: int = 0,
        device: str | torch.device = "cpu",
        products: CaffeBlas | None = None,
        recipe: Recipe = ORIGINAL,
        ranks: Ranks = ALONE,
        log_csv: bool = False,
        tensorboard: bool = False,
        log: Callable[[str], object] | None = None,
    ) -> Trainer:
        """Set up training like the original's solver.

        Args:
            preset: A preset such as `PRESETS["live-rank"]`, or a modified one: `.but(max_iter=..)`.
            arch: vgg16, alexnet or shallow; or another name of `rankiqa.build`: timm:NAME, torchvision:NAME.
            train: The training list (`rankiqa.data.image_lists.read_list`), or photographs to be distorted on the fly
                (`rankiqa.ranked_sets.on_the_fly`).
            test: The test list. Without one, there is no test phase, and no TEST net draws weights.
            seed: Caffe's random_seed and the seed of the data layers.
            weights: The initial weights: a weights file whose layers are copied by name, or another source of
                `initial_weights.initialise`. None: new weights.
            out: The folder for snapshots, whose names begin with the preset's. None: no snapshots are written.
            quirks, workers, cache_mb: See the class.
            device: The device on which the network trains.
            products: Matrix products summed in Caffe's order (CPU only), or None for PyTorch's own.
            recipe: Options in which training differs from the original.
            ranks: The processes that train together, in a process group (`training.distributed`). Rank 0 writes files.
            log_csv: Whether to write `out`/log.csv.
            tensorboard: Whether to write `out`/tensorboard.
            log: A function that gets each line of the log, or None for the logger "rankiqa.training".

        Raises:
            ValueError: For an unknown arch, a list that the preset cannot use, or weights of other shapes.
        """
        return set_up(
            cls, preset, arch, train=train, test=test, seed=seed, weights=weights, out=out, quirks=quirks,
            workers=workers, cache_mb=cache_mb, device=torch.device(device), products=products, recipe=recipe,
            ranks=ranks, log_csv=log_csv, tensorboard=tensorboard, log=log,
        )  # fmt: skip

    @property
    def iteration(self) -> int:
        """The number of updates so far."""
        return self.optimizer.iteration

    @property
    def device(self) -> torch.device:
        """The device on which the network trains."""
        return next(self.model.parameters()).device

    def run(self, stop: int | None = None) -> Scorer:
        """Train until max_iter (or iteration `stop`) and return the model.

        After max_iter, it writes a snapshot and runs a last forward pass and a test phase in the cases in which Caffe
        does. After an error or an interrupt, it returns to the state at the end of the last iteration and calls the
        callbacks' `on_error`, so that a snapshot of this state can be resumed bit for bit.

        Raises:
            FloatingPointError: If the loss is not finite.
            ValueError: If the ranks of a distributed training start differently.
            DataError: If an image cannot be used; it names the file.
            OSError: If a snapshot cannot be written.
        """
        try:
            self._run(self.settings.max_iter if stop is None else min(stop, self.settings.max_iter))
        except BaseException as error:
            self.batches.stop()
            if self._between is not None:
                self.go_back(self._between)
                self._call("on_error", error)
            raise
        finally:
            self._call("on_end")
        return self.model

    def _run(self, end: int) -> None:
        p, self.losses = self.settings, []
        origin.check_alike(self)
        self._between = self._place()
        self._call("on_start")
        while self.iteration < end and not self._is_to_stop():
            if self._test_is_due():
                self.test()
            loss = self.forward_backward()
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"iteration {self.iteration}: expected a finite loss, got {loss}: base_lr too high?"
                )
            self.losses.append(float(loss))
            self._call("on_loss", self.smoothed.add(loss))
            self._between = None  # after an interrupted update, the weights cannot be resumed from
            self.optimizer.step()
            self._between = self._place()
            if p.snapshot and self.iteration % p.snapshot == 0:
                self._call("on_snapshot")
        stopped = self._is_to_stop()
        finished = end == p.max_iter and not stopped
        if stopped or (finished and not (p.snapshot and self.iteration % p.snapshot == 0)):
            self._call("on_snapshot")
        if finished:
            self._last_pass()

    def forward_backward(self) -> np.float32:
        """Compute one iteration's gradients, summed over iter_size minibatches, and return the mean loss."""
        self.forward.train_mode()
        self.optimizer.zero_grad()
        total = np.float32(0)
        for _ in range(self.settings.iter_size):
            crops, labels = self._next(TRAIN)
            with self.forward.running():
                loss = self.task.loss(self.forward(crops), labels)
                loss.backward()
            self.last_output = np.float32(loss.item())
            total += self.last_output
        return np.float32(total / np.float32(self.settings.iter_size))

    @torch.no_grad()
    def test(self) -> dict[str, float]:
        """Run the test phase and return the means of the task's measures over test_iter minibatches."""
        self._call("on_test_start")
        self.model.eval()
        sums: dict[str, np.float32] = {}
        for _ in range(self.settings.test_iter):
            crops, labels = self._next(TEST)
            for name, value in self.task.measures(self.forward(crops), labels).items():
                sums[name] = sums.get(name, np.float32(0)) + np.float32(value)
        means = {name: float(value / np.float32(self.settings.test_iter)) for name, value in sums.items()}
        self._call("on_test_end", means)
        return means

    def _next(self, phase: str) -> tuple[Tensor, Tensor]:
        crops, labels = self.batches.next(phase)
        crops, labels = (part.to(self.device, non_blocking=True) for part in (crops, labels))
        return crops, labels if self.share is None else self.share.gather(labels)

    def _is_to_stop(self) -> bool:
        if self.share is not None:
            self.stop_requested = self.share.any(self.stop_requested, self.device)
        return self.stop_requested

    def _call(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)

    def _test_is_due(self) -> bool:
        every = self.settings.test_interval
        return self.lists[TEST] is not None and every > 0 and self.iteration % every == 0

    @torch.no_grad()
    def _last_pass(self) -> None:
        p = self.settings
        if p.display and self.iteration % p.display == 0:
            self.forward.train_mode()
            crops, labels = self._next(TRAIN)
            with self.forward.running():
                loss = np.float32(self.task.loss(self.forward(crops), labels).item())
            self._call("on_last_loss", self.smoothed.add(loss))
        if self._test_is_due():
            self.test()

    def _place(self) -> Place:
        smoothed = self.smoothed
        return Place(
            dict(self.batches.seen), self.random.state(), tuple(smoothed.losses), smoothed.mean, smoothed.at,
            dict(self.forward.random), self.forward.buffers(),
        )  # fmt: skip

    def go_back(self, place: Place) -> None:
        """Restore minibatches, masks, running statistics and the smoothed loss from a state."""
        self.batches.go_to(dict(place.seen))
        self.forward.random = {**self.forward.random, **place.torch_random}
        buffers = dict(self.model.named_buffers())
        for name, values in place.buffers.items():
            buffers[name].copy_(values)
        self.random.set_state(place.random)
        self.smoothed.losses, self.smoothed.mean, self.smoothed.at = list(place.losses), place.mean, place.at

    def restore(self, path: str | Path) -> None:
        """Resume from a snapshot as if the run had never stopped: minibatches, masks and weights are equal bit for bit.

        A snapshot that `rankiqa convert` made from Caffe's .solverstate contains weights, momentum and iteration.
        Minibatches and masks then start from the seed again, as in Caffe, which saves neither.

        Raises:
            ValueError: For a damaged snapshot, or one of another network, seed, list or setting (it names each).
        """
        snapshots.restore(self, path)
