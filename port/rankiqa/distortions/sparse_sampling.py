"""Sparse sampling and reconstruction (SSR), a type of TID2013 that upstream leaves out. The parameters are our choice.

Source of the type: Ponomarenko et al., Image database TID2013: peculiarities, results and perspectives, Signal
Processing: Image Communication, 2015.
"""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.rounding import to_uint8

STEPS = 12
FIRST, LAST = 100.0, 30.0  # first and last threshold of the DCT coefficients, in grey levels


def kept_pixels(height: int, width: int, share: float, rng) -> np.ndarray:
    """Return a mask (H, W), bool, with `share` of the pixels (rounded, at least one) at random positions."""
    uniform = rng.uniform(size=height * width)
    number = max(1, round(share * height * width))
    kept = np.zeros(height * width, bool)
    kept[np.argpartition(uniform, number - 1)[:number]] = True
    return kept.reshape(height, width)


def sparse_sampling(image: np.ndarray, share: float, rng) -> np.ndarray:
    """Keep this share of the pixels and reconstruct the others as the picture whose DCT is sparse (SSR, #24).

    The method is our choice. It starts from a local mean of the kept pixels and repeats 12 times: restore the kept
    pixels, and drop the DCT coefficients below a threshold that falls from 100 to 30 grey levels.
    """
    from scipy import fft  # imported late, since it is slow

    kept = kept_pixels(image.shape[0], image.shape[1], share, rng)[:, :, None]
    known = np.where(kept, image, 0).astype(np.float64)
    spread = 1 / np.sqrt(share)
    near = [cv2.GaussianBlur(part, (0, 0), spread) for part in (known, np.repeat(kept, 3, 2).astype(np.float64))]
    mean = known.sum((0, 1)) / kept.sum()
    guess = np.where(near[1] > 1e-6, near[0] / np.maximum(near[1], 1e-6), mean)
    for threshold in np.geomspace(FIRST, LAST, STEPS):
        guess = np.where(kept, known, guess)
        coefficients = np.asarray(fft.dctn(guess, axes=(0, 1), norm="ortho"))
        coefficients[np.abs(coefficients) < threshold] = 0
        guess = np.asarray(fft.idctn(coefficients, axes=(0, 1), norm="ortho"))
    return to_uint8(guess)
