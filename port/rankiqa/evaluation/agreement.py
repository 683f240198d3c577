"""How well scores agree with opinions, as one row of numbers, with intervals from resampling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rankiqa.metrics import LogisticFit, fit_logistic, krocc, lcc, srocc

CORRELATIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"srocc": srocc, "lcc": lcc, "krocc": krocc}
AFTER_FIT = ("plcc_logistic", "rmse")
MEASURES = (*CORRELATIONS, *AFTER_FIT)


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        resamples: How many; 0: no intervals.
        seed: Of numpy's RandomState.
        confidence: Of the interval, its percentiles taken from both ends.
    """

    resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 0:
            raise ValueError(f"bootstrap: expected 0 resamples or more, got {self.resamples}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence: expected a share above 0 and below 1, got {self.confidence:g}")


@dataclass(frozen=True)
class Agreement:
    """The measures of a set of images: each a number, or None where it is not defined, as a remark then says.

    Attributes:
        n: Images.
        values: {measure: value} for MEASURES.
        fit: The logistic function that plcc_logistic and rmse are taken after.
        remarks: Why a measure is None.
    """

    n: int
    values: dict[str, float | None]
    fit: LogisticFit | None
    remarks: tuple[str, ...] = ()

    def json(self) -> dict:
        """{"n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse"} and, if there are any, "remarks"."""
        return {"n": self.n, **self.values, **({"remarks": list(self.remarks)} if self.remarks else {})}


def measure(scores: np.ndarray, labels: np.ndarray, parameters: int = 4, start: LogisticFit | None = None) -> Agreement:
    """All measures of scores (n,) against opinions (n,). `parameters`, `start`: of the fit, see `fit_logistic`.

    A measure that is not defined for these values (too few, all equal) is None.
    """
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    remarks = []
    for name, correlation in CORRELATIONS.items():
        try:
            values[name] = correlation(scores, labels)
        except ValueError as error:
            remarks.append(f"scores (a) against opinions (b): {error}")
    if len(remarks) == len(CORRELATIONS):
        return Agreement(len(scores), values, None, tuple(remarks[:1]))
    fit = None
    try:
        fit = fit_logistic(scores, labels, parameters, start)
        values.update(plcc_logistic=fit.plcc, rmse=fit.rmse)
    except ValueError as error:
        remarks.append(f"logistic fit: {error}")
    return Agreement(len(scores), values, fit, tuple(remarks))


def intervals(
    scores: np.ndarray,
    labels: np.ndarray,
    references: Sequence[str],
    bootstrap: Bootstrap,
    fit: LogisticFit | None = None,
) -> dict[str, list[float]]:
    """{measure: [low, high]} by the percentile bootstrap.

    Whole references are drawn where every image's is known and there are several, since images of one reference are
    not independent; else images. Resamples for which a measure is not defined are left out.

    Args:
        scores: (n,).
        labels: The opinions, (n,).
        references: Of each image, "" where it is not known.
        bootstrap: How many resamples, seed and confidence.
        fit: Of all the images: a resample's fit begins there. None: plcc_logistic and rmse get no interval.
    """
    drawn: dict[str, list[float]] = {name: [] for name in MEASURES}
    for index in resamples(references, bootstrap):
        for name, value in _measures(scores[index], labels[index], fit).items():
            drawn[name].append(value)
    return {name: percentiles(values, bootstrap.confidence) for name, values in drawn.items() if len(values) > 1}


def _measures(scores: np.ndarray, labels: np.ndarray, fit: LogisticFit | None) -> dict[str, float]:
    """The measures that are defined."""
    if np.ptp(scores) == 0 or np.ptp(labels) == 0:
        return {}
    values = {}
    for name, correlation in CORRELATIONS.items():
        with contextlib.suppress(ValueError):  # LCC, of values that differ by rounding only
            values[name] = correlation(scores, labels)
    if fit is not None and len(scores) > len(fit.parameters):
        with contextlib.suppress(ValueError):  # no curve fits this resample
            again = fit_logistic(scores, labels, len(fit.parameters), fit)
            values |= {"plcc_logistic": again.plcc, "rmse": again.rmse}
    return values


def resampling_unit(references: Sequence[str]) -> str:
    """What a resample draws: "reference" or "image"."""
    return "reference" if all(references) and len(set(references)) > 1 else "image"


def resamples(references: Sequence[str], bootstrap: Bootstrap):
    """Each resample's images, int (m,), as places in the list."""
    random = np.random.RandomState(bootstrap.seed)
    n = len(references)
    if resampling_unit(references) == "image":
        for _ in range(bootstrap.resamples):
            yield random.randint(n, size=n)
        return
    groups: dict[str, list[int]] = {}
    for place, reference in enumerate(references):
        groups.setdefault(reference, []).append(place)
    members = [np.array(group) for group in groups.values()]
    for _ in range(bootstrap.resamples):
        yield np.concatenate([members[i] for i in random.randint(len(members), size=len(members))])


def percentiles(values: Sequence[float], confidence: float) -> list[float]:
    """[low, high]: the middle `confidence` of the values."""
    tail = 50 * (1 - confidence)
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]
