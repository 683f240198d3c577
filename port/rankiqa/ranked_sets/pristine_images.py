"""One image, and a folder of them, as whole files."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.images import ImageError
from rankiqa.data.photographs import MAX_PIXELS, MIN_SIDE, read_photograph

MOST = 3 * 224  # pixels of the shorter side: above, VGG-16's crop is less than a third of it


@dataclass(frozen=True)
class Rules:
    """What an image must be. min_side, max_pixels: of each. large: keep, scale or refuse a shorter side above MOST."""

    min_side: int = MIN_SIDE
    max_pixels: int = MAX_PIXELS
    large: str = "keep"


@dataclass(frozen=True)
class Outcome:
    """What became of an image. large: its shorter side was above MOST. size: bytes of its output."""

    name: str
    large: bool = False
    written: bool = False
    size: int = 0
    refused: str | None = None


def fit(image: np.ndarray, large: str) -> np.ndarray:
    """An image whose shorter side is at most MOST, so that a 224 crop is at least a third of it.

    image: uint8 (H, W, 3). large: keep gives it as it is, scale a smaller one (the means of the pixels' areas).
    Raises ImageError for refuse.
    Source: RankIQA, experimental protocol: sub-images of at least 1/3 of the original.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter <= MOST or large == "keep":
        return image
    if large == "refuse":
        raise ImageError(f"expected a shorter side of at most {MOST} pixels, got {height} x {width} (H x W)")
    size = tuple((2 * side * MOST + shorter) // (2 * shorter) for side in (width, height))  # halves round up
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def prepare(image: tuple[str, Path], out: Path, rules: Rules, quick: bool = False) -> Outcome:
    """Make OUT/NAME from a file unless it is there and right: the bytes that it would be made of.

    quick: a file that is there is right. Raises OSError when it cannot be written.
    """
    name, source = image
    target = out / name
    if quick and target.is_file():
        return Outcome(name, size=target.stat().st_size)
    try:
        pixels = read_photograph(_read(source), min_side=rules.min_side, max_pixels=rules.max_pixels)
        fitted = fit(pixels, rules.large)
    except ImageError as error:
        target.unlink(missing_ok=True)  # of an earlier run, from a file that was right then
        return Outcome(name, refused=str(error))
    data = cv2.imencode(".bmp", fitted[:, :, ::-1])[1].tobytes()
    made = {"large": min(pixels.shape[:2]) > MOST, "size": len(data)}
    with contextlib.suppress(FileNotFoundError):
        if target.read_bytes() == data:
            return Outcome(name, **made)
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return Outcome(name, written=True, **made)


def prepare_all(
    images: Sequence[tuple[str, Path]], out: Path, rules: Rules, *, workers: int = 1, quick: bool = False
) -> Iterator[Outcome]:
    """What became of each image, in order; the same files for any number of workers (processes). Raises OSError."""
    one = partial(prepare, out=out, rules=rules, quick=quick)
    if workers == 1:
        yield from map(one, images)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would take the progress bar's thread's locks along
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin) as pool:
        try:
            yield from pool.map(one, images, chunksize=8)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, ends with it, and has one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"expected a readable image, got: {error.strerror}") from None
