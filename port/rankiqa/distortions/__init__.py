"""LIVE's four distortions, as the original makes its ranked training images: one table, one function.

Images are uint8 (H, W, 3), RGB, 0..255. Level 1 is the mildest, level 5 the strongest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from rankiqa.distortions.blur import gaussian_blur
from rankiqa.distortions.compression import jpeg, jpeg2000
from rankiqa.distortions.noise import gaussian_noise


@dataclass(frozen=True)
class Distortion:
    """One row of the table: what is applied, and the parameter of each level, mildest first."""

    name: str
    title: str
    parameter: str
    levels: tuple[float, ...]
    apply: Callable[[np.ndarray, float, object], np.ndarray]


LIVE = {
    row.name: row
    for row in (
        Distortion("GB", "Gaussian blur", "kernel size h, sigma h/6", (7, 15, 39, 91, 199), gaussian_blur),
        Distortion("GN", "white noise", "log2 of the variance on [0, 1]", (-10, -7.5, -5.5, -3.5, 0), gaussian_noise),
        Distortion("JPEG", "JPEG", "quality", (43, 12, 7, 4, 0), jpeg),
        Distortion("JP2K", "JPEG 2000", "bits per pixel", (0.46, 0.16, 0.07, 0.04, 0.02), jpeg2000),
    )
}


def distort(image: np.ndarray, name: str, level: int, rng) -> np.ndarray:
    """Distort one image: uint8 (H, W, 3) RGB 0..255 in, the same shape and type out; the input is left as it was.

    name: GB, GN, JPEG or JP2K. level: 1 (mildest) to 5. rng: numpy RandomState or Generator (only GN draws from it).
    Raises ValueError for another shape or type, an unknown name, or a level that the distortion lacks.
    Source: RankIQA, section 4.1 (the LIVE set), and upstream's data/data_generator (MATLAB).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"distort: expected a uint8 array (H, W, 3), RGB, got {got}")
    if image.size == 0:
        raise ValueError(f"distort: expected an image with pixels, got shape {image.shape}")
    if name not in LIVE:
        raise ValueError(f"distort: expected a distortion of {', '.join(LIVE)}, got {name!r}")
    row = LIVE[name]
    if isinstance(level, bool) or level not in range(1, len(row.levels) + 1):
        raise ValueError(f"distort: {name} has levels 1 to {len(row.levels)}, got {level!r}")
    return row.apply(image, row.levels[int(level) - 1], rng)
