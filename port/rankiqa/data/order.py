"""Samplers that select each minibatch's lines of a list, in the original's order.

Source: upstream src/data_layer/{rank,ft}_layer_{live,tid2013}.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from rankiqa.data.argsort_2017 import argsort_2017
from rankiqa.data.image_lists import ImageList


@dataclass(frozen=True)
class Quirks:
    """Quirks of the original that new experiments may want to switch off. True reproduces the original."""

    # Crops at the lower or right edge are never drawn, and an image of the crop's own size is refused
    last_offset_never_drawn: bool = True
    # Fine-tuning: a full minibatch that would end exactly at the end of the list is dropped
    last_batch_dropped: bool = True
    # Fine-tuning, TID2013: a minibatch is sorted from the highest label to the lowest
    sorted_batch: bool = True
    # Ranking: images come in the list's order, always with the same neighbours. False: they are shuffled
    sequential: bool = True
    # Ranking: the list's order is the ranking. False: levels are sorted by label, ascending
    labels_ignored: bool = True


FAITHFUL = Quirks()
SANE = Quirks(*[False] * 5)


class Order(Sampler):
    """An endless sampler of minibatches of (line, n), which depend on the seed.

    Attributes:
        start: Number of minibatches to skip at the beginning.
        rows: The slice of each minibatch to yield.
    """

    rows = slice(None)

    def __init__(self, images: ImageList, seed: int):
        self.images, self.seed, self.start = images, seed, 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        n = 0
        for number, lines in enumerate(self._lines(np.random.RandomState(self.seed))):
            if number >= self.start:
                yield [(int(line), n + i) for i, line in enumerate(lines)][self.rows]
            n += len(lines)

    def _lines(self, random: np.random.RandomState) -> Iterator[Sequence[int]]:
        raise NotImplementedError


class RankOrder(Order):
    """The sampler for ranking. A minibatch has `per_level` images for each level of each group (distortion).

    Args:
        images: A list with one block per group and level, in this order. All blocks contain the same images in the same
            order.
        list_groups: Number of groups (distortions) in the list.
        groups: Number of groups in a minibatch. If the list has more, each minibatch draws new ones at random.
        levels: Number of levels in each group, including pristine.
        per_level: Number of images of each level in a minibatch.
        seed: The seed for drawing groups (and images, without the quirk `sequential`).
        quirks: The quirks of the original to reproduce.

    Raises:
        ValueError: For a list that does not have this form.
    """

    def __init__(
        self, images: ImageList, *, list_groups: int, groups: int, levels: int, per_level: int, seed: int,
        quirks: Quirks = FAITHFUL,
    ):  # fmt: skip
        super().__init__(images, seed)
        self.list_groups, self.groups, self.levels, self.per_batch = list_groups, groups, levels, per_level
        self.quirks = quirks
        lines = len(images.paths)
        self.count = lines // list_groups // levels  # number of images per level and group
        if lines % (list_groups * levels) or self.count < per_level:
            raise ValueError(
                f"{images.name}: expected {list_groups} distortions x {levels} levels x at least {per_level} images, "
                f"got {lines} lines"
            )
        if groups > list_groups:
            raise ValueError(f"groups: expected at most list_groups = {list_groups}, got {groups}")
        self.ranking = None if quirks.labels_ignored else self._ranking()

    def _ranking(self) -> np.ndarray:
        """Return each group's levels sorted by label, int (list_groups, levels)."""
        labels = self.images.labels.reshape(self.list_groups, self.levels, self.count)
        level_labels = labels[:, :, 0]
        if (labels != level_labels[..., None]).any() or (np.diff(np.sort(level_labels, axis=1), axis=1) == 0).any():
            raise ValueError(f"{self.images.name}: expected one label per level, different ones in a distortion")
        return np.argsort(level_labels, axis=1)

    def _lines(self, random):
        first, visited = 0, np.arange(self.count)
        if not self.quirks.sequential:
            visited = random.permutation(self.count)
        while True:
            groups = range(self.list_groups)
            if self.groups < self.list_groups:
                groups = random.permutation(self.list_groups)[: self.groups]
            yield [
                (k * self.levels + level) * self.count + visited[first + i]
                for k in groups
                for level in (range(self.levels) if self.ranking is None else self.ranking[k])
                for i in range(self.per_batch)
            ]
            first += self.per_batch
            if self.count - first < self.per_batch:  # CAFFE: the rest is never used (upstream's rank layers)
                first = 0
                if not self.quirks.sequential:
                    visited = random.permutation(self.count)


class FineTuneOrder(Order):
    """The sampler for fine-tuning. It goes through random permutations of the list.

    Args:
        images: The list.
        batch: Number of images in a minibatch.
        sort_by_label: Whether to sort a minibatch from the highest label to the lowest.
        seed: The seed of the permutations.
        quirks: The quirks of the original to reproduce.

    Raises:
        ValueError: If the list is too short for a minibatch.
    """

    def __init__(self, images: ImageList, *, batch: int, sort_by_label: bool, seed: int, quirks: Quirks = FAITHFUL):
        super().__init__(images, seed)
        self.batch, self.quirks = batch, quirks
        self.sort_by_label = sort_by_label and quirks.sorted_batch
        least = batch + 1 if quirks.last_batch_dropped else batch
        if len(images.paths) < least:
            # CAFFE: the original reshuffles such a list each time and returns short minibatches (upstream's ft layers)
            raise ValueError(
                f"{images.name}: expected at least {least} lines for minibatches of {batch}, got {len(images.paths)}"
            )

    def _lines(self, random):
        n = len(self.images.paths)
        permutation, at = random.permutation(n), 0
        while True:
            # CAFFE: the comparison is >=, so a full last minibatch is dropped (upstream's ft layers)
            if at + self.batch >= n if self.quirks.last_batch_dropped else at + self.batch > n:
                permutation, at = random.permutation(n), 0
            lines = permutation[at : at + self.batch]
            at += self.batch
            if self.sort_by_label:
                lines = lines[argsort_2017(self.images.labels[lines])[::-1]]
            yield lines
