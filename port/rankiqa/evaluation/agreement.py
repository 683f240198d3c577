"""Measures of the agreement between scores and opinions, with intervals from resampling."""

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
    """The settings of the bootstrap intervals.

    Attributes:
        resamples: The number of resamples; 0: no intervals.
        seed: The seed of numpy's RandomState.
        confidence: The confidence level of an interval; equal shares are cut off at both ends.

    Raises:
        ValueError: resamples is negative, or confidence is not between 0 and 1.
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
    """The measures of a set of images. A measure that is undefined is None, and a remark says why.

    Attributes:
        n: The number of images.
        values: {measure: value} for MEASURES.
        fit: The logistic function that is applied before plcc_logistic and rmse are computed.
        remarks: The reasons why measures are None.
    """

    n: int
    values: dict[str, float | None]
    fit: LogisticFit | None
    remarks: tuple[str, ...] = ()

    def json(self) -> dict:
        """Return {"n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse"} and, if there are any, "remarks"."""
        return {"n": self.n, **self.values, **({"remarks": list(self.remarks)} if self.remarks else {})}


def measure(scores: np.ndarray, labels: np.ndarray, parameters: int = 4, start: LogisticFit | None = None) -> Agreement:
    """Compute all measures of scores against opinions.

    Args:
        scores: (n,).
        labels: The opinions, (n,).
        parameters: The number of parameters of the logistic function, see `fit_logistic`.
        start: The function from which the fit starts, see `fit_logistic`.

    Returns:
        The measures. A measure that is undefined for these values (too few, all equal) is None.
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
    """Compute intervals by the percentile bootstrap.

    A resample draws whole references if every image's reference is known and there are several, since images of one
    reference are not independent; otherwise it draws images. Resamples for which a measure is undefined are left out.

    Args:
        scores: (n,).
        labels: The opinions, (n,).
        references: The reference of each image, "" if it is unknown.
        bootstrap: Number of resamples, seed and confidence.
        fit: The fit to all images, from which the fit of a resample starts. None: no intervals for plcc_logistic and
            rmse.

    Returns:
        {measure: [low, high]}.
    """
    samples: dict[str, list[float]] = {name: [] for name in MEASURES}
    for index in resamples(references, bootstrap):
        for name, value in _measures(scores[index], labels[index], fit).items():
            samples[name].append(value)
    return {name: percentiles(values, bootstrap.confidence) for name, values in samples.items() if len(values) > 1}


def _measures(scores: np.ndarray, labels: np.ndarray, fit: LogisticFit | None) -> dict[str, float]:
    """Return the measures that are defined."""
    if np.ptp(scores) == 0 or np.ptp(labels) == 0:
        return {}
    values = {}
    for name, correlation in CORRELATIONS.items():
        with contextlib.suppress(ValueError):  # LCC of values that differ only by rounding
            values[name] = correlation(scores, labels)
    if fit is not None and len(scores) > len(fit.parameters):
        with contextlib.suppress(ValueError):  # no curve fits this resample
            refit = fit_logistic(scores, labels, len(fit.parameters), fit)
            values |= {"plcc_logistic": refit.plcc, "rmse": refit.rmse}
    return values


def resampling_unit(references: Sequence[str]) -> str:
    """Return the unit that a resample draws: "reference" or "image"."""
    return "reference" if all(references) and len(set(references)) > 1 else "image"


def resamples(references: Sequence[str], bootstrap: Bootstrap):
    """Yield the images of each resample as indices into the list, int (m,)."""
    random = np.random.RandomState(bootstrap.seed)
    n = len(references)
    if resampling_unit(references) == "image":
        for _ in range(bootstrap.resamples):
            yield random.randint(n, size=n)
        return
    groups: dict[str, list[int]] = {}
    for index, reference in enumerate(references):
        groups.setdefault(reference, []).append(index)
    members = [np.array(group) for group in groups.values()]
    for _ in range(bootstrap.resamples):
        yield np.concatenate([members[i] for i in random.randint(len(members), size=len(members))])


def percentiles(values: Sequence[float], confidence: float) -> list[float]:
    """Return [low, high], the limits of the middle `confidence` of the values."""
    tail = 50 * (1 - confidence)
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]
