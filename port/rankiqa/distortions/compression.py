"""JPEG and JPEG 2000: encode in memory, decode again."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

BITS_PER_PIXEL = 24


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """The JPEG file of an RGB image: baseline, 4:2:0, libjpeg's quality scale (0 and 1 are the same tables)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return file.getvalue()


def encode_jpeg2000(image: np.ndarray, bits_per_pixel: float) -> bytes:
    """The JPEG 2000 codestream of an RGB image at a compression ratio of 24 / bits_per_pixel (9/7 wavelet, lossy).

    The bare codestream, because the boxes of a .jp2 file alone would eat a quarter of a small picture at 0.02 bits
    per pixel; and code blocks of 32 x 32, which let the rate control come within about 5 % of the size asked for.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG2000",
        no_jp2=True,
        irreversible=True,
        mct=1,
        codeblock_size=(32, 32),
        quality_mode="rates",
        quality_layers=[BITS_PER_PIXEL / bits_per_pixel],
    )
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """An encoded image as uint8 (H, W, 3), RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def jpeg(image: np.ndarray, quality: float, rng: object) -> np.ndarray:
    """The image after JPEG at this quality (0..100)."""
    return decode(encode_jpeg(image, int(quality)))


def jpeg2000(image: np.ndarray, bits_per_pixel: float, rng: object) -> np.ndarray:
    """The image after JPEG 2000 at this rate."""
    return decode(encode_jpeg2000(image, bits_per_pixel))
