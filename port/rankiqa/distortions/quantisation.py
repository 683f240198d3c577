"""Quantisation noise (QN): a few grey levels, chosen by Otsu's criterion."""

from __future__ import annotations

import cv2
import numpy as np

GREYS = 256


def otsu_thresholds(counts: np.ndarray, number: int) -> np.ndarray:
    """The `number` thresholds, ascending, that minimise the variance within the classes of a histogram of 256 bins.

    A bin at a threshold belongs to the class below it. The best of all choices, by dynamic programming; the lowest
    among equals. A histogram with fewer values than classes has those values as thresholds, the last one repeated.

    Source:
        Otsu 1979. MATLAB's multithresh walks to a near optimum with fminsearch when there are more than two.
    """
    present = np.flatnonzero(counts)
    if len(present) <= number:
        return np.pad(present, (0, number - len(present)), mode="edge")
    mass = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    moment = np.concatenate([[0], np.cumsum(counts * np.arange(GREYS, dtype=np.float64))])
    # between[i, j]: sum^2 / mass of the bins i..j; as large as possible in total is as little variance as possible
    weight = mass[None, 1:] - mass[:-1, None]
    total = moment[None, 1:] - moment[:-1, None]
    between = np.where(weight > 0, total**2 / np.where(weight > 0, weight, 1), 0)
    between[np.tril_indices(GREYS, -1)] = -np.inf
    best, starts = between[0], []
    for _ in range(number):
        # One class more: it starts at bin i, the classes before it end at i - 1
        choices = best[:-1, None] + between[1:, :]
        first = choices.argmax(0)
        starts.append(first)
        best = choices[first, np.arange(GREYS)]
    thresholds, last = [], GREYS - 1
    for first in reversed(starts):
        last = int(first[last])
        thresholds.append(last)
    return np.array(thresholds[::-1])


def quantisation_noise(image: np.ndarray, thresholds: float, rng: object) -> np.ndarray:
    """Divide the values of all channels together at this many thresholds and give each class one value (QN).

    Source:
        Upstream data/rank_tid2013/QuantizationNoise.m (multithresh, imquantize).
    """
    limits = otsu_thresholds(np.bincount(image.ravel(), minlength=GREYS), int(thresholds))
    # UPSTREAM: the classes' values are 0, their upper thresholds from the second on, and 255.
    values = np.array([0, *limits[1:], 255], np.uint8)
    return cv2.LUT(image, values[np.searchsorted(limits, np.arange(GREYS))])
