"""The distortions of the original's ranked training images: LIVE's and TID2013's tables, one function.

Images are uint8 (H, W, 3), RGB, 0..255. Level 1 is the mildest.
"""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.distortion import ORIGINS, Distortion
from rankiqa.distortions.tables import DATASETS, LIVE, TID2013

__all__ = ["DATASETS", "LIVE", "ORIGINS", "TID2013", "Distortion", "distort", "find"]


def find(name: str, level: int, dataset: str | None = None) -> tuple[Distortion, float]:
    """The table's row for a name, and its parameter at a level (1 is the mildest).

    dataset: live or tid2013; None is live for GB, GN, JPEG and JP2K, tid2013 for every other name.
    Raises ValueError for an unknown data set or name, or a level that the distortion lacks.
    """
    if dataset is None:
        table, known = (LIVE if name in LIVE else TID2013), {**LIVE, **TID2013}
    elif dataset in DATASETS:
        table = known = DATASETS[dataset]
    else:
        raise ValueError(f"distort: expected a data set of {', '.join(DATASETS)}, got {dataset!r}")
    if name not in table:
        raise ValueError(f"distort: expected a distortion of {', '.join(known)}, got {name!r}")
    row = table[name]
    if isinstance(level, bool) or level not in range(1, len(row.levels) + 1):
        raise ValueError(f"distort: {name} has levels 1 to {len(row.levels)}, got {level!r}")
    return row, row.levels[int(level) - 1]


def distort(image: np.ndarray, name: str, level: int, rng, dataset: str | None = None) -> np.ndarray:
    """Distort one image: uint8 (H, W, 3) RGB 0..255 in, the same shape and type out; the input is left as it was.

    name: a key of LIVE or TID2013. level: 1 (mildest) to 5 (LIVE) or 4 (TID2013). rng: numpy RandomState or Generator.
    dataset: live or tid2013; None is live for GB, GN, JPEG and JP2K, tid2013 for every other name.
    Raises ValueError for another shape or type, an unknown name, a level that the distortion lacks, or a picture too
    small for its patches.
    Source: RankIQA, section 4.1, and upstream's data/data_generator and data/rank_tid2013 (MATLAB).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"distort: expected a uint8 array (H, W, 3), RGB, got {got}")
    if image.size == 0:
        raise ValueError(f"distort: expected an image with pixels, got shape {image.shape}")
    row, value = find(name, level, dataset)
    return row.apply(np.ascontiguousarray(image), value, rng)
