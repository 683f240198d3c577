"""The distance between two trainings, by iteration."""

import numpy as np


def first_above(errors):
    """Find the iterations at which the errors first exceed each power of ten.

    Args:
        errors: {iteration: error}.

    Returns:
        {power of ten: the first iteration at which the error was above it}, from 1e-9 up.
    """
    first = {}
    for n in sorted(errors):
        if errors[n] > 0:
            for power in range(-9, 1 + min(1, int(np.floor(np.log10(errors[n]))))):
                first.setdefault(power, n)
    return first


def in_words(errors):
    """Return first_above as text, such as "1e-8 at 3, 1e-7 at 120"; "equal" if all errors are 0."""
    if not any(errors.values()):
        return "equal"
    return ", ".join(f"1e{power} at {n}" for power, n in sorted(first_above(errors).items())) or "below 1e-9"
