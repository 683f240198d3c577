"""High-frequency noise (HFN)."""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.noise import white_noise
from rankiqa.distortions.rounding import to_uint8

RADIUS = 10


def high_pass(height: int, width: int) -> np.ndarray:
    """The weight of each frequency, (H, W): 1 - exp(-d^2 / 200), d from the middle of the array."""
    # UPSTREAM: the spectrum isn't shifted, so the middle is the highest frequency, and that is what goes.
    down = (np.arange(1, height + 1) - height / 2) ** 2
    across = (np.arange(1, width + 1) - width / 2) ** 2
    return 1 - np.exp(-(down[:, None] + across[None, :]) / (2 * RADIUS**2))


def filtered(image: np.ndarray) -> np.ndarray:
    """The real part of each channel's spectrum times `high_pass`, transformed back: doubles (H, W, 3)."""
    height, width = image.shape[:2]
    weights = high_pass(height, width)
    # Of a real picture the real part is what the weights' even half gives, and then half a spectrum is enough.
    even = (weights + np.roll(weights[::-1, ::-1], 1, (0, 1))) / 2
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float64)
    spectrum = np.fft.rfft2(planes) * even[:, : width // 2 + 1]
    return np.fft.irfft2(spectrum, (height, width)).transpose(1, 2, 0)


def high_frequency_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Take the highest frequencies away, round, and add white noise of this variance on [0, 1] (HFN).

    Source:
        Upstream data/rank_tid2013/HighFN.m, ghp.m.
    """
    return white_noise(to_uint8(filtered(image)), variance, rng)
