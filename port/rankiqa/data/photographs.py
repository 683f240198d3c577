"""Photographs as people have them, as the distortions want them: uint8 (H, W, 3) RGB.

One rule for each kind, MATLAB's imread and cv2.imread (the original's readers) where those have one:

- 8-bit colour: as it is; colour profiles are not applied
- grey, black and white: three equal channels
- palette: its colours
- alpha: dropped, the colours under it stay as they are
- 16 bits a channel: the high byte (in a PNM and a TIFF of separate planes: rounded to it)
- CMYK: red = (255 - C) (255 - K) / 255, green and blue likewise, without a profile
- an EXIF orientation: applied, so the picture stands as a viewer shows it
- several pages or frames: the first
- float, 32-bit, 12-bit and Lab images: refused

`read_image` gives what the original's networks see, which is another thing where a file has alpha or is turned.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageOps

from rankiqa.data.headers.base import Header, ImageError
from rankiqa.data.headers.inspect import inspect
from rankiqa.data.images import decode, one_line

MIN_SIDE = 227  # the crop of AlexNet and Shallow; VGG-16's is 224
MAX_PIXELS = 1 << 26  # some distortions hold a dozen float64 pictures: 67 million pixels are 1.6 GB each
_ANY = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
# What Pillow decodes, by its own names: alpha and CMYK that OpenCV mixes into the colours, values that OpenCV does not
# scale to 255, formats and frames that it does not read
_PILLOW = {
    "AVIF": "AVIF", "BMP": "BMP", "GIF": "GIF", "JPEG": "JPEG", "JPEG 2000": "JPEG2000", "PNM": "PPM", "TIFF": "TIFF",
    "WebP": "WEBP",
}  # fmt: skip
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read_photograph(data: bytes, *, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photograph to be distorted.

    Args:
        data: The image file's bytes.
        min_side: The least height and width.
        max_pixels: The most pixels, checked before they are decoded.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        ImageError: When it is no image, cut off, too small, too large, or of a kind that is refused as said above.
    """
    if not data:
        raise ImageError("expected an image, got an empty file")
    header = inspect(data)
    if header.height and header.width:
        check_size(header.height, header.width, min_side, max_pixels)
    reason = _read_wrongly(header)
    if reason:
        raise ImageError(f"expected a photograph of 8 or 16 bits a channel, grey or colour, got {reason}")
    if _by_opencv(header):
        return _from_opencv(data, header)
    if header.kind not in _PILLOW:
        raise ImageError(f"expected a photograph of 8 or 16 bits a channel, got {header.kind}")
    return _from_pillow(data, header.kind, min_side, max_pixels)


def _by_opencv(header: Header) -> bool:
    """Whether OpenCV's pixels follow the rules, rather than Pillow's."""
    if header.kind == "TIFF":
        return header.colours != "CMYK" and (header.bits == 16 or not header.alpha)
    if header.kind == "JPEG":
        return header.colours != "CMYK"
    return header.kind in ("PNG", "Sun raster") or (header.kind == "JPEG 2000" and header.bits > 8)


def _read_wrongly(header: Header) -> str | None:
    """What a file is of which neither library gives the pixels that the rules want, or None."""
    if header.kind in ("JPEG", "TIFF") and header.refused:
        return header.refused
    if header.kind == "Sun raster" and header.alpha:
        return "a Sun raster of 32 bits a pixel"
    if header.kind != "TIFF":
        return None
    if header.colours == "Lab" or "signed" in header.layout:
        return f"a TIFF of {'Lab' if header.colours == 'Lab' else 'signed numbers'}"
    if {"tiles", "turned"} <= header.layout:
        return "a TIFF of tiles with an orientation"
    if header.alpha and "planes" in header.layout:
        return "a TIFF with alpha whose channels are stored apart"
    if header.alpha and header.bits == 16 and header.layout & {"tiles", "multiplied"}:
        return "a TIFF of 16 bits with alpha, in tiles or multiplied into the colours"
    return None


def _from_opencv(data: bytes, header: Header) -> np.ndarray:
    as_stored = header.kind == "PNG"  # the one format here whose orientation is applied below
    # To 8-bit colour, OpenCV multiplies a TIFF's alpha into the colours and rounds its 16 bits; as stored, it mixes up
    # planes and grey Sun rasters
    as_is = header.alpha or (header.kind == "TIFF" and header.bits == 16 and "planes" not in header.layout)
    wanted = _ANY if as_is else cv2.IMREAD_COLOR
    pixels = decode(data, header, wanted | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
        if "min-is-white" in header.layout:
            pixels = 255 - pixels
    if pixels.dtype != np.uint8:
        raise ImageError(f"expected a photograph of 8 or 16 bits a channel, got {pixels.dtype}")
    pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB)
    return turned(pixels, header.orientation) if as_stored else pixels


def check_size(height: int, width: int, min_side: int, max_pixels: int) -> None:
    """Raise ImageError for a picture that is too small or too large."""
    if min(height, width) < min_side:
        raise ImageError(f"expected both sides at least {min_side} pixels, got {height} x {width} (H x W)")
    if height * width > max_pixels:
        raise ImageError(f"expected at most {max_pixels} pixels, got {height} x {width} (H x W)")


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """The image as EXIF orientation 1..8 says that it stands."""
    if orientation > 4:
        image = image.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(image[::rows, ::columns])


def _from_pillow(data: bytes, kind: str, min_side: int, max_pixels: int) -> np.ndarray:
    Image.init()
    plugin = Image.OPEN.get(_PILLOW[kind])
    if plugin is None:
        raise ImageError(f"expected an image that Pillow {Image.__version__} reads, got {kind}")
    try:
        # The plugin itself: Image.open holds every file to a limit that belongs to the whole process
        with plugin[0](io.BytesIO(data), "") as image:
            check_size(image.height, image.width, min_side, max_pixels)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"expected an image that fits into memory, got a file of {len(data)} bytes") from None
    except Exception as error:  # Pillow's decoders raise many kinds on damaged data
        raise ImageError(
            f"expected a whole image that Pillow decodes, got a {kind} that is corrupt or truncated, or of a sort that "
            f"it does not read ({one_line(error)})"
        ) from None


def _rgb(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format != "TIFF"):  # 16 bits in 32
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("La", "RGBa"):  # colours that alpha has been multiplied into: undone first
        image, mode = image.convert(mode.upper()), mode.upper()
    if mode not in _MODES:
        raise ImageError(f"expected 8 or 16 bits a channel, grey or colour, got Pillow's mode {mode}")
    return np.array(image.convert("RGB"))
