"""Choose the photographs, and reduce their size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.folders import find_images
from rankiqa.data.images import ImageError, read_image

DEFAULT = Path(__file__).resolve().parents[2] / "parity_tests" / "photographs"
CROP = 227  # Shallow's input size
SHORT_SIDE, LONG_SIDE = 300, 450  # larger photographs are reduced and cropped centrally to this size
FEWEST, MOST = 6, 60
HELD_OUT_EVERY = 3  # every third photograph, in the order of the names, is held out


class PhotographError(ValueError):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Photograph:
    """A photograph.

    Attributes:
        number: Its index in the order of the file names.
        name: A unique name that a list file can contain.
        pixels: uint8 (H, W, 3), RGB.
        held_out: Whether it is excluded from the training.
    """

    number: int
    name: str
    pixels: np.ndarray
    held_out: bool


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Reduce an image to at most SHORT_SIDE x LONG_SIDE: area averaging, then a central crop of the longer side."""
    scale = SHORT_SIDE / min(pixels.shape[:2])
    if scale < 1:
        height, width = (max(SHORT_SIDE, round(side * scale)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (max(0, side - LONG_SIDE) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + LONG_SIDE, left : left + LONG_SIDE])


def load(folder: Path | None) -> tuple[list[Photograph], list[str]]:
    """Load the photographs of a folder.

    Args:
        folder: The folder; None: the default photographs.

    Returns:
        (the photographs, a line for each file that is not used).

    Raises:
        PhotographError: If fewer than FEWEST photographs can be used.
    """
    if folder is not None and not folder.is_dir():
        raise PhotographError(f"{folder}: expected a folder of photographs, got {_what(folder)}")
    try:
        paths, ignored = find_images([folder or DEFAULT])
    except ImageError as error:
        raise PhotographError(str(error)) from None
    usable, skipped = [], []
    for path in paths:
        try:
            pixels = read_image(path)
            if min(pixels.shape[:2]) <= CROP:
                height, width = pixels.shape[:2]
                raise ImageError(f"expected both sides above {CROP} pixels (the crop), got {height} x {width} (H x W)")
        except ImageError as error:
            skipped.append(f"{path.name}: {str(error).split(';')[0]}")
            continue
        if len(usable) == MOST:
            skipped.append(f"{path.name}: {MOST} photographs are enough")
            continue
        usable.append((path, reduced(pixels)))
    if len(usable) < FEWEST:
        shown = "; ".join(skipped[:5]) + (f"; and {len(skipped) - 5} more" if len(skipped) > 5 else "")
        raise PhotographError(
            f"{folder}: expected at least {FEWEST} usable photographs, got {len(usable)}"
            + (f" (skipped: {shown})" if skipped else "")
        )
    if folder is not None:
        skipped += [f"{place}: {others.text()}" for place, others in ignored.items()]
    names = _names([path for path, _ in usable])
    return [
        Photograph(i, name, pixels, i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)
        for i, (name, (_, pixels)) in enumerate(zip(names, usable, strict=True))
    ], skipped


def _what(path: Path) -> str:
    """Return what a path is instead of a folder."""
    return "a file" if path.exists() else "nothing there"


def _names(paths: list[Path]) -> list[str]:
    """Return unique names for a list file: the file names without suffix and special characters, numbered if equal."""
    names: list[str] = []
    for path in paths:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem) or "photograph"
        base, number = name, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names
