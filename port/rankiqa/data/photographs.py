"""Photographs as people have them, as the distortions want them: uint8 (H, W, 3) RGB.

One rule for each kind, MATLAB's imread and cv2.imread (the original's readers) where those have one:

- 8-bit colour: as it is; colour profiles are not applied
- grey, black and white: three equal channels
- palette: its colours
- alpha: dropped, the colours under it stay as they are
- 16 bits a channel: the high byte (colour in a PPM: rounded to it)
- CMYK: red = (255 - C) (255 - K) / 255, green and blue likewise, without a profile
- an EXIF orientation: applied, so the picture stands as a viewer shows it
- several pages or frames: the first
- float, 32-bit, 12-bit and Lab images: refused
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from rankiqa.data.images import ImageError, decoding

MIN_SIDE = 227  # the crop of AlexNet and Shallow; VGG-16's is 224
MAX_PIXELS = 1 << 26  # some distortions hold a dozen float64 pictures: 67 million pixels are 1.6 GB each
_DIRECT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_BITS_PER_SAMPLE = 258  # TIFF


def read_photograph(data: bytes, *, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file's bytes, uint8 (H, W, 3), RGB, 0..255.

    min_side: the least height and width. max_pixels: the most pixels, checked before they are decoded.
    Raises ImageError when it is no image, cut off, too small, too large, or of a kind that is refused as said above.
    """
    if not data:
        raise ImageError("expected an image, got an empty file")
    with decoding(data), Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        check_size(height, width, min_side, max_pixels)
        image.load()
        kind, bits = image.format, getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
        return _rgb(ImageOps.exif_transpose(image), kind, bits)


def check_size(height: int, width: int, min_side: int, max_pixels: int) -> None:
    """Raise ImageError for a picture that is too small or too large."""
    if min(height, width) < min_side:
        raise ImageError(f"expected both sides at least {min_side} pixels, got {height} x {width} (H x W)")
    if height * width > max_pixels:
        raise ImageError(f"expected at most {max_pixels} pixels, got {height} x {width} (H x W)")


def _rgb(image: Image.Image, kind: str | None, bits: tuple[int, ...]) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and kind in ("PNG", "PPM")):  # those two hold 16 bits in 32
        if set(bits) != {16}:
            raise ImageError(f"expected 8 or 16 bits a channel, got {bits[0]}")
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("La", "RGBa"):  # colours that alpha has been multiplied into: undone first
        image, mode = image.convert(mode.upper()), mode.upper()
    if mode not in _DIRECT:
        raise ImageError(f"expected 8 or 16 bits a channel, grey or colour, got Pillow's mode {mode}")
    return np.array(image.convert("RGB"))
