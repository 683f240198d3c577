"""Gaussian blur (GB)."""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.rounding import to_uint8


def gaussian_kernel(size: int) -> np.ndarray:
    """Return the 1-D Gaussian with `size` taps (odd) and sigma size/6, which sums to 1, float64."""
    offsets = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(offsets**2) / (2 * (size / 6) ** 2))
    return taps / taps.sum()


def gaussian_blur(image: np.ndarray, size: float, rng: object) -> np.ndarray:
    """Blur with a size x size Gaussian of sigma size/6. The border is mirrored, including the edge pixel."""
    kernel = gaussian_kernel(int(size))
    # MATLAB's 'symmetric' border repeats the edge pixel; OpenCV calls it BORDER_REFLECT.
    blurred = cv2.sepFilter2D(image.astype(np.float64), cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    return to_uint8(blurred)
