"""Kinds of options that several commands share."""

from __future__ import annotations

import argparse
import math
from typing import Callable


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """An argparse type: a whole number in least..most; another text is a usage error that says so."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            limits = f"{least} or more" if math.isinf(most) else f"{least}..{most}"
            raise argparse.ArgumentTypeError(f"expected a whole number, {limits}, got {text!r}")
        return value

    return parse


SEED = whole(0, 2**32 - 1)
