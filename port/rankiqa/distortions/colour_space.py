"""RGB to Y, Cb, Cr and back: BT.601 in studio range, as MATLAB's rgb2ycbcr has it."""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.rounding import to_uint8

RED, BLUE = 0.299, 0.114
GREEN = 1 - RED - BLUE
# Y on [0, 1], Cb and Cr on [-0.5, 0.5]. MATLAB prints 219 and 224 times these with three decimals; Octave does not.
MATRIX = np.array(
    [
        [RED, GREEN, BLUE],
        [-(RED / (2 - 2 * BLUE)), -GREEN / (2 - 2 * BLUE), 0.5],
        [0.5, -GREEN / (2 - 2 * RED), -(BLUE / (2 - 2 * RED))],
    ]
)
INVERSE = np.linalg.inv(MATRIX.T)
UNIT = np.arange(256) / 255.0  # MATLAB: im2double


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) to uint8 Y in 16..235, Cb and Cr in 16..240."""
    planes = []
    for channel, values in enumerate(_times([cv2.LUT(plane, UNIT) for plane in cv2.split(image)], MATRIX.T)):
        # One operation after the other, as Octave: of a few colours the exact value is a half
        if channel:
            values += 0.5
        values *= 224 if channel else 219
        values /= 255
        values += 16 / 255
        values *= 255
        planes.append(to_uint8(values))  # MATLAB: a uint8 picture gives a rounded uint8 one
    return cv2.merge(planes)


def ycbcr_to_rgb(planes: list[np.ndarray]) -> np.ndarray:
    """Planes (H, W) of doubles, Y in 16/255..235/255, Cb and Cr in 16/255..240/255, to RGB (H, W, 3) on [0, 1].

    What is outside [0, 1] stays so.
    """
    wide = [plane - 16 / 255 for plane in planes]
    wide[0] /= 219 / 255
    for plane in wide[1:]:
        plane /= 224 / 255
        plane -= 0.5
    return cv2.merge(list(_times(wide, INVERSE)))


def _times(planes: list[np.ndarray], matrix: np.ndarray):
    """The planes of a picture times a matrix (3, 3), one by one: summed from the left, no fused products."""
    for column in matrix.T:
        total = planes[0] * column[0]
        total += planes[1] * column[1]
        total += planes[2] * column[2]
        yield total
