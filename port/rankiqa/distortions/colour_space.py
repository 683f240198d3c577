"""Convert between RGB and Y, Cb, Cr: BT.601 in studio range, as in MATLAB's rgb2ycbcr."""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.rounding import to_uint8

RED, BLUE = 0.299, 0.114
GREEN = 1 - RED - BLUE
# Y on [0, 1], Cb and Cr on [-0.5, 0.5]. MATLAB documents 219 and 224 times these with three decimals; Octave does not
# round.
MATRIX = np.array(
    [
        [RED, GREEN, BLUE],
        [-(RED / (2 - 2 * BLUE)), -GREEN / (2 - 2 * BLUE), 0.5],
        [0.5, -GREEN / (2 - 2 * RED), -(BLUE / (2 - 2 * RED))],
    ]
)
INVERSE = np.linalg.inv(MATRIX.T)
UNIT = np.arange(256) / 255.0  # as MATLAB's im2double


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """Convert uint8 RGB (H, W, 3) to uint8 (H, W, 3): Y in 16..235, Cb and Cr in 16..240."""
    planes = []
    for channel, values in enumerate(_times([cv2.LUT(plane, UNIT) for plane in cv2.split(image)], MATRIX.T)):
        # One operation after another, as in Octave, because the exact value of a few colours is a half.
        if channel:
            values += 0.5
        values *= 224 if channel else 219
        values /= 255
        values += 16 / 255
        values *= 255
        planes.append(to_uint8(values))  # MATLAB: the result for a uint8 picture is rounded to uint8
    return cv2.merge(planes)


def ycbcr_to_rgb(planes: list[np.ndarray]) -> np.ndarray:
    """Convert planes to RGB on [0, 1]; values outside [0, 1] are not clipped.

    Args:
        planes: Three float64 (H, W): Y in 16/255..235/255, Cb and Cr in 16/255..240/255.

    Returns:
        float64 (H, W, 3).
    """
    wide = [plane - 16 / 255 for plane in planes]
    wide[0] /= 219 / 255
    for plane in wide[1:]:
        plane /= 224 / 255
        plane -= 0.5
    return cv2.merge(list(_times(wide, INVERSE)))


def _times(planes: list[np.ndarray], matrix: np.ndarray):
    """Yield the planes of a picture times a matrix (3, 3): summed from the left, without fused products."""
    for column in matrix.T:
        total = planes[0] * column[0]
        total += planes[1] * column[1]
        total += planes[2] * column[2]
        yield total
