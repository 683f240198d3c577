"""Image denoising (ID): add noise twice and denoise with CBM3D."""

from __future__ import annotations

import numpy as np

from rankiqa.data.extras import need
from rankiqa.distortions.noise import white_noise
from rankiqa.distortions.rounding import to_uint8

SIGMA = 25 / 255
SMALLEST = 16  # rows and columns; the package crashes on images smaller than its blocks


def cbm3d(noisy: np.ndarray) -> np.ndarray:
    """Denoise with CBM3D at sigma 25/255.

    The package's defaults are upstream's sizes of blocks, groups and windows. This function sets the 2007 algorithm's
    variance estimate and its thresholds, as in upstream's version, and a single thread, since the last bits would vary
    otherwise.

    Args:
        noisy: float64 (H, W, 3) on [0, 1], RGB, at least 16 x 16.

    Returns:
        float64 (H, W, 3).

    Raises:
        ValueError: Without the package bm3d (the extra `denoise`).
    """
    bm3d = need("bm3d", "denoise", "distort: ID")
    profile = bm3d.BM3DProfile()
    profile.nf, profile.lambda_thr3d, profile.mu2, profile.num_threads = 0, 2.7, 1.0, 1
    return bm3d.bm3d_rgb(noisy, SIGMA, profile)


def denoised_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add white noise of this variance on [0, 1], then noise of sigma 25/255, and denoise with CBM3D at 25/255 (ID).

    CBM3D does not take the first noise into account, so more of it remains the stronger it is.

    Raises:
        ValueError: Without the package bm3d, whose licence is for non-commercial use (the extra `denoise`).

    Source:
        Upstream data/rank_tid2013/ImageDenoising.m, BM3D/CBM3D.m.
    """
    height, width = image.shape[:2]
    padding = [(0, max(SMALLEST - height, 0)), (0, max(SMALLEST - width, 0)), (0, 0)]
    noisy = white_noise(np.pad(image, padding, "symmetric"), variance, rng) / 255.0
    # UPSTREAM: the second noise has seed 0, so it is the same for all pictures of the same size.
    noisy += SIGMA * np.random.RandomState(0).standard_normal(size=noisy.shape)
    return to_uint8(cbm3d(noisy)[:height, :width] * 255)
