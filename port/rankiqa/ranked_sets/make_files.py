"""Make every file of one photograph. This code runs in a worker."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rankiqa.data.extras import MissingExtra
from rankiqa.data.images import ImageError
from rankiqa.data.photographs import check_size, read_photograph
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets.names import PRISTINE, Photograph
from rankiqa.ranked_sets.records import Record, read_record, record_bytes, record_path, remove_files


@dataclass(frozen=True)
class DistortionJob:
    """The task of a run, the same for every photograph.

    Attributes:
        images: The folder of the photographs.
        out: The folder of the ranked set.
        dataset: A key of `rankiqa.distortions.DATASETS`.
        types: The names of the distortions in that table.
        levels: The levels in ascending order; 1 is the mildest.
        seed: The seed of everything that is random.
        settings: The digest of the settings (`settings.digest`).
        temporary: A folder used only by this run, on the file system of `out`.
        min_side: The smallest height and width of a photograph in pixels.
        max_pixels: The largest number of pixels of a photograph.
        quick: Whether to trust existing files of the right size.
        pristine: Whether to write the photographs, too.
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
        """Return the number of files per photograph."""
        return len(self.types) * len(self.levels) + self.pristine


@dataclass(frozen=True)
class Outcome:
    """The result for a photograph: the numbers of files made and skipped, or why it was refused."""

    made: int = 0
    skipped: int = 0
    refused: str | None = None


class WriteError(Exception):
    """A file could not be written. It ends the run."""


def random_generator(seed: int, name: str, distortion: str, level: int) -> np.random.Generator:
    """Return the random generator of one file, seeded with the SHA-256 of all four arguments."""
    key = hashlib.sha256(json.dumps([seed, name, distortion, level]).encode()).digest()
    return np.random.default_rng(int.from_bytes(key, "big"))


def level_folder(distortion: str, level: int) -> str:
    """Return the folder of a level below OUT, such as JPEG/JPEG3."""
    return f"{distortion}/{distortion}{level}"


def check_types(dataset: str, types: list[str]) -> None:
    """Apply each type to a small picture before a run, to detect types that cannot be made here.

    Args:
        dataset: A key of DATASETS.
        types: Names in that table.

    Raises:
        ValueError: A type fails, for example because its package is missing.
    """
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    for name in types:
        try:
            _distorted_file(picture, dataset, name, 1, random_generator(0, "", name, 1))
        except Exception as error:
            raise ValueError(f"--types: {name} cannot be made here: {_one_line(error)}") from None


def make_files(photograph: Photograph, report: Callable[[int], None], job: DistortionJob) -> Outcome:
    """Create the missing and stale files of a photograph.

    Args:
        photograph: The file in `job.images`, and the name of its output files.
        report: Called with the number of newly finished files; the sum is `job.files`.
        job: The task.

    Returns:
        The numbers of files, or why the photograph was refused. A refused photograph keeps no files.

    Raises:
        WriteError: A result cannot be written.
    """
    reported = 0

    def count(files: int) -> None:
        nonlocal reported
        reported += files
        report(files)

    try:
        outcome = _make(photograph, count, job)
    except ImageError as error:
        outcome = Outcome(refused=str(error))
    report(job.files - reported)
    return outcome


def _make(photograph: Photograph, report: Callable[[int], None], job: DistortionJob) -> Outcome:
    """Make the files of a photograph. Raise ImageError if it is refused."""
    out, name = Path(job.out), photograph.name
    data = _read(Path(job.images, photograph.file))
    digest = hashlib.sha256(data).hexdigest()
    record = read_record(out, name)
    stale = record is not None and not record.matches(job.settings, digest)
    wanted = list(_wanted_files(job, name))
    valid = set()
    if record and not stale:
        valid = {path for path, *_ in wanted if record.is_valid(out, path, job.quick)}
        if len(valid) == len(wanted):
            check_size(record.height, record.width, job.min_side, job.max_pixels)
            return Outcome(skipped=len(valid))
    image = read_photograph(data, min_side=job.min_side, max_pixels=job.max_pixels)
    if record is None or stale:
        _or_write_error(remove_files, out, name, record)
        record = Record(job.settings, digest, *image.shape[:2])
    report(len(valid))
    made, previous = 0, None
    for path, distortion, level in wanted:
        if path in valid:
            continue
        if made and distortion != previous:  # so that a kill costs at most the levels of one type
            _write_record(job, name, record)
        try:
            data = _file(job, image, name, distortion, level)
        except ImageError:
            # Make all files of a photograph or none: the lists pair the n-th names of all folders.
            _or_write_error(remove_files, out, name, record)
            raise
        _or_write_error(_write, Path(job.temporary), out / path, data)
        record.files[path] = [len(data), hashlib.sha256(data).hexdigest()]
        made, previous = made + 1, distortion
        report(1)
    _write_record(job, name, record)
    return Outcome(made, len(valid))


def _wanted_files(job: DistortionJob, name: str) -> Iterator[tuple[str, str | None, int]]:
    """Yield (path below OUT, distortion, level) of each file. The photograph itself, with distortion None, is last."""
    for distortion in job.types:
        for level in job.levels:
            suffix = DATASETS[job.dataset][distortion].suffix
            yield f"{level_folder(distortion, level)}/{name}{suffix}", distortion, level
    if job.pristine:
        yield f"{PRISTINE}/{name}.bmp", None, 0


def _file(job: DistortionJob, image: np.ndarray, name: str, distortion: str | None, level: int) -> bytes:
    """Return the bytes of one file. Raise ImageError if the distortion fails on this photograph."""
    if distortion is None:
        return _bmp(image)
    try:
        random = random_generator(job.seed, name, distortion, level)
        return _distorted_file(image, job.dataset, distortion, level, random)
    except Exception as error:  # an error with one photograph must not stop the others
        raise ImageError(f"expected {distortion} level {level} to be made, got {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """Return an error as one line."""
    if isinstance(error, MissingExtra):  # its message is written for users
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())


def _distorted_file(image: np.ndarray, dataset: str, distortion: str, level: int, random: np.random.Generator) -> bytes:
    """Return the bytes of a distorted file."""
    row = DATASETS[dataset][distortion]
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


def _write_record(job: DistortionJob, name: str, record: Record) -> None:
    _or_write_error(_write, Path(job.temporary), record_path(Path(job.out), name), record_bytes(record))


def _write(temporary: Path, path: Path, data: bytes) -> None:
    """Write a file atomically."""
    # `replacing` would leave its temporary file beside the result, where lists look, if a run is killed.
    part = temporary / uuid.uuid4().hex  # several machines may write here, and process ids repeat
    part.write_bytes(data)
    os.replace(part, path)


def _or_write_error(action: Callable, *arguments: Any) -> None:
    """Call an action that changes OUT. An OSError ends the run, since the photograph is not its cause."""
    try:
        action(*arguments)
    except OSError as error:
        raise WriteError(
            f"{error.filename2 or error.filename or arguments[1]}: expected a file that can be written, got: "
            f"{error.strerror}"
        ) from None
