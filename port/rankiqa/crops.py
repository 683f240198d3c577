"""Random square crops, drawn as the original draws them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankiqa.images import ImageError


def crop_offsets(
    height: int, width: int, crop: int, n: int, rng: np.random.RandomState, *, last_offset: bool = False
) -> np.ndarray:
    """Offsets of n crops, int (n, 2): top, left, in pixels; top is drawn first, crop by crop.

    last_offset: draw the last one too, as the original never does, and take images of the crop's own size.
    Raises ImageError unless both sides are larger than the crop (last_offset: at least as large).
    Source: upstream src/data_layer, src/eval: numpy.random.randint(H - crop).
    """
    # CAFFE: randint's end is exclusive, so the last offset is never drawn and H = crop has none (upstream's layers)
    rows, columns = (side - crop + (1 if last_offset else 0) for side in (height, width))
    if min(rows, columns) < 1:
        least = f"of at least {crop}" if last_offset else f"above {crop}"
        raise ImageError(f"expected both sides {least} pixels (the crop), got {height} x {width} (H x W)")
    return np.array([(rng.randint(rows), rng.randint(columns)) for _ in range(n)], np.int64).reshape(n, 2)


def check_image(image: np.ndarray) -> None:
    """Raises ValueError unless the image is an array, uint8 (H, W, 3), as `read_image` gives it."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image: expected an array from rankiqa.read_image, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected uint8 (H, W, 3), BGR, 0..255, got {image.dtype} {image.shape}")


def take_crops(image: np.ndarray, offsets: np.ndarray, crop: int) -> Tensor:
    """Crops of an image as a network takes them: float32 (n, 3, crop, crop), BGR, 0..255.

    image: uint8 (H, W, 3) BGR; offsets: int (n, 2) top, left. Neither mean nor scale is taken off.
    Raises ValueError for an image of another form or an offset outside it.
    """
    check_image(image)
    height, width = image.shape[:2]
    top, left = offsets[:, 0], offsets[:, 1]
    if len(offsets) and (min(top.min(), left.min()) < 0 or top.max() + crop > height or left.max() + crop > width):
        raise ValueError(f"offsets: expected crops of {crop} within {height} x {width}, got one outside")
    crops = np.empty((len(offsets), 3, crop, crop), np.float32)
    for i, (y, x) in enumerate(offsets):
        crops[i] = image[y : y + crop, x : x + crop].transpose(2, 0, 1)
    return torch.from_numpy(crops)
