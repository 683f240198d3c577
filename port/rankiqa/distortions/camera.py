"""Distortions by cameras, phones and the web: blur, noise, exposure, haze and over-processing (WILD).

Every function takes and returns uint8 (H, W, 3) RGB. The parameters are our choice.
"""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.rounding import to_uint8

SAMPLES = 16  # samples of a motion per pixel of its path
GRAIN_SIGMA = 1.2  # in pixels
SHARPENING_SIGMA = 1.5  # in pixels
AIRLIGHT = 215.0  # grey level of the haze
# The second parameter of a level depends on the first: {first: second}, ascending, with linear interpolation.
SHOT_NOISE = {0.17: 1.0, 0.27: 0.8, 0.4: 0.6, 0.55: 0.4, 0.75: 0.2}  # gain: factor of sqrt(grey level)
EXPOSURE_OFFSET = {1.25: 8.0, 1.5: 16.0, 1.8: 24.0, 2.2: 32.0, 2.8: 40.0}  # gain: offset in grey levels
SPATIAL_SIGMA = {12.0: 2.0, 22.0: 3.0, 36.0: 4.0, 55.0: 5.0, 80.0: 6.0}  # sigma of the colour: spatial sigma in pixels


def _interpolate(value: float, table: dict[float, float]) -> float:
    """Interpolate linearly in a table {x: y}."""
    return float(np.interp(value, list(table), list(table.values())))


def _filter(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate with a kernel. The border is mirrored."""
    return to_uint8(cv2.filter2D(image.astype(np.float64), cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT))


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """Return the point spread function of a straight motion.

    Args:
        length: The length of the path in pixels.
        angle: The direction in radians, anticlockwise from the right.

    Returns:
        float64 (K, K), K odd, with sum 1.
    """
    half = int(np.ceil(length / 2)) + 1
    number = SAMPLES * int(np.ceil(length))
    along = ((np.arange(number) + 0.5) / number - 0.5) * length
    rows, columns = half - along * np.sin(angle), half + along * np.cos(angle)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for down in (0, 1):
        for across in (0, 1):
            weights = (1 - np.abs(rows - top - down)) * (1 - np.abs(columns - left - across))
            np.add.at(kernel, (top + down, left + across), weights)
    return kernel / kernel.sum()


def motion_blur(image: np.ndarray, length: float, rng) -> np.ndarray:
    """Blur along a straight path of `length` pixels in a random direction (MOTION)."""
    return _filter(image, motion_kernel(length, np.pi * rng.uniform()))


def disk_kernel(radius: float) -> np.ndarray:
    """Return a disk of `radius` pixels with an edge softened over one pixel: float64 (K, K), K odd, with sum 1."""
    half = int(np.ceil(radius))
    offsets = np.arange(-half, half + 1)
    kernel = np.clip(radius + 0.5 - np.hypot(offsets[:, None], offsets[None, :]), 0, 1)
    return kernel / kernel.sum()


def defocus_blur(image: np.ndarray, radius: float, rng: object) -> np.ndarray:
    """Blur with a disk of `radius` pixels, like a lens out of focus (DEFOCUS)."""
    return _filter(image, disk_kernel(radius))


def sensor_noise(image: np.ndarray, deviation: float, rng) -> np.ndarray:
    """Add white Gaussian noise with this standard deviation in grey levels (GN)."""
    return to_uint8(image + deviation * rng.standard_normal(size=image.shape))


def grain(image: np.ndarray, deviation: float, rng) -> np.ndarray:
    """Add white noise with this standard deviation in grey levels, blurred with sigma 1.2 pixels (GRAIN)."""
    return to_uint8(image + _blur(deviation * rng.standard_normal(size=image.shape), GRAIN_SIGMA))


def low_resolution(image: np.ndarray, factor: float, rng: object) -> np.ndarray:
    """Scale down by `factor` (area means) and up again (bicubic) (LOWRES)."""
    height, width = image.shape[:2]
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def low_light(image: np.ndarray, gain: float, rng) -> np.ndarray:
    """Darken by `gain` and add shot noise, which grows with the square root of the grey level (LOWLIGHT)."""
    dark = gain * image.astype(np.float64)
    noise = np.sqrt(dark) * rng.standard_normal(size=image.shape)
    return to_uint8(dark + _interpolate(gain, SHOT_NOISE) * noise)


def overexposure(image: np.ndarray, gain: float, rng: object) -> np.ndarray:
    """Brighten by `gain` and an offset, so that bright regions are clipped (OVEREXPOSED)."""
    return cv2.LUT(image, to_uint8(gain * np.arange(256) + _interpolate(gain, EXPOSURE_OFFSET)))


def low_contrast(image: np.ndarray, gain: float, rng: object) -> np.ndarray:
    """Multiply the difference from the picture's mean by `gain` (LOWCONTRAST)."""
    mean = float(image.mean())
    return cv2.LUT(image, to_uint8(mean + gain * (np.arange(256) - mean)))


def haze(image: np.ndarray, transmission: float, rng: object) -> np.ndarray:
    """Mix the picture with bright grey: x t + 215 (1 - t) for a transmission t (HAZE)."""
    return cv2.LUT(image, to_uint8(transmission * np.arange(256) + AIRLIGHT * (1 - transmission)))


def oversharpening(image: np.ndarray, amount: float, rng: object) -> np.ndarray:
    """Apply an unsharp mask: add `amount` times the difference from a blur of sigma 1.5 pixels (OVERSHARPENED)."""
    wide = image.astype(np.float64)
    return to_uint8(wide + amount * (wide - _blur(wide, SHARPENING_SIGMA)))


def oversmoothing(image: np.ndarray, colour_sigma: float, rng: object) -> np.ndarray:
    """Apply a bilateral filter with this sigma in grey levels, like strong noise reduction (OVERSMOOTHED)."""
    space = _interpolate(colour_sigma, SPATIAL_SIGMA)
    return cv2.bilateralFilter(image, -1, colour_sigma, space, borderType=cv2.BORDER_REFLECT)
