"""Random whole numbers that RandomState and Generator both draw."""

from __future__ import annotations


def randint_inclusive(rng, low: int, high: int) -> int:
    """A whole number in low..high, both included, from one uniform draw, as MATLAB's randi."""
    return low + min(int(rng.uniform() * (high - low + 1)), high - low)
