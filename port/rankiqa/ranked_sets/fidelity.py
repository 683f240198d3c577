"""How much of a photograph is left in a distorted version of it: a full-reference measure that saw no opinions.

Source: Sheikh and Bovik, Image information and visual quality, IEEE TIP 2006, in its pixel domain; torchmetrics' code.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from rankiqa.data.extras import need


def needed() -> None:
    """Load the package that measures. Raises MissingExtra."""
    need("torchmetrics", "metrics", "visual information fidelity")


def visual_information_fidelity(image: np.ndarray, pristine: np.ndarray) -> float:
    """VIF of the luma of two pictures, cut off at 1: 1 for the pristine one itself, towards 0 the more is lost.

    What has more contrast than the pristine picture can exceed 1, which is no better picture.

    Args:
        image: uint8 (H, W, 3), RGB, 41 pixels a side or more.
        pristine: The same of the picture that it was made of.

    Raises:
        ValueError: For other shapes.
        MissingExtra: Without torchmetrics.
    """
    if image.shape != pristine.shape or image.ndim != 3 or min(image.shape[:2]) < 41:
        raise ValueError(
            f"image, pristine: expected one shape (H, W, 3) from 41 pixels, got {image.shape}, {pristine.shape}"
        )
    functional = need("torchmetrics.functional.image", "metrics", "visual information fidelity")
    value = functional.visual_information_fidelity(_luma(image), _luma(pristine))
    return min(1.0, float(value))


def _luma(image: np.ndarray) -> Tensor:
    """float32 (1, 1, H, W)."""
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)).float()[None, None]
