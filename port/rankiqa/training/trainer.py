"""The training loop: minibatches, loss, update, test phase, callbacks, resuming.

`Trainer.from_preset` sets up a training of the original's. From one seed it draws what Caffe draws, in its order: the
train net's fillers, the TEST net's, then dropout masks from one stream; minibatches and crops come from streams of
their own (`rankiqa.data.minibatches`).

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
from rankiqa.training import snapshots
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
    """A training of one network on one task.

    Args:
        model: The network, on the device where it trains.
        task: Minibatches, loss and measures.
        optimizer: Updates the model's parameters and counts the iterations.
        preset: The settings.
        train: The training list.
        test: The test list; None: no test phase.
        seed: Of minibatches and crops.
        random: Caffe's random stream, which snapshots carry.
        quirks: The original's ways that are kept.
        workers: Processes that read images; the minibatches are the same for any number.
        cache_mb: Decoded images to keep in memory, in each worker.
        callbacks: Called at the events of the loop, in order.
        recipe: How the network runs; what updates it is the optimizer.
        ranks: The processes that train together.

    Attributes:
        losses: One loss an iteration of the last `run`.
        smoothed: The mean of the last losses, as the log shows it.
        last_output: The loss of the last forward pass.
        stop_requested: Set it (from a signal handler) to end after this iteration, with a snapshot.
        products: Matrix products summed as Caffe sums them, or None.
        forward: Runs the network.
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
        self._between: Place | None = None  # where the last iteration ended; None during an update

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
        """A training as the original's solver sets one up.

        Args:
            preset: `PRESETS["live-rank"]`, or `.but(max_iter=..)` of one.
            arch: vgg16, alexnet or shallow; or another name of `rankiqa.build`: timm:NAME, torchvision:NAME.
            train: The training list (`rankiqa.data.lists.read_list`), or photographs to be distorted on the way
                (`rankiqa.ranked_sets.on_the_fly`).
            test: The test list; without one there is no test phase, and no TEST net draws weights.
            seed: Caffe's random_seed and the data layers' seed.
            weights: What the network starts from: a weights file whose layers are copied by name, or another source
                of `initial_weights.initialise`.
            out: Folder of the snapshots, named by the preset; None: none are written.
            quirks, workers, cache_mb: As of the class.
            device: Where the network trains.
            products: Matrix products summed as Caffe sums them (CPU only); None: PyTorch's own.
            recipe: Where the training departs from the original's way.
            ranks: The processes that train together, in a process group (`training.distributed`); rank 0 writes.
            log_csv: Whether to write `out`/log.csv.
            tensorboard: Whether to write `out`/tensorboard.
            log: Takes each line of the log; None: the logger "rankiqa.training".

        Raises:
            ValueError: For what does not fit together: an unknown arch, a list that the preset cannot use, weights of
                other shapes.
        """
        return set_up(
            cls, preset, arch, train=train, test=test, seed=seed, weights=weights, out=out, quirks=quirks,
            workers=workers, cache_mb=cache_mb, device=torch.device(device), products=products, recipe=recipe,
            ranks=ranks,
            log_csv=log_csv, tensorboard=tensorboard, log=log,
        )  # fmt: skip

    @property
    def iteration(self) -> int:
        """How often the weights have been updated."""
        return self.optimizer.iteration

    @property
    def device(self) -> torch.device:
        """Where the network trains."""
        return next(self.model.parameters()).device

    def run(self, stop: int | None = None) -> Scorer:
        """Train until max_iter (or `stop`, in iterations); returns the model.

        After max_iter: a snapshot, a last forward pass and a test phase where Caffe makes them. An error or an
        interrupt puts the training back to where its last iteration ended and calls the callbacks' `on_error`, so that
        a snapshot of that moment can be gone on from, bit for bit.

        Raises:
            FloatingPointError: For a loss that is not finite.
            DataError: For an image that cannot be used; it names the file.
            OSError: For a snapshot that cannot be written.
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
            self._between = None  # an update that is broken off leaves nothing to go on from
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
        """Compute one iteration's gradients, summed over iter_size minibatches; returns the loss (their mean)."""
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
        """Run the test phase: the means of the task's measures over test_iter minibatches."""
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
        """Take minibatches, masks, running statistics and the smoothed loss up again from a place."""
        self.batches.go_to(dict(place.seen))
        self.forward.random = {**self.forward.random, **place.torch_random}
        buffers = dict(self.model.named_buffers())
        for name, values in place.buffers.items():
            buffers[name].copy_(values)
        self.random.set_state(place.random)
        self.smoothed.losses, self.smoothed.mean, self.smoothed.at = list(place.losses), place.mean, place.at

    def restore(self, path: str | Path) -> None:
        """Go on from a snapshot, as if the run had never stopped: the same minibatches, masks and weights, bit for bit.

        A snapshot that `rankiqa convert` made from Caffe's .solverstate has weights, momentum and iteration;
        minibatches and masks then start anew from the seed, as in Caffe, which saves neither.

        Raises:
            ValueError: For a snapshot of another network, seed, list or setting (it names each), or a damaged one.
        """
        snapshots.restore(self, path)
