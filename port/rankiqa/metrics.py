"""Agreement of scores with subjective opinions: SROCC, LCC, KROCC, RMSE and logistic fits.

`srocc` and `lcc` compute what upstream reports, with scipy. Papers usually report PLCC and RMSE after a logistic fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # imports its submodules when they are first used
from numpy.typing import ArrayLike

NAMES = {4: "VQEG, 4 parameters", 5: "Sheikh et al. 2006, 5 parameters"}
MOST_CALLS = 1000  # evaluations of the fitted function per start
LIMIT = 50.0  # bound on parameters in standard units, used where the unbounded fit does not converge
# Grid of starts: number of places, widths in interquartile ranges, number of curves kept
PLACES, WIDTHS, KEPT = 13, (0.03, 0.1, 0.3, 1.0, 3.0), 6
ROUNDING = np.finfo(np.float64).eps ** 0.75  # scipy's limit for nearly constant values, relative to their mean
FLAT = 1e-12  # a curve that rises by no more than this, in standard units, is constant up to rounding


def srocc(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation, -1..1. Tied values share their mean rank.

    Args:
        a: (n,) values.
        b: (n,) values.

    Raises:
        ValueError: For different lengths, fewer than 2 values, values that are not finite, or a constant sequence.
    """
    return _statistic(scipy.stats.spearmanr, a, b)


def lcc(a: ArrayLike, b: ArrayLike) -> float:
    """Return Pearson's linear correlation (PLCC), -1..1, without a logistic fit, as upstream reports it.

    Args:
        a: (n,) values.
        b: (n,) values.

    Raises:
        ValueError: As for `srocc`; also for values that differ only by rounding.
    """
    # scipy only warns about these. Turning its warning into an error would change the filters of all threads.
    with np.errstate(all="ignore"):
        constant = [np.linalg.norm(values - values.mean()) < ROUNDING * abs(values.mean()) for values in _pair(a, b)]
    if any(constant):
        raise ValueError(
            "expected different values, got a sequence whose values differ by rounding only: no LCC is defined"
        )
    return _statistic(scipy.stats.pearsonr, a, b)


def krocc(a: ArrayLike, b: ArrayLike) -> float:
    """Return Kendall's rank correlation tau-b, -1..1, which corrects for ties.

    Args:
        a: (n,) values.
        b: (n,) values.

    Raises:
        ValueError: As for `srocc`.
    """
    return _statistic(scipy.stats.kendalltau, a, b)


def rmse(a: ArrayLike, b: ArrayLike) -> float:
    """Return the root mean squared difference, in the unit of the values.

    Args:
        a: (n,) values.
        b: (n,) values.

    Raises:
        ValueError: For different lengths, empty sequences, or values that are not finite.
    """
    a, b = _same_length(a, b, 1)
    return float(np.sqrt(np.mean((a - b) ** 2)))


@dataclass(frozen=True)
class LogisticFit:
    """A logistic function that maps scores to opinions. Call it with scores (n,) to get predicted opinions (n,).

    The 4-parameter function (VQEG) is monotonic: (b1 - b2) / (1 + exp(-(s - b3) / |b4|)) + b2. The 5-parameter function
    (Sheikh, Sabir and Bovik 2006) need not be: b1 (1/2 - 1 / (1 + exp(b2 (s - b3)))) + b4 s + b5.

    Attributes:
        parameters: b1, b2, .. in the units of scores and opinions.
        plcc: Pearson's correlation of the predicted opinions with the opinions.
        rmse: Root mean squared error of the predicted opinions, in the unit of the opinions.
    """

    parameters: tuple[float, ...]
    plcc: float
    rmse: float

    @property
    def name(self) -> str:
        """The name of the logistic function."""
        return NAMES[len(self.parameters)]

    def __call__(self, scores: ArrayLike) -> np.ndarray:
        return _FUNCTIONS[len(self.parameters)](np.asarray(scores, np.float64), *self.parameters)


