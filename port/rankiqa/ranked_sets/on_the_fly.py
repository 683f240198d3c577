"""Ranked minibatches of distorted versions that are made from pristine photographs during training, without a ranked
set.

A minibatch contains `groups` distortion types. For each type it has `images` photographs at every level, where level 0
is the photograph itself, and one crop of each version. The random numbers of a photograph's versions depend on the seed
and on the photograph's number among all that were requested, but not on the workers or on where a run was resumed.

The original has no such option: it distorts with MATLAB beforehand. The distortions are those of `rankiqa.distortions`.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from rankiqa.data.crops import crop_offsets, take_crops
from rankiqa.data.folders import Kind, scan
from rankiqa.data.images import ImageError, read_bytes
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.minibatches import DataError
from rankiqa.data.order import Order
from rankiqa.data.photographs import read_photograph
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets.fidelity import needed, visual_information_fidelity
from rankiqa.ranked_sets.make_files import check_types

KEPT = 16  # photographs in the cache, at the size at which they are distorted: a minibatch needs each once per level


@dataclass(frozen=True)
class DistortionChoice:
    """The processing of the photographs.

    Attributes:
        dataset: A key of `rankiqa.distortions.DATASETS`.
        types: Names in that table.
        combine: The share of the photographs that get a second distortion after the first, one level milder.
        scales: Each photograph is first resized by a random factor between these two (not below the crop's size).
        mirror: Whether to mirror a random half of the photographs.
        longest: Larger photographs are first reduced to this longest side in pixels; 0: no reduction.
        fidelity: Whether a crop's label is its visual information fidelity to the photograph, instead of its level.

    Raises:
        ValueError: An unknown table or type, a type that cannot be made here, or a value out of range.
    """

    dataset: str
    types: tuple[str, ...]
    combine: float = 0.0
    scales: tuple[float, float] = (1.0, 1.0)
    mirror: bool = False
    longest: int = 0
    fidelity: bool = False

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"distort: expected a set of {', '.join(DATASETS)}, got {self.dataset!r}")
        table = DATASETS[self.dataset]
        unknown = [name for name in self.types if name not in table]
        if unknown or not self.types:
            raise ValueError(f"types: expected some of {', '.join(table)}, got {', '.join(unknown) or 'none'}")
        if not 0 <= self.combine <= 1:
            raise ValueError(f"combine: expected a share, 0..1, got {self.combine}")
        if self.combine and len(self.types) < 2:
            raise ValueError("combine: expected two types or more to combine, got one")
        if not 0 < self.scales[0] <= self.scales[1] <= 4:
            raise ValueError(f"scales: expected two ascending factors, above 0 and at most 4, got {self.scales}")
        if self.longest < 0:
            raise ValueError(f"longest: expected pixels, 0 or more, got {self.longest}")
        check_types(self.dataset, list(self.types))
        if self.fidelity:
            needed()


@dataclass(frozen=True)
class PristinePhotographs:
    """A folder of photographs as the source of ranked minibatches.

    Attributes:
        name: The folder.
        paths: The paths of the photographs, sorted.
        choice: The processing of the photographs.
    """

    name: str
    paths: tuple[str, ...]
    choice: DistortionChoice

    @classmethod
    def of_folder(cls, folder: str | os.PathLike, choice: DistortionChoice) -> PristinePhotographs:
        """Return the photographs of a folder and its subfolders. Raise ValueError if there are none."""
        try:
            names = sorted(path for path, kind in scan(folder, recursive=True) if kind is Kind.IMAGE)
        except OSError as error:
            raise ValueError(f"{folder}: expected a folder of photographs, got: {error.strerror}") from None
        if not names:
            raise ValueError(f"{folder}: expected a folder with photographs, got none")
        return cls(os.fspath(folder), tuple(os.path.join(folder, name) for name in names), choice)

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 (hex) of the photographs' names below the folder."""
        names = (os.path.relpath(path, self.name) for path in self.paths)
        return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()

    @property
    def settings(self) -> dict:
        """Return the settings that must not change when a run is resumed."""
        return asdict(self.choice)

    def crops(self, *, spec: InputSpec, seed: int, cache_mb: int) -> Versions:
        """Return the crops for a network, by the keys of `DistortedOrder`."""
        return Versions(self, spec=spec, seed=seed, cache_mb=cache_mb)


class DistortedOrder(Order):
    """The keys (type, photograph, level, n) of minibatches: for each type, for each level, the photographs.

    A minibatch takes the first types of a random permutation, and for each type the next photographs of another
    permutation. n numbers the pairs of type and photograph; the levels of a pair share the random choices for the
    photograph.

    Args:
        photographs: The source.
        groups: The number of types in a minibatch.
        levels: The number of levels of each type, the pristine one included.
        per_level: The number of photographs per level.
        pristine_first: Whether the ranking goes from pristine to the worst level, instead of the reverse.
        seed: The seed of types and photographs.

    Raises:
        ValueError: More types, levels or photographs are requested than there are.
    """

    def __init__(
        self, photographs: PristinePhotographs, *, groups: int, levels: int, per_level: int, pristine_first: bool,
        seed: int,
    ):  # fmt: skip
        self.photographs, self.seed, self.start = photographs, seed, 0
        self.groups, self.per_level = groups, per_level
        self.ranking = range(levels) if pristine_first else range(levels)[::-1]
        choice = photographs.choice
        if groups > len(choice.types):
            raise ValueError(
                f"groups: expected at most the {len(choice.types)} types of {choice.dataset}, got {groups}"
            )
        most = 1 + min(len(DATASETS[choice.dataset][name].levels) for name in choice.types)
        if levels > most:
            raise ValueError(
                f"levels: expected at most {most} of {choice.dataset}, pristine included, got {levels} (use --set "
                f"levels=)"
            )
        if per_level > len(photographs.paths):
            raise ValueError(
                f"{photographs.name}: expected at least {per_level} photographs, got {len(photographs.paths)}"
            )

    def __iter__(self) -> Iterator[list[tuple[int, int, int, int]]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        random, n = np.random.RandomState(self.seed), 0
        photographs = self._photographs(random)
        size = self.groups * self.per_level
        for number, (types, images) in enumerate(zip(self._types(random), photographs, strict=True)):
            if number >= self.start:
                yield [
                    (types[group], images[group * self.per_level + i], level, n + group * self.per_level + i)
                    for group in range(self.groups)
                    for level in self.ranking
                    for i in range(self.per_level)
                ][self.rows]
            n += size

    def _types(self, random: np.random.RandomState) -> Iterator[Sequence[int]]:
        while True:
            yield random.permutation(len(self.photographs.choice.types))[: self.groups].tolist()

    def _photographs(self, random: np.random.RandomState) -> Iterator[list[int]]:
        """Yield the photographs of each minibatch. No photograph appears twice for a type."""
        left: list[int] = []
        while True:
            images: list[int] = []
            for _ in range(self.groups):
                if len(left) < self.per_level:
                    left = random.permutation(len(self.photographs.paths)).tolist()
                images += [left.pop() for _ in range(self.per_level)]
            yield images


class Versions(Dataset):
    """Crops of distorted photographs by key (type, photograph, level, n): (float32 (3, crop, crop), level or fidelity).

    Args:
        photographs: The source.
        spec: The input format of the network.
        seed: The seed of everything that is random.
        cache_mb: MiB of decoded photographs to keep in each worker.

    Raises:
        DataError: When a requested photograph cannot be used. The message names the file.
    """

    def __init__(self, photographs: PristinePhotographs, *, spec: InputSpec, seed: int, cache_mb: int = 0):
        self.photographs, self.spec, self.seed = photographs, spec, seed
        self._decoded: dict[str, np.ndarray] = {}
        self._room = cache_mb << 20
        self._prepared: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.photographs.paths)

    def __getitem__(self, key: tuple[int, int, int, int]) -> tuple[Tensor, float]:
        kind, photograph, level, n = key
        path = self.photographs.paths[photograph]
        try:
            image = self.version(kind, photograph, level, n)
            random = np.random.RandomState([self.seed, n, level, 1])
            offsets = crop_offsets(image.shape[0], image.shape[1], self.spec.crop, 1, random, last_offset=True)
        except ImageError as error:
            raise DataError(f"{path}: {error}") from None
        except MemoryError:
            raise DataError(f"{path}: expected a photograph that fits into memory, got too little memory") from None
        except Exception as error:  # for example a distortion's own, for a small photograph
            raise DataError(f"{path}: expected a photograph, got: {type(error).__name__}: {error}") from None
        label = self._fidelity(image, photograph, n, offsets[0]) if self.photographs.choice.fidelity else float(level)
        return take_crops(image, offsets, self.spec)[0], label

    def _fidelity(self, image: np.ndarray, photograph: int, n: int, offset: np.ndarray) -> float:
        """Return the fidelity of a crop of a version to the crop of its photograph at the same position."""
        top, left = offset
        window = slice(top, top + self.spec.crop), slice(left, left + self.spec.crop)
        return visual_information_fidelity(image[window], self._prepare(photograph, n)[window])

    def version(self, kind: int, photograph: int, level: int, n: int) -> np.ndarray:
        """Return a whole version of a photograph: uint8 (H, W, 3), RGB."""
        image, choice = self._prepare(photograph, n), self.photographs.choice
        if not level:
            return image
        random = np.random.RandomState([self.seed, n, 2])
        combined = random.random_sample() < choice.combine
        second = (kind + 1 + random.randint(max(1, len(choice.types) - 1))) % len(choice.types)
        table, random = DATASETS[choice.dataset], np.random.RandomState([self.seed, n, level, 3])
        row = table[choice.types[kind]]
        distorted = row.apply(image, row.levels[level - 1], random)
        if combined and level > 1:
            row = table[choice.types[second]]
            distorted = row.apply(np.ascontiguousarray(distorted), row.levels[level - 2], random)
        return distorted

    def _prepare(self, photograph: int, n: int) -> np.ndarray:
        """Return the photograph, resized and mirrored as the random numbers for n say."""
        if n in self._prepared:
            return self._prepared[n]
        image, choice = self._read(self.photographs.paths[photograph]), self.photographs.choice
        random = np.random.RandomState([self.seed, n, 0])
        factor = max(random.uniform(*choice.scales), self.spec.crop / min(image.shape[:2]))
        if factor != 1:
            height, width = (max(self.spec.crop, round(side * factor)) for side in image.shape[:2])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        if choice.mirror and random.randint(2):
            image = image[:, ::-1]
        image = np.ascontiguousarray(image)
        self._prepared[n] = image
        if len(self._prepared) > KEPT:
            self._prepared.popitem(last=False)
        return image

    def _read(self, path: str) -> np.ndarray:
        """Return a decoded photograph, from the cache if possible."""
        if path in self._decoded:
            return self._decoded[path]
        image = read_photograph(read_bytes(Path(path)), min_side=self.spec.crop)
        longest, (height, width) = self.photographs.choice.longest, image.shape[:2]
        if longest and max(height, width) > longest:
            factor = max(longest / max(height, width), self.spec.crop / min(height, width))
            if factor < 1:
                size = (max(self.spec.crop, round(width * factor)), max(self.spec.crop, round(height * factor)))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._decoded[path] = image
        return image
