"""JPEG and JPEG 2000 compression: encode in memory and decode again."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile

from rankiqa.distortions.noise import white_noise

BITS_PER_PIXEL = 24
JPEG = b"\xff\xd8"  # the first bytes of a JPEG file
BOXES = 85  # bytes of a .jp2 file outside its codestream, as OpenJPEG writes them
NOISY_QUALITY = 25
TRIES, CLOSE = 5, 0.03  # of the rate control: number of attempts, accepted relative error
SMALLEST = 285  # bytes of a .jp2 file; below it, the boxes leave too little room for a picture


def encode_jpeg(image: np.ndarray, quality: float, rng: object = None) -> bytes:
    """Return the JPEG file of an RGB image: baseline, 4:2:0, libjpeg's quality scale (0 and 1 use the same tables)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return file.getvalue()


def encode_jpeg2000(image: np.ndarray, bits_per_pixel: float, rng: object = None) -> bytes:
    """Return the .jp2 file of an RGB image at a compression ratio of 24 / bits_per_pixel (9/7 wavelet, lossy).

    The size of the whole file, including 85 bytes of boxes, is within about 5 % of the ratio. If that would be less
    than 285 bytes (256 x 256 at 0.02 bits per pixel: 164), the ratio applies to the codestream alone. Code blocks are
    32 x 32, which allows the rate control this precision. If the size misses by more than 3 %, the file is encoded
    again with another target.
    """
    height, width = image.shape[:2]
    size = height * width * bits_per_pixel / 8
    wanted = size if size >= SMALLEST else size + BOXES
    target, best = wanted, b""
    for _ in range(TRIES):
        data = _jpeg2000_file(image, height * width * BITS_PER_PIXEL / 8 / target)
        best = min(best or data, data, key=lambda file: abs(len(file) - wanted))
        target += wanted - len(data)
        if abs(len(data) - wanted) <= CLOSE * wanted or target < wanted / 2:
            break
    return best


def _jpeg2000_file(image: np.ndarray, ratio: float) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG2000",
        no_jp2=False,  # in boxes, since OpenCV 4.5, the original's reader here, cannot read a bare codestream
        irreversible=True,
        mct=1,
        codeblock_size=(32, 32),
        quality_mode="rates",
        quality_layers=[ratio],  # for the whole file, including boxes
        comment=b" ",  # the default, the library's name, would take 32 bytes more
    )
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode an image to uint8 (H, W, 3), RGB."""
    # The plugin is called directly because Image.open applies a size limit of the whole process
    plugin = JpegImageFile if data.startswith(JPEG) else Jpeg2KImageFile
    with plugin(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def jpeg(image: np.ndarray, quality: float, rng: object) -> np.ndarray:
    """Return the image after JPEG compression at this quality (0..100)."""
    return decode(encode_jpeg(image, quality))


def jpeg2000(image: np.ndarray, bits_per_pixel: float, rng: object) -> np.ndarray:
    """Return the image after JPEG 2000 compression at this rate."""
    return decode(encode_jpeg2000(image, bits_per_pixel))


def noisy_jpeg(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add white noise of this variance on [0, 1], then compress with JPEG at quality 25 (LCNI, TID2013's #21).

    Upstream leaves this type out. The coder and its quality are our choice; the variances are those of upstream's GN.
    Source of the type: Ponomarenko et al., Image database TID2013, Signal Processing: Image Communication, 2015.
    """
    return jpeg(white_noise(image, variance, rng), NOISY_QUALITY, rng)
