"""Quantisation noise (QN): a few grey levels, chosen by Otsu's criterion."""

from __future__ import annotations

import cv2
import numpy as np

GREYS = 256


def otsu_thresholds(counts: np.ndarray, number: int) -> np.ndarray:
    """Return the thresholds that minimise the variance within the classes of a histogram of 256 bins.

    A bin at a threshold belongs to the class below it. Dynamic programming finds the best of all choices; among equal
    ones, it takes the lowest. If a histogram has fewer values than classes, the thresholds are these values, the last
    one repeated.

    Args:
        counts: The histogram, (256,).
        number: The number of thresholds.

    Returns:
        int (number,), ascending.

    Source:
        Otsu 1979. For more than two thresholds, MATLAB's multithresh searches for a local optimum by fminsearch.
    """
    present = np.flatnonzero(counts)
    if len(present) <= number:
        return np.pad(present, (0, number - len(present)), mode="edge")
    mass = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    moment = np.concatenate([[0], np.cumsum(counts * np.arange(GREYS, dtype=np.float64))])
    # between[i, j]: sum^2 / mass of the bins i..j; maximising its total minimises the variance within the classes
    weight = mass[None, 1:] - mass[:-1, None]
    total = moment[None, 1:] - moment[:-1, None]
    between = np.where(weight > 0, total**2 / np.where(weight > 0, weight, 1), 0)
    between[np.tril_indices(GREYS, -1)] = -np.inf
    best, starts = between[0], []
    for _ in range(number):
        # Add a class: it starts at bin i, and the classes before it end at i - 1
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
    """Divide the values of all channels together by this many thresholds and give each class one value (QN).

    Source:
        Upstream data/rank_tid2013/QuantizationNoise.m (multithresh, imquantize).
    """
    limits = otsu_thresholds(np.bincount(image.ravel(), minlength=GREYS), int(thresholds))
    # UPSTREAM: the values of the classes are 0, the thresholds from the second on, and 255.
    values = np.array([0, *limits[1:], 255], np.uint8)
    return cv2.LUT(image, values[np.searchsorted(limits, np.arange(GREYS))])
