"""Distortions of images: the tables of LIVE and TID2013 as the original makes them, and WILD.

Images are uint8 (H, W, 3), RGB, 0..255. Level 1 is the mildest. The function of a distortion takes (image, parameter,
rng) and returns a new image. The parameter is one of the levels of its row, and rng is a numpy RandomState or
Generator; the type of rng is `object` if nothing is random. tables.py explains how to add a distortion.
"""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.distortion import ORIGINS, Distortion
from rankiqa.distortions.tables import DATASETS, LIVE, TID2013, WILD

__all__ = ["DATASETS", "LIVE", "ORIGINS", "TID2013", "WILD", "Distortion", "distort", "find"]


def find(name: str, level: int, dataset: str | None = None) -> tuple[Distortion, float]:
    """Look up a distortion and the parameter of a level.

    Args:
        name: The name of the distortion in its table.
        level: The level; 1 is the mildest.
        dataset: A key of DATASETS; None: the first table that contains the name.

    Returns:
        The row of the table, and the parameter of the level.

    Raises:
        ValueError: An unknown data set or name, or a level that the distortion lacks.
    """
    if dataset is not None and dataset not in DATASETS:
        raise ValueError(f"distort: expected a data set of {', '.join(DATASETS)}, got {dataset!r}")
    tables = list(DATASETS.values()) if dataset is None else [DATASETS[dataset]]
    rows = [table[name] for table in tables if name in table]
    if not rows:
        known = dict.fromkeys(known for table in tables for known in table)
        raise ValueError(f"distort: expected a distortion of {', '.join(known)}, got {name!r}")
    row = rows[0]
    if isinstance(level, bool) or level not in range(1, len(row.levels) + 1):
        raise ValueError(f"distort: {name} has levels 1 to {len(row.levels)}, got {level!r}")
    return row, row.levels[int(level) - 1]


def distort(image: np.ndarray, name: str, level: int, rng, dataset: str | None = None) -> np.ndarray:
    """Distort an image. The input is not changed.

    Args:
        image: uint8 (H, W, 3), RGB, 0..255.
        name: The name of the distortion: a key of LIVE, TID2013 or WILD.
        level: 1 (mildest) to 5; to 4 for TID2013.
        rng: A numpy RandomState or Generator. Types that are not random ignore it.
        dataset: live, tid2013 or wild; None: the first of these that contains the name, so GB, GN, JPEG and JP2K are
            LIVE's.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: Another shape or dtype, an unknown name, a level that the distortion lacks, an image too small for
            its patches, or no generator although one is needed.

    Source:
        RankIQA, section 4.1, and upstream's data/data_generator and data/rank_tid2013 (MATLAB).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"distort: expected a uint8 array (H, W, 3), RGB, got {got}")
    if image.size == 0:
        raise ValueError(f"distort: expected an image with pixels, got shape {image.shape}")
    row, value = find(name, level, dataset)
    try:
        return row.apply(np.ascontiguousarray(image), value, rng)
    except AttributeError:
        if hasattr(rng, "standard_normal") and hasattr(rng, "uniform"):
            raise
        got = type(rng).__name__  # for example a seed; types that are not random accept it
        raise ValueError(f"distort: {name} needs a numpy RandomState or Generator, got {got}") from None
