"""JPEG and JPEG 2000: encode in memory, decode again."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from rankiqa.distortions.noise import white_noise

BITS_PER_PIXEL = 24
BOXES = 85  # bytes of a .jp2 file around its codestream, as OpenJPEG writes them
NOISY_QUALITY = 25
TRIES, CLOSE = 5, 0.03  # of the rate control
SMALLEST = 285  # bytes of a .jp2 file: below it the boxes leave too little room for a picture


def encode_jpeg(image: np.ndarray, quality: float, rng: object = None) -> bytes:
    """The JPEG file of an RGB image: baseline, 4:2:0, libjpeg's quality scale (0 and 1 are the same tables)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return file.getvalue()


def encode_jpeg2000(image: np.ndarray, bits_per_pixel: float, rng: object = None) -> bytes:
    """The .jp2 file of an RGB image at a compression ratio of 24 / bits_per_pixel (9/7 wavelet, lossy).

    The whole file comes within about 5 % of the ratio, its 85 bytes of boxes included. Where that would be less than
    285 bytes (256 x 256 at 0.02 bits per pixel: 164), the codestream inside the boxes does. Code blocks are 32 x 32,
    which lets the rate control come that close; where it misses by more than 3 %, it is asked again for less or more.
    """
    height, width = image.shape[:2]
    size = height * width * bits_per_pixel / 8
    wanted = size if size >= SMALLEST else size + BOXES
    asked, best = wanted, b""
    for _ in range(TRIES):
        data = _jpeg2000_file(image, height * width * BITS_PER_PIXEL / 8 / asked)
        best = min(best or data, data, key=lambda file: abs(len(file) - wanted))
        asked += wanted - len(data)
        if abs(len(data) - wanted) <= CLOSE * wanted or asked < wanted / 2:
            break
    return best


def _jpeg2000_file(image: np.ndarray, ratio: float) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG2000",
        no_jp2=False,  # in boxes: OpenCV 4.5, the original's reader here, takes no bare codestream
        irreversible=True,
        mct=1,
        codeblock_size=(32, 32),
        quality_mode="rates",
        quality_layers=[ratio],  # of the whole file, boxes included
        comment=b" ",  # the library's own name for itself would take 32 bytes more
    )
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """An encoded image as uint8 (H, W, 3), RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def jpeg(image: np.ndarray, quality: float, rng: object) -> np.ndarray:
    """The image after JPEG at this quality (0..100)."""
    return decode(encode_jpeg(image, quality))


def jpeg2000(image: np.ndarray, bits_per_pixel: float, rng: object) -> np.ndarray:
    """The image after JPEG 2000 at this rate."""
    return decode(encode_jpeg2000(image, bits_per_pixel))


def noisy_jpeg(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """White noise of this variance on [0, 1], then JPEG at quality 25 (LCNI, TID2013's #21).

    Our choice, since upstream leaves it out: the coder, its quality, and the variances of upstream's GN.
    Source of what it is: Ponomarenko et al., Image database TID2013, Signal Processing: Image Communication, 2015.
    """
    return jpeg(white_noise(image, variance, rng), NOISY_QUALITY, rng)
