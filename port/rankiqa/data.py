"""Lists, minibatches and crops in the original's order, as PyTorch datasets and samplers.

A sampler yields minibatches of (line, n): a line of the list and how many images were asked for before it. The crop of
the n-th image comes from numpy's RandomState([seed, n]), so it depends on neither the workers nor the other images.
(Upstream draws crops in ten forked processes that share one state, which no seed can repeat.)

Source: upstream src/data_layer/{rank,ft}_layer_{live,tid2013}.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rankiqa.crops import crop_offsets, take_crops
from rankiqa.images import ImageError, read_image
from rankiqa.presets import Preset


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


@dataclass(frozen=True)
class ImageList:
    """A list file: image paths, labels float32 (n,), and the SHA-256 (hex) of its text."""

    name: str
    paths: tuple[str, ...]
    labels: np.ndarray
    sha256: str


def read_list(path: str | os.PathLike, root: str | os.PathLike = "") -> ImageList:
    """Read `path label` lines; the images' paths start at root. Raises ValueError that names the line."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a list of `path label` lines, got: {error}") from None
    paths, labels = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            image, label = line.split()
            labels.append(float(label))
        except ValueError:
            raise ValueError(f"{path} line {number}: expected `path label`, got {line!r}") from None
        paths.append(os.path.join(root, image))
    if not paths:
        raise ValueError(f"{path}: expected `path label` lines, got an empty file")
    if not np.isfinite(labels).all():
        raise ValueError(f"{path}: expected finite labels, got nan or inf")
    return ImageList(str(path), tuple(paths), np.array(labels), hashlib.sha256(text.encode()).hexdigest())


class _Order(Sampler):
    """Minibatches without end, from the seed; `start`: how many to pass over first."""

    def __init__(self, images: ImageList, seed: int):
        self.images, self.seed, self.start = images, seed, 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        n = 0
        for number, lines in enumerate(self._lines(np.random.RandomState(self.seed))):
            if number >= self.start:
                yield [(int(line), n + i) for i, line in enumerate(lines)]
            n += len(lines)

    def _lines(self, random: np.random.RandomState) -> Iterator[Sequence[int]]:
        raise NotImplementedError


class RankOrder(_Order):
    """Rank minibatches: for each group (distortion), for each level, `images` images, as lines of the list.

    list_groups, levels: what the list is made of, block after block; groups: how many of them a minibatch takes, drawn
    anew each time if fewer. Raises ValueError for a list that is not made so.
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


class FTOrder(_Order):
    """Fine-tuning minibatches: a permutation of the list, a new one when it is used up.

    Raises ValueError for a list that is no longer than a minibatch.
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


def argsort_2017(values: np.ndarray) -> np.ndarray:
    """numpy's default argsort as it was up to 1.24: which of two equal values comes first, upstream's minibatch shows.

    Quicksort by the median of three, runs of up to 16 by insertion; later numpy sorts otherwise on newer processors.
    values: (n,), without nan. Its change to heapsort after too many bad pivots, which 30 values cannot bring about, is
    not modelled.
    """
    order = list(range(len(values)))

    def swap(a: int, b: int) -> None:
        order[a], order[b] = order[b], order[a]

    runs = [(0, len(order) - 1)]
    while runs:
        low, high = runs.pop()
        while high - low > 15:
            middle = (low + high) // 2
            for a, b in ((middle, low), (high, middle), (middle, low)):
                if values[order[a]] < values[order[b]]:
                    swap(a, b)
            pivot = values[order[middle]]
            i, j = low, high - 1
            swap(middle, j)
            while True:
                i += 1
                while values[order[i]] < pivot:
                    i += 1
                j -= 1
                while pivot < values[order[j]]:
                    j -= 1
                if i >= j:
                    break
                swap(i, j)
            swap(i, high - 1)
            runs.append((i + 1, high))
            high = i - 1
        for i in range(low + 1, high + 1):
            one, j = order[i], i
            while j > low and values[one] < values[order[j - 1]]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = one
    return np.array(order, np.intp)


class Crops(Dataset):
    """Random crops by key (line, n): float32 (3, crop, crop) BGR, 0..255, and the line's label.

    cache_mb: decoded images to keep, in each worker. Raises ValueError for an image that is not there, unreadable, or
    too small; grey, alpha and 16-bit images are read as the original reads them.
    """

    def __init__(self, images: ImageList, *, crop: int, seed: int, cache_mb: int = 0, quirks: Quirks = FAITHFUL):
        self.images, self.crop, self.seed, self.quirks = images, crop, seed, quirks
        self._cache: dict[str, np.ndarray] = {}
        self._room = cache_mb << 20

    def __len__(self) -> int:
        return len(self.images.paths)

    def _image(self, path: str) -> np.ndarray:
        image = self._cache.get(path)
        if image is None:
            image = read_image(path, convert=True)
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
        return image

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, float]:
        line, n = key
        path = self.images.paths[line]
        random = np.random.RandomState([self.seed, n])
        try:
            image = self._image(path)
            height, width = image.shape[:2]
            last = not self.quirks.last_offset_never_drawn
            offsets = crop_offsets(height, width, self.crop, 1, random, last_offset=last)
        except ImageError as error:
            raise ValueError(f"{path}: {error}") from None
        return take_crops(image, offsets, self.crop)[0], float(self.images.labels[line])


def _collate(items: list[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
    return torch.stack([crop for crop, _ in items]), torch.tensor([label for _, label in items], dtype=torch.float32)


def order(images: ImageList, preset: Preset, seed: int, quirks: Quirks = FAITHFUL) -> RankOrder | FTOrder:
    """The minibatches of a preset."""
    if preset.task == "rank":
        made = {"list_groups": preset.list_groups, "groups": preset.groups, "levels": preset.levels}
        return RankOrder(images, **made, per_level=preset.images, seed=seed, quirks=quirks)
    return FTOrder(images, batch=preset.batch, sort_by_label=preset.sort_by_label, seed=seed, quirks=quirks)


def minibatches(
    images: ImageList,
    preset: Preset,
    *,
    crop: int,
    seed: int,
    faithful: bool = True,
    quirks: Quirks | None = None,
    workers: int = 0,
    cache_mb: int = 0,
    start: int = 0,
) -> DataLoader:
    """Minibatches without end: (crops float32 (N, 3, crop, crop) BGR 0..255, labels float32 (N,)).

    preset: what a minibatch is made of. crop: pixels. faithful: the original's quirks, all or none; quirks: each alone.
    workers: processes that read; the minibatches are the same for any number. start: minibatches to pass over.
    """
    quirks = quirks or (FAITHFUL if faithful else SANE)
    sampler = order(images, preset, seed, quirks)
    sampler.start = start
    dataset = Crops(images, crop=crop, seed=seed, cache_mb=cache_mb, quirks=quirks)
    return DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=_collate)
