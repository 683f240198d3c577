"""How MATLAB turns doubles into uint8."""

from __future__ import annotations

import numpy as np


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Doubles to uint8 as MATLAB's uint8(): halves round away from zero, and what is outside 0..255 saturates."""
    # MATLAB: halves go away from zero; numpy.rint would send 0.5 to 0 and 2.5 to 2. Below zero everything saturates.
    clipped = np.clip(values, 0, 255)
    clipped += 0.5
    return clipped.astype(np.uint8)
