"""Compare the efficient method's training in the original Caffe with the port's, from the same seed.

`scripts/experiment_caffe` writes OUT/caffe_curve.csv and OUT/caffe_scores.csv. The page of an experiment that has these
files shows them. Each file has one column per engine: Caffe, the port, and the port with matrix products in Caffe's
order of sums. The last one separates the effect of rounding from that of a fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rankiqa.experiments.budgets import TYPES
from rankiqa.experiments.csv_tables import read_csv, write_csv
from rankiqa.experiments.experiment_page import COLOURS, Figure, Table, Verdict, image_key, lines, plain
from rankiqa.experiments.overlap import overlap_rows

CAFFE, PORT, PRODUCTS = "caffe", "port", "port_caffe_products"
ENGINES = {CAFFE: "original Caffe", PORT: "port", PRODUCTS: "port with Caffe's matrix products"}
CURVE, SCORES = "caffe_curve.csv", "caffe_scores.csv"
APART, OVERLAP = "caffe_apart.csv", "caffe_overlap.csv"
CURVE_COLUMNS = ("iteration", *ENGINES)
SCORE_COLUMNS = ("path", "type", "level", "photograph", "same_pixels", *ENGINES)
APART_COLUMNS = ("engine", "loss_max_difference", "loss_mean_difference", "score_max_difference", "caffe_score_range")
OVERLAP_COLUMNS = (
    "engine", "type", "overlap_caffe", "overlap", "overlap_difference", "ordered_share_caffe", "ordered_share",
)  # fmt: skip
SAME = 1e-3  # times Caffe's loss: with the same order of sums, rounding stays below it; a fault would be some percent


@dataclass(frozen=True)
class Comparison:
    """The results of the comparison on a page; all are empty without Caffe's files."""

    summary: Sequence[str] = ()
    verdicts: Sequence[Verdict] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def compared(out: Path) -> Comparison:
    """Compare curves and scores of the engines, and write OUT/caffe_{apart,overlap}.csv."""
    curve, scores = _numbers(read_csv(out / CURVE)), _numbers(read_csv(out / SCORES))
    if not curve or not scores:
        return Comparison()
    engines = [engine for engine in ENGINES if curve[0][engine] is not None]
    apart = [_apart(engine, curve, scores) for engine in engines if engine != CAFFE]
    overlaps = [row for engine in engines if engine != CAFFE for row in _overlaps(engine, scores)]
    write_csv(out / APART, APART_COLUMNS, apart)
    write_csv(out / OVERLAP, OVERLAP_COLUMNS, overlaps)
    same = sum(row["same_pixels"] == "True" for row in scores)
    return Comparison(
        [
            "The same training in the original Caffe: Caffe in its container started from the same seed, so from the "
            "same "
            "weights, trained by the efficient method on the same crops in the same order, and scored the same crops. "
            "PyTorch "
            "sums products in another order than Caffe's OpenBLAS, and at learning rates that have an effect, "
            "training amplifies "
            f"differences in the last bits. Of the {len(scores)} held-out images, both read {same} as the same pixels.",
        ],
        [_verdict(row, curve) for row in apart[-1:]],
        [_curves(engines, curve), _points(scores)],
        [
            Table(
                "Differences between the port and the original: held-out loss over the curve, scores at the "
                "end.", APART,
                  APART_COLUMNS, apart),
            Table("Overlap and order of neighbouring levels at the end, means over the neighbouring levels; "
                  "the difference is the mean of the absolute differences.", OVERLAP, OVERLAP_COLUMNS, overlaps),
        ],
        {
            f"caffe {image_key(row)}": (
                row["path"],
                f"{_named(row)}: Caffe {row[CAFFE]:.3f}, port {row[PORT]:.3f}",
            )
            for row in scores
        },
    )  # fmt: skip