def fit_logistic(
    scores: ArrayLike, labels: ArrayLike, parameters: int = 4, start: LogisticFit | None = None
) -> LogisticFit:
    """Fit a logistic function from scores to opinions by least squares and return the best fit of several starts.

    Args:
        scores: (n,), with n >= `parameters` + 1.
        labels: (n,) opinions.
        parameters: 4 (VQEG) or 5 (Sheikh et al.).
        start: A fit of nearly the same data. It is then the only start, which is faster; meant for resamples.

    Raises:
        ValueError: As for `srocc`; also for too few values, another number of parameters, values that are too small or
            too large, or data that only constant curves fit.
    """
    if parameters not in _FUNCTIONS:
        raise ValueError(f"parameters: expected 4 (VQEG) or 5 (Sheikh), got {parameters!r}")
    scores, labels = _pair(scores, labels)
    if len(scores) <= parameters:
        raise ValueError(f"expected more than {parameters} values for {parameters} parameters, got {len(scores)}")
    # The fit uses standard units, so the same starts suit scores and opinions of any scale
    with np.errstate(all="ignore"):
        units = scores.mean(), scores.std(), labels.mean(), labels.std()
        x, y = (scores - units[0]) / units[1], (labels - units[2]) / units[3]
        limits = np.square(units)
    if not (np.isfinite([*x, *y, *limits]).all() and limits[1] > 0 < limits[3]):  # squares overflow float64
        raise ValueError("expected values of a size that can be fitted, 1e-150 to 1e150, got others")
    if start is not None and len(start.parameters) == parameters:
        starts = [_to_standard[parameters](start.parameters, *units)]
    else:
        starts = _starts(x, y, parameters)
    fits = [_fitted(_FUNCTIONS[parameters], x, y, first) for first in starts]
    if not any(fits):  # the optimum is at infinity, for example for points on a line, so the parameters get bounds
        fits = [_fitted(_FUNCTIONS[parameters], x, y, first, LIMIT) for first in starts]
    # The starts are candidates too: a start may fit well although the optimiser does not converge from it
    candidates = [fit for fit in (*fits, *starts) if fit and np.ptp(_FUNCTIONS[parameters](x, *fit)) > FLAT]
    if not candidates:  # every curve is constant, for example for a resample that repeats three images
        raise ValueError("expected values that a logistic function fits, got values that only a constant curve fits")
    best = min(candidates, key=lambda fit: float(np.sum((_FUNCTIONS[parameters](x, *fit) - y) ** 2)))
    values = _from_standard[parameters](best, *units)
    predicted = _FUNCTIONS[parameters](scores, *values)
    return LogisticFit(values, lcc(predicted, labels), rmse(predicted, labels))


