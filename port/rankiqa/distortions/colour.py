"""Changes of brightness, contrast and colour: MSH, MSL, CCL, CCH, CS, CA."""

from __future__ import annotations

import cv2
import numpy as np

from rankiqa.distortions.blur import gaussian_kernel
from rankiqa.distortions.colour_space import UNIT, rgb_to_ycbcr, ycbcr_to_rgb
from rankiqa.distortions.rounding import to_uint8


def mean_shift(image: np.ndarray, shift: float, rng: object) -> np.ndarray:
    """Add `shift` grey levels to every value, with saturation (MSH; MSL with a negative shift).

    Source:
        Upstream data/rank_tid2013/MeanShift.m.
    """
    return cv2.LUT(image, to_uint8(np.arange(256) + float(shift)))


def contrast_change(image: np.ndarray, factor: float, rng: object) -> np.ndarray:
    """Multiply every value by `factor` (CCL below 1, CCH above).

    Source:
        Upstream data/rank_tid2013/ContrastChange.m.
    """
    # UPSTREAM: /255 and *255 before the factor
    return cv2.LUT(image, to_uint8(UNIT * 255.0 * factor))


def colour_saturation(image: np.ndarray, factor: float, rng: object) -> np.ndarray:
    """Multiply the difference of Cb and Cr from grey by `factor`; a negative one gives complementary colours (CS).

    Source:
        Upstream data/rank_tid2013/ColorSaturation.m.
    """
    luma, *chroma = cv2.split(rgb_to_ycbcr(image))
    # UPSTREAM: uses 0.5 (127.5) for grey, although rgb2ycbcr's grey is 128.
    table = 0.5 + (UNIT - 0.5) * factor
    planes = [cv2.LUT(luma, UNIT), *(cv2.LUT(plane, table) for plane in chroma)]
    return to_uint8(ycbcr_to_rgb(planes) * 255.0)


def chromatic_aberration(image: np.ndarray, shift: float, rng: object) -> np.ndarray:
    """Shift red by shift - 1 columns to the right and green by shift / 2 - 1, then blur slightly (CA).

    Columns at the left that receive no shifted values keep their own.

    Source:
        Upstream data/rank_tid2013/CA.m.
    """
    shifted = image.copy()
    # UPSTREAM: MATLAB counts columns from 1, so "from column `shift` on" moves by one less. Its B is the green channel.
    for channel, columns in ((0, int(shift) - 1), (1, int(shift) // 2 - 1)):
        kept = max(image.shape[1] - columns, 0)
        shifted[:, columns:, channel] = image[:, :kept, channel]
    taps = gaussian_kernel(3)
    blurred = cv2.sepFilter2D(shifted.astype(np.float64), cv2.CV_64F, taps, taps, borderType=cv2.BORDER_REFLECT)
    return to_uint8(blurred)
