"""Write the pristine images for a ranked set: one image, or a folder of images."""

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

MOST = 3 * 224  # pixels of the shorter side; above it, VGG-16's crop is less than a third of the side


@dataclass(frozen=True)
class Rules:
    """The requirements for an image.

    Attributes:
        min_side: The smallest height and width in pixels.
        max_pixels: The largest number of pixels.
        large: keep, scale or refuse an image whose shorter side is above MOST.
    """

    min_side: int = MIN_SIDE
    max_pixels: int = MAX_PIXELS
    large: str = "keep"


@dataclass(frozen=True)
class Outcome:
    """The result for an image.

    Attributes:
        name: The name of the output.
        large: Whether the shorter side was above MOST.
        written: Whether the output was written; if not, it was valid, or the image was refused.
        size: The size of the output in bytes.
        refused: Why the image was refused, or None.
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
        large: "keep" returns the image unchanged, "scale" reduces it (area means), "refuse" raises ImageError.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ImageError: `large` is "refuse", and the shorter side is above MOST.

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
    """Write OUT/NAME as a .bmp file, unless it has the right content already.

    Args:
        image: (NAME, source file).
        out: The folder OUT.
        rules: The requirements for the image.
        quick: Whether to trust an existing OUT/NAME.

    Returns:
        The result.

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
        target.unlink(missing_ok=True)  # an earlier run may have written it, before the source changed
        return Outcome(name, refused=str(error))
    data = cv2.imencode(".bmp", fitted[:, :, ::-1])[1].tobytes()
    about = {"large": min(pixels.shape[:2]) > MOST, "size": len(data)}
    with contextlib.suppress(FileNotFoundError):
        if target.read_bytes() == data:
            return Outcome(name, **about)
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return Outcome(name, written=True, **about)


def prepare_images(
    images: Sequence[tuple[str, Path]], out: Path, rules: Rules, *, workers: int = 1, quick: bool = False
) -> Generator[Outcome, None, None]:
    """Write all images. The files do not depend on the number of workers.

    Args:
        images: (NAME, source file) of each image.
        out: The folder OUT.
        rules: The requirements for each image.
        workers: The number of processes.
        quick: Whether to trust existing files.

    Yields:
        The results in the order in which they are ready.

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
