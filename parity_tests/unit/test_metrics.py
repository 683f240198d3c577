"""SROCC, LCC, KROCC, RMSE and the logistic fits against their definitions."""

import contextlib
import inspect
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import optimize, stats

from rankiqa import fit_logistic, krocc, lcc, rmse, srocc
from rankiqa.evaluation.agreement import Bootstrap, intervals, measure


def ranks(values):
    return np.array([np.mean([sum(values < v) + 1, sum(values <= v)]) for v in values])


def test_against_the_definitions():
    rng = np.random.RandomState(0)
    a, b = rng.randint(0, 6, 40).astype(float), rng.randint(0, 6, 40).astype(float)  # ties
    assert lcc(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    assert srocc(a, b) == pytest.approx(np.corrcoef(ranks(a), ranks(b))[0, 1], abs=1e-12)
    twice = [np.argsort(np.argsort(x)) for x in (a, b)]  # the mistake of ranking without ties
    assert abs(srocc(a, b) - np.corrcoef(*twice)[0, 1]) > 1e-3


def test_only_the_order_matters_to_srocc():
    a = np.array([3.0, 1, 2, 5, 4])
    assert srocc(a, np.exp(a)) == pytest.approx(1, abs=1e-12)
    assert srocc(a, -(a**3)) == pytest.approx(-1, abs=1e-12)
    assert lcc(a, np.exp(a)) < 0.9
    assert isinstance(lcc(a.tolist(), a.tolist()), float)


@pytest.mark.parametrize("metric", [srocc, lcc, krocc])
@pytest.mark.parametrize(
    "a, b, message",
    [
        ([1, 2, 3], [1, 2], "equal length"),
        ([1], [2], "2 or more"),
        ([], [], "2 or more"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], "sequences"),
        ([1, np.nan, 3], [1, 2, 3], "a: expected finite"),
        ([1, 2, 3], [1, np.inf, 3], "b: expected finite"),
        ([1, 2, 3], [5, 5, 5], "b: expected different values, got 5.0"),
    ],
)
def test_refuses(metric, a, b, message):
    with pytest.raises(ValueError, match=message):
        metric(a, b)


def pairs(a, b):
    """Compute Kendall's tau-b from its definition."""
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i in range(len(a)) for j in range(i)]
    both = sum(x * y for x, y in signs)
    return both / np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))


@pytest.mark.filterwarnings("error")
def test_rounding_is_seen_in_every_thread(monkeypatch):
    """It was a warning made an error, which another thread's call takes back."""
    nearly, labels = 1e8 + np.array([0, 1, 0, 2, 1, 3]) * 2.0**-26, np.array([1.0, 2, 3, 4, 5, 6])
    inside, pearsonr = threading.Barrier(2), stats.pearsonr

    def second_later(*pair):
        with contextlib.suppress(threading.BrokenBarrierError):
            time.sleep(0.3 * inside.wait(10))  # 0 for one of two, which leaves while the other is inside
        return pearsonr(*pair)

    def refused(_):
        with contextlib.suppress(ValueError):
            lcc(nearly, labels)
            return False
        return True

    monkeypatch.setattr(stats, "pearsonr", second_later)
    with warnings.catch_warnings(), ThreadPoolExecutor(2) as threads:
        warnings.simplefilter("ignore")
        assert all(threads.map(refused, range(2)))


def test_values_that_differ_by_rounding_only():
    """Such values have an order but no meaningful LCC; the other measures are still computed, with resamples, too."""
    nearly, labels = 1e8 + np.array([0, 1, 0, 2, 1, 3]) * 2.0**-26, np.array([1.0, 2, 3, 4, 5, 6])
    assert len(set(nearly)) == 4
    for pair in ((nearly, labels), (labels, nearly)):
        assert srocc(*pair) == pytest.approx(srocc([0, 1, 0, 2, 1, 3], labels))
        with pytest.raises(ValueError, match="differ by rounding only"):
            lcc(*pair)
    measured = measure(nearly, labels)
    assert measured.values["lcc"] is None and "rounding only" in measured.remarks[0]
    assert measured.values["srocc"] == srocc(nearly, labels) and measured.values["krocc"] == krocc(nearly, labels)
    drawn = intervals(nearly, labels, [""] * 6, Bootstrap(50))
    assert "lcc" not in drawn and len(drawn["srocc"]) == 2


def test_krocc_and_rmse_against_the_definitions():
    rng = np.random.RandomState(1)
    a, b = rng.randint(0, 6, 30).astype(float), rng.randint(0, 6, 30).astype(float)
    assert krocc(a, b) == pytest.approx(pairs(a, b), abs=1e-12)
    assert krocc(a, np.exp(a)) == pytest.approx(1, abs=1e-12)
    assert rmse([1, 2, 4], [1, 4, 3]) == pytest.approx(np.sqrt(5 / 3), abs=1e-12)
    assert rmse([2], [5]) == 3
    with pytest.raises(ValueError, match="1 or more"):
        rmse([], [])


def vqeg(s, b1, b2, b3, b4):
    return (b1 - b2) / (1 + np.exp(-(s - b3) / abs(b4))) + b2


