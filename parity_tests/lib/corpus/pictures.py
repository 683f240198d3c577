"""The picture of the corpus in every mode, and functions that write it with each library."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

HEIGHT, WIDTH = 37, 46
SIZES = [(1, 1), (1, 7), (9, 1), (2, 3), (17, 16), (8, 8), (33, 31)]  # height, width
MODES = "1 L LA P PA RGB RGBA RGBX RGBa La CMYK YCbCr LAB HSV I F I;16".split()


def colours(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Return three gradients, blocks of full colours and a little noise: uint8 (H, W, 3), RGB."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.RandomState(seed).randint(0, 24, (height, width, 3))
    image = np.stack([x * 230 // max(width - 1, 1), y * 230 // max(height - 1, 1), (x * 5 + y * 3) % 230], 2) + noise
    image[: height // 4, : width // 4] = (255, 0, 0)
    image[: height // 4, width // 4 : width // 2] = (3, 250, 20)
    image[height // 4 : height // 2, : width // 4] = (0, 0, 255)
    return image.clip(0, 255).astype(np.uint8)


def alpha(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a gradient from transparent to opaque: uint8 (H, W)."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def deep(image: np.ndarray, bits: int = 16) -> np.ndarray:
    """Return the image with more than 8 bits per sample, as uint16; its low bits are not all zero."""
    low = np.random.RandomState(1).randint(0, 1 << (bits - 8), image.shape)
    return (image.astype(np.uint16) << (bits - 8) | low).astype(np.uint16)


def in_mode(mode: str, image: np.ndarray | None = None) -> Image.Image:
    """Return the picture in one of Pillow's modes."""
    image = colours() if image is None else image
    picture = Image.fromarray(image)
    if mode == "I;16":
        return Image.fromarray(deep(image[..., 1]))
    if mode == "I":
        return Image.fromarray(image[..., 1].astype(np.int32) * 300)
    if mode == "F":
        return Image.fromarray(image[..., 1].astype(np.float32) / 255)
    if mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        picture.putalpha(Image.fromarray(alpha(*image.shape[:2])))
        through = {"La": "LA", "PA": "P"}.get(mode, "RGBA")
        return picture.convert(through).convert(mode)
    if mode == "LAB":
        picture = ImageCms.applyTransform(picture, _to_lab())
        picture.info.clear()  # it has a profile, which contains the current time
        return picture
    return picture.convert(mode)


def _to_lab():
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


def profile() -> bytes:
    """Return an ICC profile with its time of creation set to zero."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:24] + bytes(12) + data[36:]


def pillow(picture: Image.Image, kind: str, **options) -> bytes | None:
    """Return the file that Pillow writes, or None if it doesn't support the mode."""
    file = io.BytesIO()
    try:
        picture.save(file, kind, **options)
    except (OSError, KeyError, ValueError, TypeError, struct.error):
        return None
    return file.getvalue()


def opencv(suffix: str, array: np.ndarray, *options: int) -> bytes | None:
    """Return the file that OpenCV writes for an RGB, RGBA or grey array, or None if it doesn't support it."""
    order = {2: None, 3: [2, 1, 0]}.get(array.shape[2] if array.ndim == 3 else 2, [2, 1, 0, 3])
    try:
        written, data = cv2.imencode(
            suffix, array if order is None else np.ascontiguousarray(array[..., order]), options
        )
    except cv2.error:
        return None
    return data.tobytes() if written else None


def tiff(array: np.ndarray, **options) -> bytes:
    """Return the file that tifffile writes."""
    file = io.BytesIO()
    big = {"bigtiff": options.pop("bigtiff", False), "byteorder": options.pop("byteorder", "<")}
    with tifffile.TiffWriter(file, **big) as writer:
        writer.write(array, metadata=None, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data with an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def appearances(height: int, width: int) -> list[np.ndarray]:
    """Return the pixels that files of the corpus may show: the picture as each format stores it.

    Each array is uint8 (H, W, 3), RGB.
    """
    image = colours(height, width)

    def grey(values):
        return np.repeat(np.asarray(values, np.uint8)[..., None], 3, 2)

    multiplied = Image.frombytes("RGBa", (width, height), np.dstack([image, alpha(height, width)]).tobytes())
    plain = [
        image, grey(image[..., 1]), grey(np.clip(image[..., 1].astype(int) * 300 >> 8, 0, 255)),
        grey((image[..., 1] > 128) * 255), np.asarray(multiplied.convert("RGBA"))[..., :3],
        *(np.asarray(in_mode(mode, image).convert("RGB")) for mode in ("L", "1", "P", "CMYK")),
        np.asarray(in_mode("YCbCr", image)),  # a JPEG 2000 codestream without boxes does not name its channels
    ]  # fmt: skip
    return [*plain, *(255 - seen for seen in (plain[1], plain[3]))]
