"""The minibatches of a training and of its test phase, and how many of each were taken."""

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
    """Minibatches by phase.

    Args:
        task: Which lines each takes.
        model: Which crops it takes.
        lists: {phase: its list or photographs, or None}.
        seed: Of minibatches and crops.
        quirks: The original's ways that are kept.
        workers: Processes that read images.
        cache_mb: Decoded images to keep in memory, in each worker.
        share: The rows of each minibatch that this process reads; None: all.
        pinned: Whether they are in pinned memory, from which a GPU copies while the CPU goes on.

    Attributes:
        seen: {phase: minibatches taken}; those that workers have read ahead are not among them.
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
        """The next minibatch, on the CPU: crops (N, 3, crop, crop) and labels (N,).

        Raises:
            DataError: For an image that cannot be used; it names the file.
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
        """End the workers; what they have read ahead is read again."""
        self._running.clear()

    def go_to(self, seen: dict[str, int]) -> None:
        """Go on after so many minibatches of each phase."""
        self.seen = dict(seen)
        self.stop()
