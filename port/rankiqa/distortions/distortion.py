"""A distortion: a row of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ORIGINS = {
    "upstream": "upstream's code makes it",
    "listed": "in upstream's lists, though its code never makes it",
    "ours": "a type of TID2013 that upstream leaves out; the parameters are our choice",
    "wild": "what cameras, phones and the web do to pictures; the parameters are our choice",
}


@dataclass(frozen=True)
class Distortion:
    """A type of distortion and its levels.

    Attributes:
        name: The name of its folder in a ranked set, as upstream writes it.
        title: A description in words.
        parameter: The meaning of the numbers in `levels`.
        levels: The parameter of each level, mildest first.
        apply: (image, one of levels, rng) -> image; both uint8 (H, W, 3) RGB.
        number: The number of the type in TID2013, or None.
        suffix: The suffix of its files in a ranked set.
        origin: A key of ORIGINS.
        encode: (image, one of levels, rng) -> the bytes of a .jpg or .jp2 file that decodes to the result of `apply`;
            None for types stored as .bmp.
        source: A description of the type in the literature, if upstream does not have it.
    """

    name: str
    title: str
    parameter: str
    levels: tuple[float, ...]
    apply: Callable[[np.ndarray, float, object], np.ndarray]
    number: int | None = None
    suffix: str = ".bmp"
    origin: str = "upstream"
    encode: Callable[[np.ndarray, float, object], bytes] | None = None
    source: str = ""
