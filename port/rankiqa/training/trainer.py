"""The training loop: minibatches, loss, update, test phase, callbacks, resuming.

`Trainer.from_preset` sets up a training of the original's. From one seed it draws what Caffe draws, in its order: the
train net's fillers, the TEST net's, then dropout masks from one stream; minibatches and crops come from streams of
their own (`rankiqa.data.minibatches`).

Source: Caffe 1.0 solver.cpp (behaviour, not code); upstream src/{RankIQA,FT}.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.log import SmoothedLoss
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.caffe.sgd import CaffeSGD, LearningRate
from rankiqa.data.lists import ImageList
from rankiqa.data.minibatches import minibatches
from rankiqa.data.order import FAITHFUL, Quirks
from rankiqa.models.architectures import known_nets
from rankiqa.models.network import Network, build_network, fill
from rankiqa.models.registry import architecture
from rankiqa.models.score_meaning import MEANINGS
from rankiqa.models.scorer import check_input
from rankiqa.training import snapshots
from rankiqa.training.callbacks import CaffeLog, Callback, Snapshots
from rankiqa.training.parameter_groups import parameter_groups
from rankiqa.training.presets import Preset, flat
from rankiqa.training.snapshots import Place
from rankiqa.training.tasks import Task, task_of

TRAIN, TEST = "train", "test"


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

    Attributes:
        losses: One loss an iteration of the last `run`.
        smoothed: The mean of the last losses, as the log shows it.
        last_output: The loss of the last forward pass.
        stop_requested: Set it (from a signal handler) to end after this iteration, with a snapshot.
        products: Matrix products summed as Caffe sums them, or None.
    """

    def __init__(
        self,
        model: Network,
        task: Task,
        optimizer: CaffeSGD,
        preset: Preset,
        *,
        train: ImageList,
        test: ImageList | None = None,
        seed: int,
        random: CaffeRandom,
        quirks: Quirks = FAITHFUL,
        workers: int = 0,
        cache_mb: int = 0,
        callbacks: Sequence[Callback] = (),
    ):
        self.model, self.task, self.optimizer, self.preset = model, task, optimizer, preset
        self.settings, self.seed, self.random, self.quirks = preset.solver, seed, random, quirks
        self.lists = {TRAIN: train, TEST: test}
        self.callbacks = list(callbacks)
        self._data = {"workers": workers, "cache_mb": cache_mb}
        self.seen = {TRAIN: 0, TEST: 0}  # minibatches taken
        self._batches: dict[str, Iterator] = {}
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
        train: ImageList,
        test: ImageList | None = None,
        seed: int,
        weights: str | Path | None = None,
        out: str | Path | None = None,
        quirks: Quirks = FAITHFUL,
        workers: int = 0,
        cache_mb: int = 0,
        device: str | torch.device = "cpu",
        products: CaffeBlas | None = None,
        log: Callable[[str], object] | None = None,
    ) -> Trainer:
        """A training as the original's solver sets one up.

        Args:
            preset: `PRESETS["live-rank"]`, or `.but(max_iter=..)` of one.
            arch: vgg16, alexnet or shallow.
            train: The training list (`rankiqa.data.lists.read_list`).
            test: The test list; without one there is no test phase, and no TEST net draws weights.
            seed: Caffe's random_seed and the data layers' seed.
            weights: A weights file whose layers are copied by name.
            out: Folder of the snapshots, named by the preset; None: none are written.
            quirks: The original's ways that are kept.
            workers: Processes that read images.
            cache_mb: Decoded images to keep in memory, in each worker.
            device: Where the network trains.
            products: Matrix products summed as Caffe sums them (CPU only); None: PyTorch's own.
            log: Takes each line of the log; None: the logger "rankiqa.training".

        Raises:
            ValueError: For what does not fit together: an unknown arch, a list that the preset cannot use, weights of
                other shapes.
        """
        table, task = architecture(arch), task_of(preset)
        for images in filter(None, (train, test)):
            task.order(images, seed, quirks)  # a list that does not fit is refused before anything is built
        write = log or logging.getLogger("rankiqa.training").info
        random = CaffeRandom(seed)
        model = build_network(table, fc=known_nets(table)[preset.net], random=random)
        model.meaning = MEANINGS[preset.net]
        if test is not None:
            fill(table, random)  # CAFFE: the TEST net is filled too, from the same stream (solver.cpp)
        if weights is not None and (fresh := snapshots.copy_weights(model, weights)):
            write(f"{weights}: without {', '.join(fresh)}, which start from their fillers")
        model.to(torch.device(device))
        if products is not None:
            if torch.device(device).type != "cpu":
                raise ValueError(f"Caffe's products: expected device cpu, got {device}")
            products.apply_to(model)
        p = preset.solver
        optimizer = CaffeSGD(
            parameter_groups(model, preset.ten_times),
            p.base_lr,
            p.momentum,
            p.weight_decay,
            schedule=LearningRate("step", gamma=p.gamma, stepsize=p.stepsize),
            iter_size=p.iter_size,
            clip_gradients=p.clip_gradients,
        )
        callbacks: list[Callback] = [CaffeLog(write)]
        if out is not None:
            callbacks.append(Snapshots(Path(out), write))
        trainer = cls(
            model, task, optimizer, preset, train=train, test=test, seed=seed, random=random,
            quirks=quirks, workers=workers, cache_mb=cache_mb, callbacks=callbacks,
        )  # fmt: skip
        trainer.products = products
        return trainer

    @property
    def iteration(self) -> int:
        """How often the weights have been updated."""
        return self.optimizer.iteration

    @property
    def device(self) -> torch.device:
        """Where the network trains."""
        return next(self.model.parameters()).device

    def run(self, stop: int | None = None) -> Network:
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
            self._batches.clear()  # ends the workers
            if self._between is not None:
                self.go_back(self._between)
                self._call("on_error", error)
            raise
        return self.model

    def _run(self, end: int) -> None:
        p, self.losses = self.settings, []
        self._between = self._place()
        self._call("on_start")
        while self.iteration < end and not self.stop_requested:
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
        finished = end == p.max_iter and not self.stop_requested
        if self.stop_requested or (finished and not (p.snapshot and self.iteration % p.snapshot == 0)):
            self._call("on_snapshot")
        if finished:
            self._last_pass()

    def forward_backward(self) -> np.float32:
        """Compute one iteration's gradients, summed over iter_size minibatches; returns the loss (their mean)."""
        self.model.train()
        self.optimizer.zero_grad()
        total = np.float32(0)
        for _ in range(self.settings.iter_size):
            crops, labels = self._next(TRAIN)
            loss = self.task.loss(self.model(crops).squeeze(1), labels)
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
            for name, value in self.task.measures(self.model(crops).squeeze(1), labels).items():
                sums[name] = sums.get(name, np.float32(0)) + np.float32(value)
        means = {name: float(value / np.float32(self.settings.test_iter)) for name, value in sums.items()}
        self._call("on_test_end", means)
        return means

    def _next(self, phase: str) -> tuple[Tensor, Tensor]:
        if phase not in self._batches:
            images = self.lists[phase]
            assert images is not None
            order = self.task.order(images, self.seed, self.quirks)
            loader = minibatches(
                images, order, spec=self.model.input_spec, seed=self.seed, quirks=self.quirks, start=self.seen[phase],
                **self._data,
            )  # fmt: skip
            self._batches[phase] = iter(loader)
        crops, labels = next(self._batches[phase])
        check_input(self.model, crops)
        self.seen[phase] += 1
        return crops.to(self.device), labels.to(self.device)

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
            self.model.train()
            crops, labels = self._next(TRAIN)
            loss = np.float32(self.task.loss(self.model(crops).squeeze(1), labels).item())
            self._call("on_last_loss", self.smoothed.add(loss))
        if self._test_is_due():
            self.test()

    def origin(self) -> dict[str, Any]:
        """What a run that goes on must have in common with the one that made the snapshot."""
        lists = {phase: images and images.sha256 for phase, images in self.lists.items()}
        free = ("name", "source", "max_iter", "display", "snapshot")  # change no weight that has been or will be made
        settings = {key: value for key, value in flat(self.preset).items() if key not in free}
        return {
            "seed": self.seed, "lists": lists, "settings": settings, "quirks": asdict(self.quirks),
            "products": self.products and self.products.threads,
        }  # fmt: skip

    def _place(self) -> Place:
        smoothed = self.smoothed
        return Place(dict(self.seen), self.random.state(), tuple(smoothed.losses), smoothed.mean, smoothed.at)

    def go_back(self, place: Place) -> None:
        """Take minibatches, masks and the smoothed loss up again from a place."""
        self.seen = dict(place.seen)
        self.random.set_state(place.random)
        self.smoothed.losses, self.smoothed.mean, self.smoothed.at = list(place.losses), place.mean, place.at
        self._batches.clear()

    def restore(self, path: str | Path) -> None:
        """Go on from a snapshot, as if the run had never stopped: the same minibatches, masks and weights, bit for bit.

        A snapshot that `rankiqa convert` made from Caffe's .solverstate has weights, momentum and iteration;
        minibatches and masks then start anew from the seed, as in Caffe, which saves neither.

        Raises:
            ValueError: For a snapshot of another network, seed, list or setting (it names each), or a damaged one.
        """
        snapshots.restore(self, path)
