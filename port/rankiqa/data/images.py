"""Reading images as the original does, and saying so when one is not what a network was trained on."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

# The suffixes, lower case, of the formats that `read_image` or `photographs.read_photograph` reads; files are told
# apart by their content, a suffix only chooses what a folder gives
SUFFIXES = frozenset(
    ".apng .avif .avifs .bmp .dib .exr .gif .hdr .j2c .j2k .jfif .jif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .pam .pbm "
    ".pfm .pgm .pic .png .pnm .ppm .pxm .ras .sr .tif .tiff .webp".split()
)
MOST_PIXELS = 1 << 30  # OpenCV's own limit
_LOCK = threading.Lock()  # Pillow's limits and the process's stderr are shared by all threads


class ImageError(ValueError):
    """An image that cannot be scored; the message says what was expected and what was found."""


def read_image(path: str | os.PathLike, *, convert: bool = False) -> np.ndarray:
    """The pixels, uint8 (H, W, 3), RGB, 0..255: those that cv2.imread (the original's reader) gives, channels turned.

    An EXIF orientation is applied, as cv2.imread does. Of several frames or pages the first is read.
    convert: read grey, alpha, 16-bit and CMYK images as the original would (three equal channels, alpha dropped, high
    bytes, OpenCV's conversion); otherwise they are refused, since no network here was trained on them.
    Raises ImageError when the file is missing, no image, cut off, above 2^30 pixels, or refused as said. Damage inside
    a JPEG that leaves it decodable cannot be told from a picture.
    Source: upstream src/data_layer, src/eval (cv2.imread with its defaults).
    """
    data = _bytes(Path(path))
    with _LOCK, _quiet():
        mode = _decode(data)
        try:
            # Bytes, not the name: cv2.imread fails on some names and cannot tell why
            array = np.frombuffer(data, np.uint8)
            pixels = cv2.imdecode(array, cv2.IMREAD_COLOR)
            stored = cv2.imdecode(array, cv2.IMREAD_UNCHANGED)
        except (cv2.error, MemoryError) as error:
            raise ImageError(f"expected an image that OpenCV reads, got its error: {_line(error)}") from None
    if pixels is None or stored is None:
        raise ImageError(f"expected an image that OpenCV reads, got one that only Pillow does (mode {mode})")
    found = _unusual(stored, mode)
    if found and not convert:
        raise ImageError(f"expected 8-bit colour without alpha, got {found}; --convert reads it as the original would")
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _bytes(path: Path) -> bytes:
    try:
        if os.path.isdir(path):
            raise ImageError("expected an image file, got a folder")
        if path.exists() and not path.is_file():
            raise ImageError("expected an image file, got a special file")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("expected an image, got no such file") from None
    except OSError as error:
        raise ImageError(f"expected a readable image, got: {error.strerror}") from None
    if not data:
        raise ImageError("expected an image, got an empty file")
    return data


@contextlib.contextmanager
def decoding(data: bytes) -> Iterator[None]:
    """Around work of Pillow on an image file's bytes: any size is decoded, what is cut off is refused, and whatever a
    decoder raises becomes an ImageError on one line."""
    limits = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False  # a large photograph is no attack here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("expected an image, got another kind of file") from None
    except MemoryError:
        raise ImageError(f"expected an image that fits into memory, got a file of {len(data)} bytes") from None
    except Exception as error:  # Pillow's decoders raise many kinds on damaged data
        raise ImageError(f"expected a whole image, got a corrupt or truncated one ({_line(error)})") from None
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limits


def _decode(data: bytes) -> str:
    """Decode it all once with Pillow, which refuses what is cut off (OpenCV fills it up); returns Pillow's mode."""
    with decoding(data), Image.open(io.BytesIO(data)) as image:
        mode, (width, height) = image.mode, image.size
        if width * height > MOST_PIXELS:
            raise ImageError(f"expected at most {MOST_PIXELS} pixels, got {height} x {width} (H x W)")
        image.load()
    return mode


def _line(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _unusual(stored: np.ndarray, mode: str) -> str | None:
    """What keeps an image from being 8-bit colour, or None. stored: as OpenCV gives it unchanged."""
    if mode in ("CMYK", "LAB"):
        return mode
    depth = f"{8 * stored.dtype.itemsize}-bit "
    if stored.ndim == 2 or stored.shape[2] == 1 or mode in ("1", "L", "LA"):
        return depth + "grey"
    if stored.dtype != np.uint8:
        return depth + "colour"
    return depth + "colour with alpha" if stored.shape[2] == 4 else None


@contextlib.contextmanager
def _quiet():
    """OpenCV and the C libraries below it write warnings straight to the process's stderr: keep them out."""
    try:
        saved = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def find_images(paths: list[str | os.PathLike]) -> list[Path]:
    """Files as they are; a folder gives its images, sorted by name (not those of folders inside).

    Raises ImageError for a folder without images, or that cannot be listed.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not os.path.isdir(path):
            found.append(path)
            continue
        try:
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        except OSError as error:
            raise ImageError(f"{path}: expected a readable folder, got: {error.strerror}") from None
        if not inside:
            raise ImageError(f"{path}: expected a folder with images ({' '.join(sorted(SUFFIXES))}), got none")
        found += inside
    return found
