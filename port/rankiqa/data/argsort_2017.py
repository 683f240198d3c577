"""NumPy's argsort as in the NumPy versions of 2017, which the authors used."""

from __future__ import annotations

import numpy as np


def argsort_2017(values: np.ndarray) -> np.ndarray:
    """Return NumPy's default argsort as it was up to version 1.24, including the order of equal values.

    Upstream's minibatches depend on the order of equal values. The algorithm is quicksort with the median of three as
    pivot and insertion sort for runs of up to 16 values. Later NumPy versions sort differently on newer processors.
    NumPy switches to heapsort after too many bad pivots; this is not modelled, since it cannot happen with 30 values.

    Args:
        values: (n,), without nan.

    Returns:
        The indices that sort the values, int64 (n,).

    Source:
        NumPy 1.11 to 1.24, npysort/quicksort (behaviour, not code).
    """
    order = list(range(len(values)))

    def swap(a: int, b: int) -> None:
        order[a], order[b] = order[b], order[a]

    runs = [(0, len(order) - 1)]
    while runs:
        low, high = runs.pop()
        while high - low > 15:
            middle = (low + high) // 2
            for a, b in ((middle, low), (high, middle), (middle, low)):
                if values[order[a]] < values[order[b]]:
                    swap(a, b)
            pivot = values[order[middle]]
            i, j = low, high - 1
            swap(middle, j)
            while True:
                i += 1
                while values[order[i]] < pivot:
                    i += 1
                j -= 1
                while pivot < values[order[j]]:
                    j -= 1
                if i >= j:
                    break
                swap(i, j)
            swap(i, high - 1)
            runs.append((i + 1, high))
            high = i - 1
        for i in range(low + 1, high + 1):
            index, j = order[i], i
            while j > low and values[index] < values[order[j - 1]]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = index
    return np.array(order, np.intp)
