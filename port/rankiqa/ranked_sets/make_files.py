"""One photograph: everything that is made from it. Runs in a worker."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.images import ImageError
from rankiqa.data.photographs import check_size, read_photograph
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets.records import Record, forget, read_record, record_bytes, record_path

PRISTINE = "pristine_images"


@dataclass(frozen=True)
class Order:
    """What a run makes: see `rankiqa.ranked_sets`. settings: the digest of what the bytes depend on.

    temporary: a folder on OUT's file system, this run's own. pristine: whether the photographs are written too.
    """

    images: str
    out: str
    dataset: str
    types: tuple[str, ...]
    levels: tuple[int, ...]
    seed: int
    settings: str
    temporary: str
    min_side: int
    max_pixels: int
    quick: bool
    pristine: bool

    @property
    def files(self) -> int:
        """How many files a photograph gives."""
        return len(self.types) * len(self.levels) + self.pristine


class WriteError(Exception):
    """A file could not be written: the run ends."""


def generator(seed: int, name: str, kind: str, level: int) -> np.random.Generator:
    """The source of what is random in one file."""
    key = hashlib.sha256(json.dumps([seed, name, kind, level]).encode()).digest()
    return np.random.default_rng(int.from_bytes(key, "big"))


def level_folder(kind: str, level: int) -> str:
    """A level's folder in OUT: JPEG/JPEG3."""
    return f"{kind}/{kind}{level}"


def rehearse(dataset: str, types: list[str]) -> None:
    """Make each type of a small picture. Raises ValueError where that fails, as without a package that one needs."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    for kind in types:
        try:
            _bytes(picture, dataset, kind, 1, generator(0, "", kind, 1))
        except Exception as error:
            raise ValueError(f"--types: {kind} cannot be made here: {_words(error)}") from None


def make(order: Order, file: str, name: str, progress: Callable[[int], None]) -> tuple[int, int]:
    """Make what is not there and right; returns (files made, files skipped).

    file: the photograph's name in order.images. progress: told of files as they are done.
    Raises ImageError when the file is no photograph, WriteError when a result cannot be written.
    """
    out = Path(order.out)
    data = _read(Path(order.images, file))
    digest = hashlib.sha256(data).hexdigest()
    record = read_record(out, name)
    stale = record is not None and not record.fits(order.settings, digest)
    wanted = list(_wanted(order, name))
    right = set()
    if record and not stale:
        right = {path for path, *_ in wanted if record.holds(out, path, order.quick)}
        if len(right) == len(wanted):
            check_size(record.height, record.width, order.min_side, order.max_pixels)
            progress(len(right))
            return 0, len(right)
    image = read_photograph(data, min_side=order.min_side, max_pixels=order.max_pixels)
    if record is None or stale:
        _or_end(forget, out, name, record)
        record = Record(order.settings, digest, *image.shape[:2])
    progress(len(right))
    made, kind_before = 0, None
    for path, kind, level in wanted:
        if path in right:
            continue
        if made and kind != kind_before:  # a kill costs at most the levels of one type
            _keep(order, name, record)
        try:
            data = _encoded(order, image, name, kind, level)
        except ImageError:
            _or_end(forget, out, name, record)  # all of a photograph or nothing, or the lists' lines would not match
            raise
        _or_end(_write, Path(order.temporary), out / path, data)
        record.files[path] = [len(data), hashlib.sha256(data).hexdigest()]
        made, kind_before = made + 1, kind
        progress(1)
    _keep(order, name, record)
    return made, len(right)


def _wanted(order: Order, name: str) -> Iterator[tuple[str, str | None, int]]:
    """(path in OUT, type, level) of each file; the photograph itself, type None, last."""
    for kind in order.types:
        for level in order.levels:
            yield f"{level_folder(kind, level)}/{name}{DATASETS[order.dataset][kind].suffix}", kind, level
    if order.pristine:
        yield f"{PRISTINE}/{name}.bmp", None, 0


def _encoded(order: Order, image: np.ndarray, name: str, kind: str | None, level: int) -> bytes:
    """The bytes of one file."""
    if kind is None:
        return _bmp(image)
    try:
        return _bytes(image, order.dataset, kind, level, generator(order.seed, name, kind, level))
    except Exception as error:  # what one photograph brings to light is no reason to leave the others
        raise ImageError(f"expected {kind} level {level} to be made, got {_words(error)}") from error


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _bytes(image: np.ndarray, dataset: str, kind: str, level: int, random: np.random.Generator) -> bytes:
    row = DATASETS[dataset][kind]
    value = row.levels[level - 1]
    return row.encode(image, value, random) if row.encode else _bmp(row.apply(image, value, random))


def _bmp(image: np.ndarray) -> bytes:
    return cv2.imencode(".bmp", image[:, :, ::-1])[1].tobytes()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except MemoryError:
        raise ImageError("expected an image that fits into memory, got a larger file") from None
    except OSError as error:
        raise ImageError(f"expected a readable image, got: {error.strerror}") from None


def _keep(order: Order, name: str, record: Record) -> None:
    _or_end(_write, Path(order.temporary), record_path(Path(order.out), name), record_bytes(record))


def _write(temporary: Path, path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    part = temporary / str(os.getpid())
    part.write_bytes(data)
    os.replace(part, path)


def _or_end(action: Callable, *arguments) -> None:
    """Do what touches OUT; an error there ends the run, it is none of the photograph's."""
    try:
        action(*arguments)
    except OSError as error:
        raise WriteError(
            f"{error.filename2 or error.filename or arguments[1]}: expected to write there, got: {error.strerror}"
        ) from None
