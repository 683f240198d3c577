"""What a distortion is: one row of a data set's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

ORIGINS = {
    "upstream": "upstream's code makes it",
    "listed": "in upstream's lists, though its code never makes it",
    "ours": "a type of TID2013 that upstream leaves out; the parameters are our choice",
}


@dataclass(frozen=True)
class Distortion:
    """One row of the table: what is applied, and the parameter of each level, mildest first.

    name: upstream's folder. parameter: what the numbers in `levels` are. apply: (image, one of levels, rng) -> image,
    uint8 (H, W, 3) RGB both. number: TID2013's, or None. suffix: of the file that upstream writes. origin: one of
    ORIGINS. encode: (image, one of levels, rng) -> the bytes of the .jpg or .jp2 file that decodes to what `apply`
    returns; None for types that are stored as .bmp.
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
