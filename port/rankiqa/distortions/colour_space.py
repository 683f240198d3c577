"""RGB to Y, Cb, Cr and back: BT.601 in studio range, as MATLAB's rgb2ycbcr has it."""

from __future__ import annotations

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


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) to uint8 Y in 16..235, Cb and Cr in 16..240."""
    ycbcr = np.empty_like(image)
    for channel, values in enumerate(_times(image, MATRIX.T)):
        # One operation after the other, as Octave: of a few colours the exact value is a half
        if channel:
            values += 0.5
        values *= 224 if channel else 219
        values /= 255
        values += 16 / 255
        ycbcr[:, :, channel] = to_uint8(values * 255)  # MATLAB: a uint8 picture gives a rounded uint8 one
    return ycbcr


def ycbcr_to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Doubles (H, W, 3), Y in 16/255..235/255, Cb and Cr in 16/255..240/255, to RGB on [0, 1], not clipped."""
    wide = ycbcr - 16 / 255
    wide[:, :, 1:] /= 224 / 255
    wide[:, :, 0] /= 219 / 255
    wide[:, :, 1:] -= 0.5
    return np.stack(list(_times(wide, INVERSE, 1.0)), 2)


def _times(image: np.ndarray, matrix: np.ndarray, white: float = 255.0):
    """The three planes (H, W) of image / white times a matrix (3, 3): summed from the left, no fused products."""
    planes = [image[:, :, channel] / white for channel in range(3)]
    for column in matrix.T:
        total = planes[0] * column[0]
        total += planes[1] * column[1]
        total += planes[2] * column[2]
        yield total
