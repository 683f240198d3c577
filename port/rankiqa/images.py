"""Reading images as the original does, and saying so when one is not what a network was trained on."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = {".bmp", ".jpg", ".jpeg", ".jp2", ".png", ".tif", ".tiff", ".webp", ".ppm", ".pnm"}


class ImageError(ValueError):
    """An image that cannot be scored; the message says what was expected and what was found."""


def read_image(path: str | os.PathLike, *, convert: bool = False) -> np.ndarray:
    """The pixels, uint8 (H, W, 3), BGR, 0..255, exactly as cv2.imread (the original's reader) gives them.

    An EXIF orientation is applied, as cv2.imread does. Of several frames the first is read.
    convert: read grey, alpha, 16-bit and CMYK images as the original would (three equal channels, alpha dropped, high
    bytes, OpenCV's conversion); otherwise they are refused, since no network here was trained on them.
    Raises ImageError when the file is missing, no image, cut off, or refused as said.
    Source: upstream src/data_layer, src/eval (cv2.imread with its defaults).
    """
    path = Path(path)
    if not path.exists():
        raise ImageError("expected an image, got no such file")
    if not path.is_file():
        raise ImageError("expected an image file, got a folder or a special file")
    kind = _decode(path)
    with _quiet():
        # Bytes, not the name: cv2.imread fails on some names and cannot tell why
        data = np.fromfile(path, np.uint8)
        raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None or raw is None:
        raise ImageError(f"expected an image that OpenCV reads, got {kind}")
    found = _not_plain(raw, kind)
    if found and not convert:
        raise ImageError(f"expected 8-bit colour without alpha, got {found}; --convert reads it as the original would")
    return pixels


def _decode(path: Path) -> str:
    """Decode the whole file once with Pillow, which refuses what is cut off (OpenCV fills it up); returns its mode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # a large photograph is no attack here
            try:
                with Image.open(path) as image:
                    kind = image.mode
                    image.load()
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError:
        size = path.stat().st_size
        raise ImageError("expected an image, got " + ("an empty file" if not size else "another format")) from None
    except PermissionError:
        raise ImageError("expected a readable image, got no permission") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError(f"expected a whole image, got a corrupt or truncated one ({error})") from None
    return kind


def _not_plain(raw: np.ndarray, kind: str) -> str | None:
    """What keeps an image from being 8-bit colour, or None."""
    if kind in ("CMYK", "YCCK", "LAB"):
        return kind
    depth = f"{8 * raw.dtype.itemsize}-bit "
    if raw.dtype != np.uint8:
        return depth + ("grey" if raw.ndim == 2 else "colour")
    if raw.ndim == 2 or raw.shape[2] == 1 or kind in ("1", "L", "LA"):
        return depth + "grey"
    return depth + "colour with alpha" if raw.shape[2] == 4 else None


@contextlib.contextmanager
def _quiet():
    """OpenCV and the C libraries below it write warnings straight to the process's stderr: keep them out."""
    with open(os.devnull, "wb") as sink:
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def find_images(paths: list[str | os.PathLike]) -> list[Path]:
    """Files as they are; a folder gives its images, sorted by name (not those of folders inside).

    Raises ImageError for a folder without images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise ImageError(f"{path}: expected a folder with images ({' '.join(sorted(SUFFIXES))}), got none")
        found += inside
    return found
