"""Measure how well the scores of neighbouring levels of a distortion are separated."""

from __future__ import annotations

import numpy as np

from rankiqa.experiments.budgets import LEVELS

BINS = 20
HISTOGRAM_COLUMNS = ("type", "level", "low", "high", "share")
OVERLAP_COLUMNS = ("type", "milder_level", "stronger_level", "overlap", "ordered_share")


def histogram_rows(table: list[dict]) -> list[dict]:
    """Return, for each distortion and level, the share of its scores in each non-empty bin; bins as for the overlap."""
    rows = []
    for kind in dict.fromkeys(row["type"] for row in table):
        edges, by_level = _scores(table, kind)
        for level, scores in enumerate(by_level):
            shares = np.histogram(scores, edges)[0] / len(scores)
            rows += [
                dict(zip(HISTOGRAM_COLUMNS, (kind, level, float(low), float(high), float(share)), strict=True))
                for low, high, share in zip(edges, edges[1:], shares)
                if share
            ]
    return rows


def _scores(table: list[dict], kind: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return (edges of the bins for a distortion's scores, scores of each level)."""
    of_type = [row for row in table if row["type"] == kind]
    by_level = [np.array([row["score"] for row in of_type if row["level"] == level]) for level in range(LEVELS)]
    return np.histogram_bin_edges([row["score"] for row in of_type], BINS), by_level


def overlap_rows(table: list[dict]) -> list[dict]:
    """Return, for each distortion and pair of neighbouring levels, overlap of histograms and share of ordered pairs."""
    rows = []
    for kind in dict.fromkeys(row["type"] for row in table):
        edges, by_level = _scores(table, kind)
        for level in range(LEVELS - 1):
            mild, strong = by_level[level], by_level[level + 1]
            shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (mild, strong)]
            difference = strong[:, None] - mild[None, :]
            ordered = float((difference > 0).mean() + (difference == 0).mean() / 2)
            values = (kind, level, level + 1, float(np.minimum(*shares).sum()), ordered)
            rows.append(dict(zip(OVERLAP_COLUMNS, values, strict=True)))
    return rows


def ordered_share(kind: str, overlaps: list[dict]) -> float:
    """Return the mean share of correctly ordered pairs of neighbouring levels of a distortion."""
    return float(np.mean([row["ordered_share"] for row in overlaps if row["type"] == kind]))
