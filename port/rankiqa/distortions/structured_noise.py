"""Structured noise: SCN, MN, CN. Types of TID2013 that upstream leaves out; the parameters are our choice.

Source of the types: Ponomarenko et al., Image database TID2013: peculiarities, results and perspectives, Signal
Processing: Image Communication, 2015.
"""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.blur import gaussian_kernel
from rankiqa.distortions.colour_space import rgb_to_ycbcr
from rankiqa.distortions.noise import add_noise
from rankiqa.distortions.rounding import to_uint8

CORRELATION = 7  # taps of the Gaussian that smooths SCN's noise, sigma 7/6 of a pixel
NEIGHBOURHOOD = 7  # in pixels; MN's activity is the standard deviation in this window
BLOCK = 8


def correlated_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add Gaussian noise of this variance on [0, 1], correlated between neighbouring pixels, to each channel (SCN, #3).

    Our choice: white noise filtered by a Gaussian of sigma 7/6 pixels, with the variances of upstream's GN.
    """
    half = CORRELATION // 2
    height, width, channels = image.shape
    white = rng.standard_normal(size=(height + 2 * half, width + 2 * half, channels))
    taps = gaussian_kernel(CORRELATION)
    taps = taps / np.sqrt((taps**2).sum())  # keeps the variance
    noise = cv2.sepFilter2D(white, cv2.CV_64F, taps, taps)[half : half + height, half : half + width]
    return add_noise(image, np.sqrt(variance) * noise)


def activity(image: np.ndarray) -> np.ndarray:
    """Return the standard deviation of Y in the 7 x 7 neighbourhood of each pixel, (H, W), in grey levels."""
    luma = rgb_to_ycbcr(image)[:, :, 0].astype(np.float64)
    size = (NEIGHBOURHOOD, NEIGHBOURHOOD)
    mean, square = (cv2.blur(values, size, borderType=cv2.BORDER_REFLECT) for values in (luma, luma**2))
    return np.sqrt(np.maximum(square - mean**2, 0))


def masked_noise(image: np.ndarray, variance: float, rng) -> np.ndarray:
    """Add Gaussian noise where texture masks it: its standard deviation is proportional to `activity` (MN, #4).

    Args:
        image: uint8 (H, W, 3) RGB. A picture without any activity is returned unchanged.
        variance: The variance of the noise on [0, 1], averaged over the picture.
        rng: A numpy Generator.

    Source:
        Our choice: the local standard deviation as the measure of masking; twice the variances of upstream's GN.
    """
    busy = activity(image)
    scale = np.sqrt((busy**2).mean())
    if scale == 0:
        return image.copy()
    noise = rng.standard_normal(size=image.shape) * (busy / scale)[:, :, None]
    return add_noise(image, np.sqrt(variance) * noise)


def comfort_noise(image: np.ndarray, threshold: float, rng) -> np.ndarray:
    """Replace what a coder would drop, the small coefficients of 8 x 8 DCTs, by noise of the same power (CN, #20).

    In each block and channel, the coefficients (orthonormal DCT, without the mean) of at most `threshold` grey levels
    are replaced by Gaussian noise with their mean square. The transform and the thresholds are our choice.
    """
    from scipy import fft  # imported late, since it is slow

    height, width, channels = image.shape
    padded = np.pad(image, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge").astype(np.float64)
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK, channels)
    coefficients = np.asarray(fft.dctn(blocks, axes=(1, 3), norm="ortho"))
    small = np.abs(coefficients) <= threshold
    small[:, 0, :, 0] = False
    power = np.where(small, coefficients, 0) ** 2
    deviation = np.sqrt(power.sum((1, 3), keepdims=True) / np.maximum(small.sum((1, 3), keepdims=True), 1))
    noise = deviation * rng.standard_normal(size=coefficients.shape)
    coded = np.asarray(fft.idctn(np.where(small, noise, coefficients), axes=(1, 3), norm="ortho"))
    return to_uint8(coded.reshape(padded.shape)[:height, :width])