def sheikh(s, b1, b2, b3, b4, b5):
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (s - b3)))) + b4 * s + b5


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
@pytest.mark.parametrize("rising", [True, False])
def test_a_fit_finds_the_function_that_made_the_opinions(unit, rising):
    s = np.random.RandomState(2).uniform(-3, 5, 200)
    ends = (90.0, 10.0) if rising else (10.0, 90.0)
    fit = fit_logistic(s * unit, vqeg(s, *ends, 1.0, 0.7), 4)
    expected = (*ends, unit, 0.7 * unit)
    np.testing.assert_allclose(fit.parameters, expected, rtol=1e-4)
    assert fit.plcc == pytest.approx(1, abs=1e-9) and fit.rmse < 1e-4
    assert "VQEG" in fit.name
    sign = 1 if rising else -1
    labels = sheikh(s, sign * 40.0, 1.4, 1.0, sign * 2.0, 50.0)
    fit = fit_logistic(s * unit, labels, 5)
    np.testing.assert_allclose(fit(s * unit), labels, atol=1e-3)
    np.testing.assert_allclose(fit([0.0]), sheikh(np.array([0.0]), *fit.parameters), rtol=1e-9)
    assert "Sheikh" in fit.name


@pytest.mark.parametrize("n", [7, 12, 300])
@pytest.mark.parametrize("kind", ["noise", "line", "step", "outlier", "two values"])
def test_a_fit_of_any_scores_is_usable(n, kind):
    rng = np.random.RandomState(n)
    s = rng.standard_normal(n) * 1e-3 + 7
    labels = {
        "noise": rng.uniform(0, 9, n),
        "line": s * 1e4,
        "step": (s > 7) * 5.0 + np.arange(n) * 1e-9,
        "outlier": np.where(np.arange(n) == 3, 100.0, rng.uniform(0, 1, n)),
        "two values": (np.arange(n) % 2).astype(float),
    }[kind]
    four, five = fit_logistic(s, labels, 4), fit_logistic(s, labels, 5)
    for fit in (four, five):
        assert np.isfinite(fit.parameters).all()
        assert fit.rmse <= labels.std() * (1 + 1e-9)  # at least as good as predicting the mean
        assert fit.rmse == pytest.approx(rmse(fit(s), labels), rel=1e-9)
    assert five.rmse <= four.rmse * (1 + 1e-9)  # the other function is a special case of it
    if kind == "line":
        assert min(four.plcc, five.plcc) > 0.999
    again = fit_logistic(s, labels, 4, start=four)
    assert again.rmse <= four.rmse * (1 + 1e-9)


def test_a_fit_refuses():
    with pytest.raises(ValueError, match="more than 4 values for 4 parameters, got 4"):
        fit_logistic([1, 2, 3, 4], [1, 2, 3, 5])
    with pytest.raises(ValueError, match=r"expected 4 .* or 5"):
        fit_logistic([1, 2, 3, 4], [1, 2, 3, 5], 3)
    with pytest.raises(ValueError, match="b: expected different"):
        fit_logistic(range(9), [1] * 9)


def best_of_many(function, x, y, count):
    """Return the smallest RMSE of scipy's curve_fit over random starts, in the unit of y."""
    rng, x, spread = np.random.default_rng(1), (x - x.mean()) / x.std(), y.std()
    y, least = (y - y.mean()) / spread, np.inf
    for _ in range(count):
        start = rng.normal(size=len(inspect.signature(function).parameters) - 1) * 10 ** rng.uniform(-1.5, 0.7)
        start[2] = rng.choice(x)
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.suppress(RuntimeError):
            warnings.simplefilter("ignore")
            fitted = optimize.curve_fit(function, x, y, start, maxfev=2000)[0]
            least = min(least, np.sqrt(np.mean((function(x, *fitted) - y) ** 2)) * spread)
    return least


@pytest.mark.parametrize("kind", ["far outlier", "heavy tail", "falling", "noise", "tiny", "huge", "five values"])
def test_a_fit_is_as_good_as_the_best_of_many_starts(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    noise, s = rng.normal(size=60), np.tanh(2 * x)
    scores, labels = {
        "far outlier": (np.r_[x, 1e4], np.r_[x + 0.3 * noise, 0]),  # one diverged score makes the others nearly equal
        "heavy tail": (np.exp(4 * x), x + 0.2 * noise),
        "falling": (x, 0.1 * noise - s),
        "noise": (x, noise),
        "tiny": (x * 1e-13, s * 1e-9 + 1e-10 * noise),
        "huge": (x * 1e12 + 1e13, s * 1e9 + 1e8 * noise),
        "five values": (x[:5], noise[:5]),
    }[kind]
    for parameters, function in ((4, vqeg), (5, sheikh)):
        if len(scores) > parameters:
            assert fit_logistic(scores, labels, parameters).rmse <= best_of_many(function, scores, labels, 25) * 1.001


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e308 / 5])
@pytest.mark.parametrize("which", [0, 1])
def test_values_whose_squares_no_float_holds(size, which):
    """Each measure is a correct number, or None with a remark; numpy gives no warning."""
    x = np.random.default_rng(0).normal(size=30)
    pair = [x, x + 0.1]
    pair[which] = pair[which] * size
    measured = measure(pair[0], pair[1])
    assert measured.values["srocc"] == pytest.approx(1) and measured.values["plcc_logistic"] is None
    assert measured.values["lcc"] is None or measured.values["lcc"] == pytest.approx(1)
    assert "of a size that can be fitted" in measured.remarks[-1]
