"""SROCC and LCC against their definitions."""

import numpy as np
import pytest

from rankiqa import lcc, srocc


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


@pytest.mark.parametrize("metric", [srocc, lcc])
@pytest.mark.parametrize(
    "a, b, message",
    [
        ([1, 2, 3], [1, 2], "one length"),
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
