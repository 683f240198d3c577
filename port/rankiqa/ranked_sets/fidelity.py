"""Measure how much of a photograph's information is left in a distorted version, without any opinions.

Source: Sheikh and Bovik, Image information and visual quality, IEEE TIP 2006, in its pixel domain; torchmetrics' code.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from rankiqa.data.extras import need
from rankiqa.data.images import check_image


def needed() -> None:
    """Import the package that computes the measure. Raise MissingExtra if it is not installed."""
    need("torchmetrics", "metrics", "visual information fidelity")


def visual_information_fidelity(image: np.ndarray, pristine: np.ndarray) -> float:
    """Return the VIF of the luma of two pictures, clipped at 1: 1 for the pristine picture itself, near 0 for a large
    loss.

    The unclipped value can exceed 1 for a picture with more contrast than the pristine one, although it is not better.

    Args:
        image: uint8 (H, W, 3), RGB, both sides at least 41 pixels.
        pristine: The pristine picture, of the same shape.

    Returns:
        The fidelity, at most 1.

    Raises:
        ValueError: The images have other shapes or dtypes, or are smaller than 41 pixels on a side.
        MissingExtra: torchmetrics is not installed.
    """
    for picture in (image, pristine):
        check_image(picture)
    if image.shape != pristine.shape or min(image.shape[:2]) < 41:
        raise ValueError(
            f"image, pristine: expected the same shape (H, W, 3) of at least 41 pixels a side, got {image.shape}, "
            f"{pristine.shape}"
        )
    functional = need("torchmetrics.functional.image", "metrics", "visual information fidelity")
    value = functional.visual_information_fidelity(_luma(image), _luma(pristine))
    return min(1.0, float(value))


def _luma(image: np.ndarray) -> Tensor:
    """Return the luma, float32 (1, 1, H, W)."""
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)).float()[None, None]
