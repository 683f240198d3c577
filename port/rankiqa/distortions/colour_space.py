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
    ycbcr = (image / 255.0).reshape(-1, 3) @ MATRIX.T
    ycbcr[:, 1:] += 0.5
    ycbcr[:, 0] = ycbcr[:, 0] * 219 / 255 + 16 / 255
    ycbcr[:, 1:] = ycbcr[:, 1:] * 224 / 255 + 16 / 255
    return to_uint8(ycbcr * 255).reshape(image.shape)  # MATLAB: a uint8 picture gives a rounded uint8 one


def ycbcr_to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Doubles (H, W, 3), Y in 16/255..235/255, Cb and Cr in 16/255..240/255, to RGB on [0, 1], not clipped."""
    flat = ycbcr.reshape(-1, 3) - 16 / 255
    flat[:, 1:] = flat[:, 1:] / (224 / 255) - 0.5
    flat[:, 0] /= 219 / 255
    return (flat @ INVERSE).reshape(ycbcr.shape)
