"""Which lines of a list each minibatch takes, in the original's order.

Source: upstream src/data_layer/{rank,ft}_layer_{live,tid2013}.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from rankiqa.data.argsort_2017 import argsort_2017
from rankiqa.data.lists import ImageList


@dataclass(frozen=True)
class Quirks:
    """What the original does and a new experiment might not want; each True is the original's way."""

    last_offset_never_drawn: bool = True  # the crop at the lower or right edge; an image of the crop's size is refused
    last_batch_dropped: bool = True  # fine-tuning: a full minibatch that would end exactly at the list's end
    sorted_batch: bool = True  # fine-tuning, TID2013: a minibatch runs from the highest label to the lowest
    sequential: bool = True  # ranking: images in the list's order, the same neighbours always; else shuffled
    labels_ignored: bool = True  # ranking: the list's order is the ranking; else levels are ordered by label, rising


FAITHFUL = Quirks()
SANE = Quirks(*[False] * 5)


class Order(Sampler):
    """Minibatches of (line, n) without end, drawn from the seed.

    Attributes:
        start: How many minibatches to pass over first.
        rows: Which of a minibatch's are wanted.
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
    """Rank minibatches: for each group (distortion), for each level, `per_level` images, as lines of the list.

    Args:
        images: A list of blocks: for each group, for each level, the same images in the same order.
        list_groups: Groups (distortions) in the list.
        groups: How many of them a minibatch takes; fewer than the list has are drawn anew for each minibatch.
        levels: Levels in each group, pristine included.
        per_level: Images of each level in a minibatch.
        seed: Of the groups that are drawn (and of the images, without the quirk `sequential`).
        quirks: The original's ways that are kept.

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
        self.count = lines // list_groups // levels  # images at each level of each group
        if lines % (list_groups * levels) or self.count < per_level:
            raise ValueError(
                f"{images.name}: expected {list_groups} distortions x {levels} levels x at least {per_level} images, "
                f"got {lines} lines"
            )
        if groups > list_groups:
            raise ValueError(f"groups: expected at most list_groups = {list_groups}, got {groups}")
        self.ranking = None if quirks.labels_ignored else self._ranking()

    def _ranking(self) -> np.ndarray:
        """For each group its levels in the order of their labels, int (list_groups, levels)."""
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
            if self.count - first < self.per_batch:  # CAFFE: what is left over is never seen (upstream's rank layers)
                first = 0
                if not self.quirks.sequential:
                    visited = random.permutation(self.count)


class FineTuneOrder(Order):
    """Fine-tuning minibatches: a permutation of the list, a new one when it is used up.

    Args:
        images: The list.
        batch: Images in a minibatch.
        sort_by_label: Whether a minibatch runs from the highest label to the lowest.
        seed: Of the permutations.
        quirks: The original's ways that are kept.

    Raises:
        ValueError: For a list that is no longer than a minibatch.
    """

    def __init__(self, images: ImageList, *, batch: int, sort_by_label: bool, seed: int, quirks: Quirks = FAITHFUL):
        super().__init__(images, seed)
        self.batch, self.quirks = batch, quirks
        self.sort_by_label = sort_by_label and quirks.sorted_batch
        least = batch + 1 if quirks.last_batch_dropped else batch
        if len(images.paths) < least:
            # CAFFE: such a list would be reshuffled for ever and give short minibatches (upstream's ft layers)
            raise ValueError(
                f"{images.name}: expected at least {least} lines for minibatches of {batch}, got {len(images.paths)}"
            )

    def _lines(self, random):
        n = len(self.images.paths)
        permutation, at = random.permutation(n), 0
        while True:
            # CAFFE: >=, so a full last minibatch is dropped (upstream's ft layers)
            if at + self.batch >= n if self.quirks.last_batch_dropped else at + self.batch > n:
                permutation, at = random.permutation(n), 0
            lines = permutation[at : at + self.batch]
            at += self.batch
            if self.sort_by_label:
                lines = lines[argsort_2017(self.images.labels[lines])[::-1]]
            yield lines
