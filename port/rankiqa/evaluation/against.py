"""Compare two evaluations of the same images: the difference of each measure, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankiqa.datasets.data_set import some
from rankiqa.evaluation.agreement import MEASURES, Bootstrap, measure, percentiles, resamples, resampling_unit
from rankiqa.evaluation.evaluation import arrays
from rankiqa.evaluation.scored_images import ScoredImage


def compare(
    first: Sequence[ScoredImage],
    second: Sequence[ScoredImage],
    bootstrap: Bootstrap,
    parameters: int = 4,
    names: tuple[str, str] = ("first", "second"),
) -> dict:
    """Compute the difference of each measure, first minus second, on the same resamples of the same images.

    The signs of srocc, lcc and krocc are chosen so that each evaluation's own SROCC over all images is positive. A
    positive difference then means that the first agrees better, whatever the direction of its scores. For rmse, a
    negative difference means it.

    Args:
        first: Images with scores.
        second: The same images (path and label), in any order.
        bootstrap: Number of resamples, seed and confidence.
        parameters: The number of parameters of the logistic function.
        names: The names of both evaluations in messages.

    Returns:
        {"n", "by", "resamples", "confidence", MEASURE: {"first", "second", "difference", "interval",
        "interval_excludes_0"}}; None for an undefined measure and for a difference from it.

    Raises:
        ValueError: The images are not the same (the message names some), or measures are undefined.
    """
    pairs = _paired(first, second, names)
    labels = arrays(pairs[0])[1]
    scores = []
    for images, name in zip(pairs, names, strict=True):
        values = arrays(images)[0]
        whole = measure(values, labels, parameters)
        if whole.fit is None:
            raise ValueError(f"{name}: {'; '.join(whole.remarks)}")
        scores.append((values, whole, 1.0 if (whole.values["srocc"] or 0.0) >= 0 else -1.0))
    references = [image.reference for image in pairs[0]]
    samples: dict[str, list[float]] = {name: [] for name in MEASURES}
    for index in resamples(references, bootstrap):
        rows = [
            _signed(measure(values[index], labels[index], parameters, whole.fit).values, sign)
            for values, whole, sign in scores
        ]
        for name in MEASURES:
            if rows[0][name] is not None and rows[1][name] is not None:
                samples[name].append(rows[0][name] - rows[1][name])
    result: dict = {
        "n": len(labels),
        "by": resampling_unit(references),
        "resamples": bootstrap.resamples,
        "confidence": bootstrap.confidence,
    }
    unresampled = [_signed(whole.values, sign) for _, whole, sign in scores]
    for name in MEASURES:
        left, right = unresampled[0][name], unresampled[1][name]
        interval = percentiles(samples[name], bootstrap.confidence) if len(samples[name]) > 1 else None
        result[name] = {
            "first": left,
            "second": right,
            "difference": None if left is None or right is None else left - right,
            "interval": interval,
            "interval_excludes_0": None if interval is None else not interval[0] <= 0 <= interval[1],
        }
    return result


def _signed(values: dict[str, float | None], sign: float) -> dict:
    """Return the values with `sign` applied to srocc, lcc and krocc."""
    signed = {name: sign for name in ("srocc", "lcc", "krocc")}
    return {name: None if value is None else value * signed.get(name, 1.0) for name, value in values.items()}


def _paired(
    first: Sequence[ScoredImage], second: Sequence[ScoredImage], names: tuple[str, str]
) -> tuple[list[ScoredImage], list[ScoredImage]]:
    """Return both in the order of the first.

    Raise ValueError unless paths and labels match and each image has a score.
    """
    tables = []
    for images, name in ((first, names[0]), (second, names[1])):
        table = {image.path: image for image in images}
        if len(table) < len(images):
            paths = [image.path for image in images]
            raise ValueError(
                f"{name}: expected each image once, got {some(sorted({p for p in paths if paths.count(p) > 1}))}"
            )
        without = [image.path for image in images if image.score is None]
        if without:
            raise ValueError(f"{name}: expected a score for each image, got none for {some(without)}")
        tables.append(table)
    only = [[path for path in tables[i] if path not in tables[1 - i]] for i in range(2)]
    if any(only):
        parts = [f"only in {names[i]}: {some(only[i])}" for i in range(2) if only[i]]
        raise ValueError(f"expected the same images, got {'; '.join(parts)}")
    other = [p for p in tables[0] if not np.isclose(tables[0][p].label, tables[1][p].label, rtol=1e-6, atol=1e-9)]
    if other:
        raise ValueError(f"expected the same opinions of {names[0]} and {names[1]}, got others for {some(other)}")
    return list(tables[0].values()), [tables[1][path] for path in tables[0]]
