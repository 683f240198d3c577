"""MATLAB's conversion of doubles to uint8."""

from __future__ import annotations

import numpy as np


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert doubles to uint8 as MATLAB's uint8(): halves round away from zero, values outside 0..255 saturate."""
    # numpy.rint would round 0.5 to 0 and 2.5 to 2. Negative values saturate anyway.
    clipped = np.clip(values, 0, 255)
    clipped += 0.5
    return clipped.astype(np.uint8)
