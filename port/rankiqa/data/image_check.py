"""Check every listed image before training begins, so that a bad image is found within minutes, not after hours."""

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
    """A list, or another object with the paths of images."""

    @property
    def paths(self) -> Sequence[str]:
        """The paths of the images."""
        ...


NAMED = 20  # maximum number of bad files that an error names
LONGEST = 4096  # characters; Linux's limit for a path
THREADS = 16  # more than the cores, since the threads mostly wait for the disk


def check_images(
    lists: Iterable[Listed], crop: int, *, last_offset: bool = False, each: Callable[[], object] = lambda: None
) -> None:
    """Check that all images of the lists can be used for training.

    Only the headers are read. A file whose header Pillow does not recognise is decoded like in training. Damage after
    the header is only found when training reads the image.

    Args:
        lists: The lists whose paths are checked, each path once.
        crop: Side of a crop in pixels.
        last_offset: Whether an image of the crop's own size is accepted (see `crop_offsets`).
        each: Called after each file.

    Raises:
        ValueError: If images cannot be used; it names the first 20 and their total number.
    """
    paths = distinct(lists)
    bad: list[str] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")  # Pillow warns of large images
        for path, error in zip(paths, pool.map(lambda path: _problem(path, crop, last_offset), paths), strict=True):
            each()
            if error is not None:
                bad.append(f"{_quoted(path)}: {error}")
    if bad:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        count = f"{len(bad)} of {len(paths)} listed images cannot be used"
        raise ValueError(f"{count}: {'; '.join(bad[:NAMED])}{more}")


def distinct(lists: Iterable[Listed]) -> Sequence[str]:
    """Return the paths of all lists without duplicates, in order."""
    return list(dict.fromkeys(path for images in lists for path in images.paths))


def _quoted(path: str) -> str:
    """Return a path for an error message, shortened if it is too long for any file system."""
    return path if len(path) <= LONGEST else f"{path[:80]}.. ({len(path)} characters)"


def _problem(path: str, crop: int, last_offset: bool) -> str | None:
    """Return the reason why a file cannot be used, or None."""
    try:
        height, width = _size(path)
        crop_offsets(height, width, crop, 1, np.random.RandomState(0), last_offset=last_offset)
    except ImageError as error:
        return str(error)
    except (ValueError, MemoryError) as error:  # a name with a NUL; an image that does not fit into memory
        return f"expected an image, got: {str(error) or type(error).__name__}"
    return None


def _size(path: str) -> tuple[int, int]:
    """Return (height, width) from the header, or by decoding if Pillow does not recognise the header."""
    if os.path.isfile(path):
        try:
            with Image.open(path) as image:
                return image.height, image.width
        except Exception:  # Pillow raises many types of errors; read_image decides whether the file is bad
            pass
    height, width, _ = read_image(path).shape
    return height, width
