"""Random square crops, drawn like the original's and converted to a network's input format.

Shapes: N crops, H x W pixels of the image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.images import ImageError, check_image
from rankiqa.data.input_spec import InputSpec


def crop_offsets(
    height: int, width: int, crop: int, n: int, rng: np.random.RandomState, *, last_offset: bool = False
) -> np.ndarray:
    """Draw the positions of n crops. For each crop, top is drawn before left.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        crop: Side of a crop in pixels.
        n: Number of crops.
        rng: The random numbers; advanced by 2 n draws.
        last_offset: Whether to include the last offset, which the original never draws, and thus accept images of the
            crop's own size.

    Returns:
        int64 (n, 2): top and left in pixels.

    Raises:
        ImageError: If a side is not larger than the crop (with last_offset: if it is smaller).

    Source: upstream src/data_layer, src/eval: numpy.random.randint(H - crop).
    """
    # CAFFE: randint excludes its end, so the last offset is never drawn, and H = crop has no offset (upstream's layers)
    rows, columns = (side - crop + (1 if last_offset else 0) for side in (height, width))
    if min(rows, columns) < 1:
        least = f"of at least {crop}" if last_offset else f"above {crop}"
        raise ImageError(f"expected both sides {least} pixels (the crop), got {height} x {width} (H x W)")
    return np.array([(rng.randint(rows), rng.randint(columns)) for _ in range(n)], np.int64).reshape(n, 2)


def take_crops(image: np.ndarray, offsets: np.ndarray, spec: InputSpec) -> Tensor:
    """Cut crops from an image and convert them to a network's input format.

    Args:
        image: uint8 (H, W, 3), RGB.
        offsets: int (N, 2), top and left in pixels.
        spec: The network's input format (`model.input_spec`): crop, channel order, range, mean and deviation.

    Returns:
        float32 (N, 3, crop, crop).

    Raises:
        ValueError: For another dtype or shape of the image, or a crop that is not inside it.
    """
    check_image(image)
    (height, width), crop = image.shape[:2], spec.crop
    top, left = offsets[:, 0], offsets[:, 1]
    if len(offsets) and (min(top.min(), left.min()) < 0 or top.max() + crop > height or left.max() + crop > width):
        raise ValueError(f"offsets: expected crops of {crop} within {height} x {width}, got one outside")
    return cut(image, offsets, spec)


def cut(image: np.ndarray, offsets: np.ndarray, spec: InputSpec) -> Tensor:
    """Do the work of `take_crops` without its checks. image: (H, W, 3), RGB, 0..255, uint8 or float."""
    crop = spec.crop
    if spec.channel_order == "BGR":
        image = image[:, :, ::-1]  # CAFFE: BGR (cv2.imread in upstream's data layers); the only conversion to BGR
    crops = np.empty((len(offsets), 3, crop, crop), np.float32)
    for i, (y, x) in enumerate(offsets):
        crops[i] = image[y : y + crop, x : x + crop].transpose(2, 0, 1)
    batch = torch.from_numpy(crops)
    if not spec.is_pixels:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
        batch.mul_(spec.value_range / 255).sub_(mean).div_(std)
    return batch
