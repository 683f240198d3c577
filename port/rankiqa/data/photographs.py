"""Read photographs of many formats for the distortions, as uint8 (H, W, 3) RGB.

The rules follow the original's readers, MATLAB's imread and cv2.imread, if those define a result:

- 8-bit colour: unchanged; colour profiles are not applied
- grey, black and white: three equal channels
- palette: converted to its colours
- alpha: dropped; the colour values stay unchanged
- 16 bits per channel: the high byte (for a PNM, and for a TIFF with separate planes: rounded to 8 bits)
- CMYK: red = (255 - C) (255 - K) / 255, green and blue likewise, without a profile
- an EXIF orientation: applied, so the picture has the orientation that a viewer shows
- several pages or frames: the first
- float, 32-bit, 12-bit and Lab images: refused

`read_image` instead returns what the original's networks see. The two differ for files with alpha or an orientation.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageOps

from rankiqa.data.headers.header import Header, ImageError
from rankiqa.data.headers.inspect import inspect
from rankiqa.data.images import decode, one_line

MIN_SIDE = 227  # the crop of AlexNet and Shallow; VGG-16's is 224
MAX_PIXELS = 1 << 26  # some distortions need a dozen float64 copies, and 67 million pixels take 1.6 GB each
_ANY = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
# Formats that Pillow decodes, and Pillow's names for them. OpenCV mixes alpha or CMYK into the colours, does not scale
# values to 255, or does not read the format or its frames
_PILLOW = {
    "AVIF": "AVIF", "BMP": "BMP", "GIF": "GIF", "JPEG": "JPEG", "JPEG 2000": "JPEG2000", "PNM": "PPM", "TIFF": "TIFF",
    "WebP": "WEBP",
}  # fmt: skip
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read_photograph(data: bytes, *, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photograph for the distortions.

    Args:
        data: The bytes of the image file.
        min_side: The minimum height and width.
        max_pixels: The maximum number of pixels, checked before decoding.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        ImageError: If the data are not an image, are truncated, too small or too large, or are refused by the rules in
            this module's docstring.
    """
    if not data:
        raise ImageError("expected an image, got an empty file")
    header = inspect(data)
    if header.height and header.width:
        check_size(header.height, header.width, min_side, max_pixels)
    reason = _read_wrongly(header)
    if reason:
        raise ImageError(f"expected a photograph of 8 or 16 bits per channel, grey or colour, got {reason}")
    if _by_opencv(header):
        return _from_opencv(data, header)
    if header.kind not in _PILLOW:
        raise ImageError(f"expected a photograph of 8 or 16 bits per channel, got {header.kind}")
    return _from_pillow(data, header.kind, min_side, max_pixels)


def _by_opencv(header: Header) -> bool:
    """Return whether OpenCV, rather than Pillow, returns the pixels that the rules demand."""
    if header.kind == "TIFF":
        return header.colours != "CMYK" and (header.bits == 16 or not header.alpha)
    if header.kind == "JPEG":
        return header.colours != "CMYK"
    return header.kind in ("PNG", "Sun raster") or (header.kind == "JPEG 2000" and header.bits > 8)


def _read_wrongly(header: Header) -> str | None:
    """Describe a file for which neither library returns the pixels that the rules demand; None for other files."""
    if header.kind in ("JPEG", "TIFF") and header.refused:
        return header.refused
    if header.kind == "Sun raster" and header.alpha:
        return "a Sun raster of 32 bits per pixel"
    if header.kind != "TIFF":
        return None
    if header.colours == "Lab" or "signed" in header.layout:
        return f"a TIFF of {'Lab' if header.colours == 'Lab' else 'signed numbers'}"
    if {"tiles", "turned"} <= header.layout:
        return "a tiled TIFF with an orientation"
    if header.alpha and "planes" in header.layout:
        return "a TIFF with alpha and separate planes"
    if header.alpha and header.bits == 16 and header.layout & {"tiles", "multiplied"}:
        return "a 16-bit TIFF with alpha that is tiled or has premultiplied colours"
    return None


def _from_opencv(data: bytes, header: Header) -> np.ndarray:
    as_stored = header.kind == "PNG"  # the only format whose orientation is applied below, not by OpenCV
    # IMREAD_COLOR multiplies a TIFF's alpha into the colours and rounds its 16 bits; _ANY is wrong for
    # separate planes and grey Sun rasters
    as_is = header.alpha or (header.kind == "TIFF" and header.bits == 16 and "planes" not in header.layout)
    wanted = _ANY if as_is else cv2.IMREAD_COLOR
    pixels = decode(data, header, wanted | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
        if "min-is-white" in header.layout:
            pixels = 255 - pixels
    if pixels.dtype != np.uint8:
        raise ImageError(f"expected a photograph of 8 or 16 bits per channel, got {pixels.dtype}")
    pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB)
    return turned(pixels, header.orientation) if as_stored else pixels


def check_size(height: int, width: int, min_side: int, max_pixels: int) -> None:
    """Raise ImageError if an image is too small or too large."""
    if min(height, width) < min_side:
        raise ImageError(f"expected both sides at least {min_side} pixels, got {height} x {width} (H x W)")
    if height * width > max_pixels:
        raise ImageError(f"expected at most {max_pixels} pixels, got {height} x {width} (H x W)")


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1..8, to an image."""
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
        # Call the plugin directly, because Image.open applies a process-wide limit on pixels
        with plugin[0](io.BytesIO(data), "") as image:
            check_size(image.height, image.width, min_side, max_pixels)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"expected an image that fits into memory, got a file of {len(data)} bytes") from None
    except Exception as error:  # Pillow's decoders raise many types of errors for damaged data
        raise ImageError(
            f"expected a whole image that Pillow decodes, got a {kind} that is corrupt or truncated, or of a variant "
            f"that it does not read ({one_line(error)})"
        ) from None


def _rgb(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format != "TIFF"):  # 16-bit values, perhaps stored in 32 bits
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("La", "RGBa"):  # premultiplied alpha, which the conversion undoes
        image, mode = image.convert(mode.upper()), mode.upper()
    if mode not in _MODES:
        raise ImageError(f"expected 8 or 16 bits per channel, grey or colour, got Pillow's mode {mode}")
    return np.array(image.convert("RGB"))
