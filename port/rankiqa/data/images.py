"""Read images like the original and report what its reader drops.

The original reads images with cv2.imread of OpenCV 4.5.1 (the version in the reference container). Here, the installed
OpenCV decodes them. The header modules (`headers`) detect the files for which the two versions differ, and the parity
test `readers` compares both file by file.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.headers.header import Header
from rankiqa.data.headers.header import ImageError as ImageError
from rankiqa.data.headers.inspect import inspect

# Lower-case suffixes of the formats that `read_image` or `photographs.read_photograph` reads. They select the images of
# a folder; the format of a file is detected from its content
SUFFIXES = frozenset(
    ".apng .avif .avifs .bmp .dib .exr .gif .hdr .j2c .j2k .jfif .jif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .pam .pbm "
    ".pfm .pgm .pic .png .pnm .ppm .pxm .ras .sr .tif .tiff .webp".split()
)
MAX_DECODED_PIXELS = 1 << 30  # OpenCV's own limit
# CAFFE: OpenCV 4.5.1 applies EXIF orientations only to JPEG and TIFF; current versions also apply them to PNG and WebP
_AS_STORED = ("PNG", "WebP")
EMPTY = "expected an image, got an empty file"


def read_image(path: str | os.PathLike, *, strict: bool = False) -> np.ndarray:
    """Read the pixels that the original reads, those of cv2.imread (OpenCV 4.5.1), as RGB.

    Grey becomes three equal channels, alpha is dropped, 16 bits are reduced to 8, and CMYK is converted without a
    profile. An EXIF orientation is applied to JPEG and TIFF but not to PNG and WebP. If there are several frames or
    pages, the first is read. `read_image_with_notes` reports which of these things happened.

    Args:
        path: The file. Its format is detected from its content, not from its suffix.
        strict: Refuse every image that is not 8-bit colour or that loses something.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        ImageError: If the file is missing, not an image, truncated, larger than 2^30 pixels, of a format that the
            original's reader does not support, or refused by `strict`. Damage inside a JPEG that can still be decoded
            is not detected.

    Source: upstream src/data_layer, src/eval (cv2.imread with its defaults).
    """
    return read_image_with_notes(path, strict=strict)[0]


def read_image_with_notes(path: str | os.PathLike, *, strict: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image like `read_image` and report what was dropped.

    Args:
        path: The file.
        strict: See `read_image`.

    Returns:
        The pixels, uint8 (H, W, 3), RGB, and notes such as "alpha dropped" (empty if nothing was dropped).

    Raises:
        ImageError: See `read_image`.
    """
    return decode_image(read_bytes(Path(path)), strict=strict)


def decode_image(data: bytes, *, strict: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode the bytes of an image file like `read_image_with_notes`.

    Args:
        data: The whole file.
        strict: See `read_image`.

    Returns:
        The pixels, uint8 (H, W, 3), RGB, and notes.

    Raises:
        ImageError: See `read_image`.
    """
    if not data:
        raise ImageError(EMPTY)
    header = inspect(data)
    check_header(header)
    if strict:
        _check_strict(header)
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if header.kind in _AS_STORED else 0)
    pixels = decode(data, header, flags)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), header.notes


def check_header(header: Header) -> None:
    """Raise ImageError if the original's reader does not support a file or if the image is too large for it."""
    if header.refused:
        raise ImageError(f"expected an image that the original reads, got {header.refused}")
    if header.height * header.width > MAX_DECODED_PIXELS:
        size = f"{header.height} x {header.width} (H x W)"
        raise ImageError(f"expected at most {MAX_DECODED_PIXELS} pixels, got {size}")


def _check_strict(header: Header) -> None:
    unusual = [] if header.colours in ("colour", "palette") else [header.colours]
    if unusual or header.notes:
        details = "; ".join([*unusual, *header.notes])
        raise ImageError(f"expected 8-bit colour of which nothing is dropped (strict), got {header.kind}: {details}")


def decode(data: bytes, header: Header, flags: int) -> np.ndarray:
    """Decode a file's bytes with OpenCV.

    Args:
        data: The whole file.
        header: The file's header from `inspect`.
        flags: OpenCV's IMREAD flags.

    Returns:
        The pixels in BGR order; the flags determine dtype and channels.

    Raises:
        ImageError: If OpenCV cannot decode the file.
    """
    if header.replace:
        at, replacement = header.replace
        data = data[:at] + replacement + data[at + len(replacement) :]
    try:
        # Decode bytes, because cv2.imread fails for some file names and does not report why
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"expected an image that OpenCV reads, got its error: {one_line(error)}") from None
    if pixels is None:
        raise ImageError(
            f"expected a whole image that OpenCV decodes, got a {header.kind} that is corrupt or truncated, "
            "or of a variant that it does not read"
        )
    return pixels


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless the image is a uint8 array (H, W, 3) with pixels, as `read_image` returns it."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image: expected an array from rankiqa.read_image, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image: expected uint8 (H, W, 3), RGB, 0..255, got {image.dtype} {image.shape}")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes. Raises ImageError with the reason if there are none."""
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
        raise ImageError(EMPTY)
    return data


def one_line(error: BaseException) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
