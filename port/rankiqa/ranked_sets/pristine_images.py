"""Writing the pristine images of a ranked set: one image, and a folder of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.images import ImageError
from rankiqa.data.photographs import MAX_PIXELS, MIN_SIDE, read_photograph
from rankiqa.ranked_sets.worker_pool import run_jobs

MOST = 3 * 224  # pixels of the shorter side: above, VGG-16's crop is less than a third of it


@dataclass(frozen=True)
class Rules:
    """What an image must be.

    Attributes:
        min_side: The least height and width, pixels.
        max_pixels: The most pixels.
        large: keep, scale or refuse an image whose shorter side is above MOST.
    """

    min_side: int = MIN_SIDE
    max_pixels: int = MAX_PIXELS
    large: str = "keep"


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        name: Of the output.
        large: Whether its shorter side was above MOST.
        written: Whether the output was written; else it was valid, or the image was refused.
        size: The bytes of the output.
        refused: The reason, or None.
    """

    name: str
    large: bool = False
    written: bool = False
    size: int = 0
    refused: str | None = None


def fit(image: np.ndarray, large: str) -> np.ndarray:
    """Limit the shorter side of an image to MOST, so that a 224 crop is at least a third of it.

    Args:
        image: uint8 (H, W, 3).
        large: keep returns the image as it is, scale a smaller one (the means of the pixels' areas).

    Raises:
        ImageError: `large` is refuse, and the shorter side is above MOST.

    Source:
        RankIQA, experimental protocol: sub-images of at least 1/3 of the original.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter <= MOST or large == "keep":
        return image
    if large == "refuse":
        raise ImageError(f"expected a shorter side of at most {MOST} pixels, got {height} x {width} (H x W)")
    size = tuple((2 * side * MOST + shorter) // (2 * shorter) for side in (width, height))  # halves round up
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def prepare_image(image: tuple[str, Path], out: Path, rules: Rules, quick: bool = False) -> Outcome:
    """Write OUT/NAME as a .bmp, unless it has the right bytes already.

    Args:
        image: (NAME, the file that it is made from).
        out: A folder.
        rules: What the image must be.
        quick: Trust an existing OUT/NAME.

    Raises:
        OSError: OUT/NAME cannot be written.
    """
    name, source = image
    target = out / name
    if quick and target.is_file():
        return Outcome(name, size=target.stat().st_size)
    try:
        pixels = read_photograph(_read(source), min_side=rules.min_side, max_pixels=rules.max_pixels)
        fitted = fit(pixels, rules.large)
    except ImageError as error:
        target.unlink(missing_ok=True)  # written by an earlier run, before the file changed
        return Outcome(name, refused=str(error))
    data = cv2.imencode(".bmp", fitted[:, :, ::-1])[1].tobytes()
    made = {"large": min(pixels.shape[:2]) > MOST, "size": len(data)}
    with contextlib.suppress(FileNotFoundError):
        if target.read_bytes() == data:
            return Outcome(name, **made)
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return Outcome(name, written=True, **made)


def prepare_images(
    images: Sequence[tuple[str, Path]], out: Path, rules: Rules, *, workers: int = 1, quick: bool = False
) -> Generator[Outcome, None, None]:
    """Write every image; the files are the same for any number of workers.

    Args:
        images: (NAME, the file that it is made from) of each.
        out: A folder.
        rules: What each image must be.
        workers: The number of processes.
        quick: Trust existing files.

    Yields:
        The outcomes, in the order in which they are ready.

    Raises:
        OSError: A file cannot be written.
        WorkerLost: A worker was killed.
    """
    job = partial(_prepare_job, out=out, rules=rules, quick=quick)
    results = run_jobs(job, iter(images), workers, describe=lambda image: image[1].name)
    with contextlib.closing(results):
        for _, outcome in results:
            yield outcome


def _prepare_job(image: tuple[str, Path], report: Callable[[int], None], **options) -> Outcome:
    outcome = prepare_image(image, **options)
    report(1)
    return outcome


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"expected a readable image, got: {error.strerror}") from None