def _vqeg(s: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp overflows where the curve is nearly a step
        return (b1 - b2) * scipy.special.expit((s - b3) / max(abs(b4), np.finfo(float).tiny)) + b2


def _sheikh(s: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float) -> np.ndarray:
    return b1 * (scipy.special.expit(b2 * (s - b3)) - 0.5) + b4 * s + b5  # 1/2 - 1 / (1 + e^u) = expit(u) - 1/2


_FUNCTIONS: dict[int, Callable[..., np.ndarray]] = {4: _vqeg, 5: _sheikh}


def _starts(x: np.ndarray, y: np.ndarray, parameters: int) -> list[tuple[float, ...]]:
    """Return initial parameters in standard units: steep and flat curves at three places, with the correlation's sign.

    The best curves of the grid (`_projected`) are among them.
    """
    sign = 1.0 if np.dot(x, y) >= 0 else -1.0
    places, widths = np.quantile(x, (0.25, 0.5, 0.75)), (0.2, 0.6, 2.0)
    low, high = y.min(), y.max()
    if parameters == 4:
        ends = (high, low) if sign > 0 else (low, high)
        starts = [(*ends, place, width) for place in places for width in widths]
        projected = [(b1 + b0, b0, place, width) for (b0, b1), place, width in _projected(x, y, linear=False)]
        return [*starts, (3 * sign, -3 * sign, 0.0, 3.0), *projected]  # the second item is nearly a straight line
    slope = float(np.dot(x, y) / np.dot(x, x))
    starts = [(sign * (high - low), 1 / width, place, 0.0, 0.0) for place in places for width in widths]
    # The 4-parameter function is a special case of the 5-parameter one, which is never worse with the former's fits as
    # starts
    monotonic = [(b1 - b2, 1 / max(abs(b4), 1e-6), b3, 0.0, (b1 + b2) / 2) for b1, b2, b3, b4 in _monotonic_fits(x, y)]
    projected = [
        (b1, 1 / width, place, b2, b0 + b1 / 2) for (b0, b1, b2), place, width in _projected(x, y, linear=True)
    ]
    return [*starts, (0.1, 1.0, 0.0, slope, 0.0), *monotonic, *projected]


def _projected(x: np.ndarray, y: np.ndarray, *, linear: bool) -> list[tuple[np.ndarray, float, float]]:
    """Return the best curves b0 + b1 expit((x - place) / width) (+ b2 x) of a grid, each as (b, place, width).

    For a given place and width, b is a linear least-squares fit. The grid follows the quantiles, because outliers
    stretch the standard units and curves may lie at the edge of the scores.
    """
    places = np.unique(np.quantile(x, np.linspace(0.02, 0.98, PLACES)))
    spread = np.quantile(x, 0.75) - np.quantile(x, 0.25) or 1.0
    places = np.concatenate([places, [x.min() - 1, x.max() + 1]])  # here the scores cover only one end of the curve
    best = []
    for place in places:
        curves = []
        for width in spread * np.array(WIDTHS):
            terms = [np.ones_like(x), scipy.special.expit((x - place) / width), *([x] if linear else [])]
            matrix = np.stack(terms, axis=1)
            b = np.linalg.lstsq(matrix, y, rcond=None)[0]
            curves.append((float(np.sum((matrix @ b - y) ** 2)), b, float(place), float(width)))
        best.append(min(curves, key=lambda curve: curve[0]))  # one per place, since several would converge to one fit
    return [curve[1:] for curve in sorted(best, key=lambda curve: curve[0])[:KEPT]]


def _monotonic_fits(x: np.ndarray, y: np.ndarray) -> list[tuple[float, ...]]:
    return [fit for fit in (_fitted(_vqeg, x, y, first) for first in _starts(x, y, 4)) if fit]


def _fitted(
    function, x: np.ndarray, y: np.ndarray, first: tuple[float, ...], limit: float | None = None
) -> tuple[float, ...] | None:
    """Return curve_fit's parameters, within -limit..limit if given, or None if it finds no finite ones."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", scipy.optimize.OptimizeWarning)  # it concerns the covariance, which is unused
        try:
            if limit is None:
                fitted = scipy.optimize.curve_fit(function, x, y, first, maxfev=MOST_CALLS)[0]
            else:
                inside = np.clip(first, -0.9 * limit, 0.9 * limit)
                fitted = scipy.optimize.curve_fit(function, x, y, inside, bounds=(-limit, limit))[0]
        except (RuntimeError, ValueError):
            return None
    predicted = function(x, *fitted)
    usable = np.isfinite(fitted).all() and np.isfinite(predicted).all()
    return tuple(float(value) for value in fitted) if usable else None


def _vqeg_from(b, x0, dx, y0, dy):
    return b[0] * dy + y0, b[1] * dy + y0, b[2] * dx + x0, abs(b[3]) * dx


def _vqeg_to(b, x0, dx, y0, dy):
    return (b[0] - y0) / dy, (b[1] - y0) / dy, (b[2] - x0) / dx, b[3] / dx


def _sheikh_from(b, x0, dx, y0, dy):
    slope = b[3] * dy / dx
    return b[0] * dy, b[1] / dx, b[2] * dx + x0, slope, b[4] * dy + y0 - slope * x0


def _sheikh_to(b, x0, dx, y0, dy):
    return b[0] / dy, b[1] * dx, (b[2] - x0) / dx, b[3] * dx / dy, (b[4] + b[3] * x0 - y0) / dy


# Conversions between standard units (mean 0, deviation 1) and the units of scores and opinions
_from_standard = {4: _vqeg_from, 5: _sheikh_from}
_to_standard = {4: _vqeg_to, 5: _sheikh_to}


def _statistic(correlation: Callable[..., Any], a: ArrayLike, b: ArrayLike) -> float:
    with np.errstate(all="ignore"):
        value = float(correlation(*_pair(a, b)).statistic)
    if not np.isfinite(value):
        raise ValueError("expected values that can be correlated, got values whose squares are not finite")
    return value


def _same_length(a: ArrayLike, b: ArrayLike, least: int) -> tuple[np.ndarray, np.ndarray]:
    pair = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape or len(pair[0]) < least:
        raise ValueError(
            f"expected two sequences of equal length, {least} or more, got shapes {pair[0].shape}, {pair[1].shape}"
        )
    for name, values in zip("ab", pair, strict=True):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite values, got nan or inf")
    return pair


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pair = _same_length(a, b, 2)
    for name, values in zip("ab", pair, strict=True):
        if (values == values[0]).all():
            raise ValueError(f"{name}: expected different values, got {values[0]} only: no correlation is defined")
    return pair
