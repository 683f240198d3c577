"""Noise that is independent for each pixel: GN, GNC, IN, MGN."""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.colour_space import rgb_to_ycbcr, ycbcr_to_rgb
from rankiqa.distortions.rounding import to_uint8


def add_noise(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Add noise (H, W, 3) to the picture on [0, 1], clip, and return uint8. Overwrites `noise`."""
    noise += image / 255.0
    np.clip(noise, 0, 1, out=noise)
    noise *= 255.0
    return to_uint8(noise)


def white_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add zero-mean Gaussian noise of this variance to the picture on [0, 1], clip, and return uint8.

    Source:
        MATLAB's imnoise(image, 'gaussian', 0, variance).
    """
    return add_noise(image, np.sqrt(variance) * rng.standard_normal(size=image.shape))


def gaussian_noise(image: np.ndarray, log2_variance: float, rng) -> np.ndarray:
    """Add white noise of variance 2**log2_variance on [0, 1] (LIVE's GN)."""
    return white_noise(image, 2.0**log2_variance, rng)


def colour_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add Gaussian noise of this variance to Y, Cb and Cr on [0, 1] (GNC).

    Source:
        Upstream data/rank_tid2013/gnc.m.
    """
    ycbcr = rgb_to_ycbcr(image) / 255.0
    ycbcr += np.sqrt(variance) * rng.standard_normal(size=image.shape)
    return to_uint8(ycbcr_to_rgb(cv2.split(ycbcr)) * 255.0)


def impulse_noise(image: np.ndarray, density: float, rng) -> np.ndarray:
    """Set this share of the values to 0 or 255 with equal probability, independently for each channel (IN).

    Source:
        MATLAB's imnoise(image, 'salt & pepper', density).
    """
    uniform = rng.uniform(size=image.shape)
    noisy = image.copy()
    noisy[uniform < density / 2] = 0
    noisy[(uniform >= density / 2) & (uniform < density)] = 255
    return noisy


def multiplicative_noise(image: np.ndarray, deviation: float, rng) -> np.ndarray:
    """Multiply each value by 1 + deviation * normal, one channel after another (MGN).

    Source:
        Upstream data/rank_tid2013/MultiGN.m.
    """
    height, width, channels = image.shape
    noisy = image / 255.0 * 255.0
    for channel in range(channels):
        noisy[:, :, channel] *= 1 + deviation * rng.standard_normal(size=(height, width))
    return to_uint8(noisy)
