"""Correlation of scores with opinions: SROCC and LCC, as upstream takes them from scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def srocc(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank-order correlation of two sequences of n values; ties share their mean rank. In -1..1.

    Raises ValueError for different lengths, fewer than 2 values, values that are not finite, or a constant sequence.
    """
    return float(stats.spearmanr(*_pair(a, b))[0])


def lcc(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's linear correlation (PLCC), without a logistic fit, as upstream reports it. In -1..1.

    Raises ValueError as `srocc`.
    """
    return float(stats.pearsonr(*_pair(a, b))[0])


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pair = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape or len(pair[0]) < 2:
        raise ValueError(
            f"expected two sequences of one length, 2 or more, got shapes {pair[0].shape}, {pair[1].shape}"
        )
    for name, values in zip("ab", pair, strict=True):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite values, got nan or inf")
        if (values == values[0]).all():
            raise ValueError(f"{name}: expected different values, got {values[0]} only: no correlation is defined")
    return pair
