"""Measures over random splits by reference image; the paper averages over ten splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankiqa.evaluation.agreement import MEASURES, measure

TRAIN_SHARE = 0.8  # share of the references: 19 of TID2013's 24 and 23 of LIVE's 29, as in upstream's generators


def over_splits(
    scores: np.ndarray, labels: np.ndarray, references: Sequence[str], count: int, seed: int, parameters: int = 4
) -> dict:
    """Compute mean, standard deviation and median of the measures over the test sides of random splits.

    Split k permutes the sorted references with RandomState(seed + k). The first 80% would be for training, the others
    are evaluated. All splits use the scores of one network, whose training images do not change from split to split.

    Args:
        scores: (n,).
        labels: The opinions, (n,).
        references: The reference of each image; if all are unknown (""), splits are by image.
        count: The number of splits.
        seed: The seed of the first split.
        parameters: The number of parameters of the logistic function.

    Returns:
        {"count", "by", "seed", "train_share", "test_images": [..], MEASURE: {"mean", "std", "median", "values"}}. std
        is the population's (divided by `count`). A split for which a measure is undefined has the value None.

    Raises:
        ValueError: Only some references are known, or there are fewer than 2.
    """
    by_reference = any(references)
    if by_reference and not all(references):
        known = sum(map(bool, references))
        raise ValueError(f"splits: expected every image's reference, got those of {known} of {len(references)} images")
    groups = np.array(references if by_reference else [str(i) for i in range(len(references))])
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"splits: expected images of at least 2 references, got {len(names)}")
    train = min(len(names) - 1, max(1, int(len(names) * TRAIN_SHARE)))
    rows, sizes = [], []
    for k in range(count):
        chosen = np.random.RandomState((seed + k) % 2**32).permutation(len(names))[train:]
        side = np.isin(groups, names[chosen])
        rows.append(measure(scores[side], labels[side], parameters).values)
        sizes.append(int(side.sum()))
    result = {
        "count": count,
        "by": "reference" if by_reference else "image",
        "seed": seed,
        "train_share": TRAIN_SHARE,
        "test_images": sizes,
    }
    return result | {name: _summary([row[name] for row in rows]) for name in MEASURES}


def _summary(values: list[float | None]) -> dict:
    known = [value for value in values if value is not None]
    numbers = {"mean": np.mean, "std": np.std, "median": np.median}
    return {name: float(function(known)) if known else None for name, function in numbers.items()} | {"values": values}
