"""How far two runs have come apart, and when."""

import numpy as np


def passed(errors):
    """{power of ten: the first iteration at which the error was above it}. errors: {iteration: error}."""
    found = {}
    for n in sorted(errors):
        if errors[n] > 0:
            for power in range(-9, 1 + min(1, int(np.floor(np.log10(errors[n]))))):
                found.setdefault(power, n)
    return found


def told(errors):
    """The same in words: "1e-8 at 3, 1e-7 at 120"; "equal" where nothing ever differed."""
    if not any(errors.values()):
        return "equal"
    return ", ".join(f"1e{power} at {n}" for power, n in sorted(passed(errors).items())) or "below 1e-9"
