"""The minibatches of a training run and of its test phase, and the number used of each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from rankiqa.data.minibatches import minibatches
from rankiqa.data.order import Quirks
from rankiqa.models.scorer import Scorer, check_input
from rankiqa.training.distributed import Share
from rankiqa.training.tasks import Source, Task

TRAIN, TEST = "train", "test"


class Batches:
    """Minibatches for each phase.

    Args:
        task: Determines the lines of each minibatch.
        model: Determines the format of the crops.
        lists: {phase: list, photographs or None}.
        seed: The seed of minibatches and crops.
        quirks: The quirks of the original to reproduce.
        workers: Number of processes that read images.
        cache_mb: Size of each worker's cache of decoded images, in MiB.
        share: The rows of each minibatch that this process reads, or None for all.
        pinned: Whether to use pinned memory, from which a GPU copies asynchronously.

    Attributes:
        seen: {phase: number of minibatches used}, without those that workers have only read ahead.
    """

    def __init__(
        self, task: Task, model: Scorer, lists: dict[str, Source | None], *, seed: int, quirks: Quirks,
        workers: int = 0, cache_mb: int = 0, share: Share | None = None,
        pinned: bool = False,
    ):  # fmt: skip
        self.lists, self.seen = lists, {TRAIN: 0, TEST: 0}
        self._model, self._share = model, share
        self._order = partial(task.order, seed=seed, quirks=quirks)
        self._options: dict[str, Any] = {"seed": seed, "quirks": quirks, "workers": workers, "cache_mb": cache_mb,
                                         "pinned": pinned}  # fmt: skip
        self._running: dict[str, Iterator] = {}

    def next(self, phase: str) -> tuple[Tensor, Tensor]:
        """Return the next minibatch, on the CPU: crops (N, 3, crop, crop) and labels (N,).

        Raises:
            DataError: If an image cannot be used; it names the file.
        """
        if phase not in self._running:
            images, spec = self.lists[phase], self._model.input_spec
            assert images is not None
            order = self._order(images)
            if self._share is not None:
                order.rows = self._share.rows
            loader = minibatches(images, order, spec=spec, start=self.seen[phase], **self._options)
            self._running[phase] = iter(loader)
        crops, labels = next(self._running[phase])
        check_input(self._model, crops)
        self.seen[phase] += 1
        return crops, labels

    def stop(self) -> None:
        """End the workers. Images that they have read ahead will be read again."""
        self._running.clear()

    def go_to(self, seen: dict[str, int]) -> None:
        """Continue after the given number of minibatches of each phase."""
        self.seen = dict(seen)
        self.stop()
