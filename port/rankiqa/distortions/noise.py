"""White Gaussian noise (GN)."""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.rounding import to_uint8


def gaussian_noise(image: np.ndarray, log2_variance: float, rng) -> np.ndarray:
    """Add zero-mean noise of variance 2**log2_variance to the picture on [0, 1], clip, and go back to uint8."""
    noisy = image / 255.0 + np.sqrt(2.0**log2_variance) * rng.standard_normal(size=image.shape)
    return to_uint8(255.0 * np.clip(noisy, 0, 1))