def _numbers(rows: list[dict[str, str]]) -> list[dict]:
    kinds = {"iteration": int, "level": int, **dict.fromkeys(ENGINES, _number)}
    return [{name: kinds.get(name, str)(value) for name, value in row.items()} for row in rows]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _named(row: dict) -> str:
    return f"{row['photograph']}, {row['type']} level {row['level']}"


def _apart(engine: str, curve: list[dict], scores: list[dict]) -> dict:
    """Return the differences of an engine from Caffe."""
    losses = np.array([[row[CAFFE], row[engine]] for row in curve])
    values = np.array([[row[CAFFE], row[engine]] for row in scores])
    loss, score = (np.abs(array[:, 0] - array[:, 1]) for array in (losses, values))
    cells = (ENGINES[engine], float(loss.max()), float(loss.mean()), float(score.max()), float(np.ptp(values[:, 0])))
    return dict(zip(APART_COLUMNS, cells, strict=True))


def _overlaps(engine: str, scores: list[dict]) -> list[dict]:
    """Return, for each distortion, overlap and order of neighbouring levels in Caffe and in another engine."""
    caffes, ours = (overlap_rows([{**row, "score": row[name]} for row in scores]) for name in (CAFFE, engine))
    rows = []
    for kind in TYPES:
        pairs = [pair for pair in zip(caffes, ours, strict=True) if pair[0]["type"] == kind]
        overlap, ordered = (
            np.array([[row[key] for row in pair] for pair in pairs]) for key in ("overlap", "ordered_share")
        )
        difference = float(np.abs(overlap[:, 0] - overlap[:, 1]).mean())
        means = *overlap.mean(0).tolist(), difference, *ordered.mean(0).tolist()
        rows.append(dict(zip(OVERLAP_COLUMNS, (ENGINES[engine], kind, *means), strict=True)))
    return rows


def _verdict(row: dict, curve: list[dict]) -> Verdict:
    """Check whether the last engine, whose order of sums is closest to Caffe's, has Caffe's curve up to rounding."""
    worst, least = row["loss_max_difference"], min(step[CAFFE] for step in curve)
    text = (
        f"the original Caffe has the curve of the {row['engine']}: {worst:.2g} apart at most (up to {SAME * least:.2g} "
        "counts as the same)."
    )
    return Verdict(worst <= SAME * least, text, f"{APART} {CURVE}")


def _curves(engines: Sequence[str], curve: list[dict]) -> Figure:
    x, styles = [row["iteration"] for row in curve], {CAFFE: (5, "solid"), PORT: (0, "solid"), PRODUCTS: (1, "dot")}
    data = []
    for engine in engines:
        colour, dash = styles[engine]
        data.append(lines(
            ENGINES[engine], x, [row[engine] for row in curve], colour, line={"dash": dash},
            hovertemplate=f"{ENGINES[engine]}<br>iteration %{{x:,}}<br>loss %{{y:.5f}}<extra></extra>",
        ))  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "iterations"}},
        "yaxis": {"title": {"text": "held-out ranking loss"}, "type": "log"},
    }
    return Figure("caffe_curve", "The same training in the original Caffe and in the port.", CURVE, data, layout)


def _points(scores: list[dict]) -> Figure:
    data = []
    for place, kind in enumerate(TYPES):
        rows = [row for row in scores if row["type"] == kind]
        data.append({
            "type": "scatter", "mode": "markers", "name": kind, "x": [row[CAFFE] for row in rows],
            "y": [row[PORT] for row in rows], "marker": {"color": COLOURS[place], "size": 7, "opacity": 0.7},
            "customdata": [f"caffe {image_key(row)}" for row in rows],
            "text": [plain(_named(row)) for row in rows],
            "hovertemplate": "%{text}<br>Caffe %{x:.3f}, port %{y:.3f}<extra></extra>",
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "score in Caffe"}}, "yaxis": {"title": {"text": "score in the port"}}}
    return Figure("caffe_scores", "Scores of the held-out images at the end: the port's against Caffe's.", SCORES,
                  data, layout)  # fmt: skip
