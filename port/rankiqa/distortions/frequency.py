"""High-frequency noise (HFN)."""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.noise import white_noise
from rankiqa.distortions.rounding import to_uint8

RADIUS = 10


def high_pass(height: int, width: int) -> np.ndarray:
    """Return the weight of each frequency, (H, W): 1 - exp(-d^2 / 200), d the distance from the centre of the array."""
    # UPSTREAM: the spectrum is not shifted, so the centre is the highest frequency, which is removed.
    down = (np.arange(1, height + 1) - height / 2) ** 2
    across = (np.arange(1, width + 1) - width / 2) ** 2
    return 1 - np.exp(-(down[:, None] + across[None, :]) / (2 * RADIUS**2))


def filtered(image: np.ndarray) -> np.ndarray:
    """Multiply each channel's spectrum by `high_pass`; return the real part of the inverse transform, float64 (H, W,
    3)."""
    height, width = image.shape[:2]
    weights = high_pass(height, width)
    # For a real picture, the even half of the weights gives the real part, so half a spectrum is enough.
    even = (weights + np.roll(weights[::-1, ::-1], 1, (0, 1))) / 2
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float64)
    spectrum = np.fft.rfft2(planes) * even[:, : width // 2 + 1]
    return np.fft.irfft2(spectrum, (height, width)).transpose(1, 2, 0)


def high_frequency_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Remove the highest frequencies, round, and add white noise of this variance on [0, 1] (HFN).

    Source:
        Upstream data/rank_tid2013/HighFN.m, ghp.m.
    """
    return white_noise(to_uint8(filtered(image)), variance, rng)
