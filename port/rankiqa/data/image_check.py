"""A look at every image of the lists before a training begins: a bad one is found in minutes, not after hours."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from PIL import Image

from rankiqa.data.crops import crop_offsets
from rankiqa.data.images import ImageError, read_image


class Listed(Protocol):
    """A list, or another source of images."""

    @property
    def paths(self) -> Sequence[str]:
        """Of the images."""
        ...


NAMED = 20  # bad files that an error names
LONGEST = 4096  # characters of a path: Linux's limit
THREADS = 16  # the work is to wait for the disk


def check_images(
    lists: Iterable[Listed], crop: int, *, last_offset: bool = False, each: Callable[[], object] = lambda: None
) -> None:
    """Raise ValueError that names the images which cannot be used: the first 20, and how many there are.

    Of each file the header is read. One whose header Pillow does not know is decoded as a training does it, which
    decides; damage behind a header is found when the image is drawn.

    Args:
        lists: Whose paths are checked, each once.
        crop: Side of a crop, pixels.
        last_offset: Whether an image of the crop's own size will do (`crop_offsets`).
        each: Called after each file.
    """
    paths = distinct(lists)
    bad: list[str] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of large images
        for path, error in zip(paths, pool.map(lambda path: _problem(path, crop, last_offset), paths), strict=True):
            each()
            if error is not None:
                bad.append(f"{_quoted(path)}: {error}")
    if bad:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        count = f"{len(bad)} of {len(paths)} listed images cannot be used"
        raise ValueError(f"{count}: {'; '.join(bad[:NAMED])}{more}")


def distinct(lists: Iterable[Listed]) -> Sequence[str]:
    """The paths of lists, each once, in order."""
    return list(dict.fromkeys(path for images in lists for path in images.paths))


def _quoted(path: str) -> str:
    """A path as an error names it; one that is too long for any file system is cut."""
    return path if len(path) <= LONGEST else f"{path[:80]}.. ({len(path)} characters)"


def _problem(path: str, crop: int, last_offset: bool) -> str | None:
    """What is wrong with a file, or None."""
    try:
        height, width = _size(path)
        crop_offsets(height, width, crop, 1, np.random.RandomState(0), last_offset=last_offset)
    except ImageError as error:
        return str(error)
    except (ValueError, MemoryError) as error:  # a name with a NUL; an image beyond the memory
        return f"expected an image, got: {str(error) or type(error).__name__}"
    return None


def _size(path: str) -> tuple[int, int]:
    """(height, width) as the header says, or, where Pillow makes nothing of it, as decoding does."""
    if os.path.isfile(path):
        try:
            with Image.open(path) as image:
                return image.height, image.width
        except Exception:  # Pillow raises many kinds; whether the file is bad is for read_image to say
            pass
    height, width, _ = read_image(path).shape
    return height, width
