"""Random whole numbers from a RandomState or a Generator."""

from __future__ import annotations


def randint_inclusive(rng, low: int, high: int) -> int:
    """Draw a whole number in low..high (inclusive) from one uniform number, as MATLAB's randi."""
    return low + min(int(rng.uniform() * (high - low + 1)), high - low)
