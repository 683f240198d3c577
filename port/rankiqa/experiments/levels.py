"""Scores by distortion level on photographs that were not trained on (the paper's figure 2, supplement figure 1)."""

from __future__ import annotations

from rankiqa.evaluation.agreement import resampling_unit
from rankiqa.experiments import caffe_comparison
from rankiqa.experiments.budgets import LEVELS, TYPES
from rankiqa.experiments.csv_tables import write_csv
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.experiment_page import Figure, Page, Table, Verdict, decimals, image_key, plain
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.measures import OPINION_COLUMNS, OPINIONS_CAPTION, held_out_rows, opinion_rows
from rankiqa.experiments.overlap import (
    HISTOGRAM_COLUMNS,
    OVERLAP_COLUMNS,
    histogram_rows,
    ordered_share,
    overlap_rows,
)
from rankiqa.experiments.training_runs import CURVE, EFFICIENT, Curve, trained

APART = 0.75  # smallest share of correctly ordered pairs of neighbouring levels; by chance it is a half
HELD_OUT = "held-out levels"
LEVEL_COLOURS = ("#2c5aa0", "#2a9d8f", "#7fb03c", "#dba11c", "#e2711d", "#b3202a")  # from mild to strong


def run(experiment: Experiment) -> Page:
    """Train by ranking and score the held-out images. Write the CSV files and return the page."""
    data, settings, out = experiment.data, experiment.settings, experiment.out
    train, held = data.split()
    held_out = HeldOut(data.list_of("held_out", held), seed=experiment.seed)
    preset = settings.rank_preset(iterations=settings.iterations)
    folder = out / "runs" / EFFICIENT
    watch = Curve(folder / CURVE, held_out, preset.size)
    model = trained(
        folder, preset, settings.arch, data.list_of("train", train), settings, seed=experiment.seed,
        init=experiment.init, watch=watch, say=experiment.say,
    )  # fmt: skip
    scores = held_out.scores(model)
    table = [
        {"path": path, "type": kind, "level": int(level), "photograph": name, "score": float(score)}
        for path, kind, level, name, score in zip(
            held_out.images.paths, held_out.types, held_out.images.labels, held_out.names, scores, strict=True
        )
    ]
    write_csv(out / "scores.csv", tuple(table[0]), table)
    overlaps = overlap_rows(table)
    write_csv(out / "overlap.csv", OVERLAP_COLUMNS, overlaps)
    histogram = histogram_rows(table)
    write_csv(out / "histogram.csv", HISTOGRAM_COLUMNS, histogram)
    original_run = caffe_comparison.compared(out)
    opinions = opinion_rows("opinions", model, experiment.opinions, folder)
    rows = held_out_rows(HELD_OUT, model, held_out) + opinions
    unit = resampling_unit(held_out.names)
    caption = f"Agreement of scores and levels, with 95% intervals (bootstrap by {unit})."
    write_csv(out / "agreement.csv", OPINION_COLUMNS, rows)
    return Page(
        "Scores by level of distortion on unseen photographs",
        [
            f"{settings.arch}, {settings.iterations} iterations of {preset.size} crops by the efficient ranking method "
            f"on {len(train)} photographs (seed {experiment.seed}). One crop of each level of {len(held)} other "
            f"photographs "
            "is scored. A higher score means more distortion. Level 0 is the pristine photograph.",
            "Overlap is the common area of the histograms of two neighbouring levels, from 0 (apart) to 1 (equal). "
            "Ordered "
            "share is the share of pairs of images of neighbouring levels whose scores are in the right order.",
            "The paper shows the same histograms for VGG-16 after 50,000 iterations; it gives no numbers for them.",
            *original_run.summary,
        ],
        [*(_verdict(kind, overlaps, rows) for kind in TYPES), *original_run.verdicts],
        [*(_figure(kind, *([row for row in rows if row["type"] == kind] for rows in (table, histogram)))
           for kind in TYPES), *original_run.figures],
        [
            Table("Neighbouring levels.", "overlap.csv", OVERLAP_COLUMNS, overlaps),
            Table(f"{caption} {OPINIONS_CAPTION}" if opinions else caption, "agreement.csv", OPINION_COLUMNS, rows),
            *original_run.tables,
        ],
        {image_key(row): (row["path"], f"{row['photograph']}, {row['type']} level {row['level']}: {row['score']:.3f}")
         for row in table} | dict(original_run.images),
    )  # fmt: skip


def _verdict(kind: str, overlaps: list[dict], agreement: list[dict]) -> Verdict:
    """Check whether, on average, 75% of the pairs of neighbouring levels of a distortion are in the right order."""
    share = ordered_share(kind, overlaps)
    srocc = next(row["srocc"] for row in agreement if (row["run"], row["type"]) == (HELD_OUT, kind))
    text = (
        f"{kind}: neighbouring levels are separated on unseen images: {share:.0%} of their pairs are in the right order"
    )
    text = f"{text} (75% or more counts as separated), SROCC of score and level {decimals(srocc)}."
    return Verdict(share >= APART, text, "overlap.csv agreement.csv")


def _figure(kind: str, rows: list[dict], shares: list[dict]) -> Figure:
    """Return the figure of a distortion from its rows of scores.csv (`rows`) and of histogram.csv (`shares`)."""
    data = []
    for level in range(LEVELS):
        of_level, bins = ([row for row in table if row["level"] == level] for table in (rows, shares))
        name, colour = "pristine" if level == 0 else f"level {level}", LEVEL_COLOURS[level]
        data.append({
            "type": "bar", "name": name, "legendgroup": name, "x": [(row["low"] + row["high"]) / 2 for row in bins],
            "y": [row["share"] for row in bins], "width": [row["high"] - row["low"] for row in bins],
            "customdata": [None] * len(bins), "text": [f"{row['low']:.3g} to {row['high']:.3g}" for row in bins],
            "textposition": "none", "hovertemplate": f"{name}<br>score %{{text}}: %{{y:.0%}}<extra></extra>",
            "marker": {"color": f"{colour}55", "line": {"color": colour, "width": 1.5}},
        })  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "x": [row["score"] for row in of_level], "y": [level] * len(of_level),
            "yaxis": "y2", "name": name, "marker": {"color": colour, "size": 8, "opacity": 0.8}, "legendgroup": name,
            "showlegend": False, "customdata": [image_key(row) for row in of_level],
            "text": [plain(row["photograph"]) for row in of_level],
            "hovertemplate": f"%{{text}}, {name}<br>score %{{x:.3f}}<extra></extra>",
        })  # fmt: skip
    layout = {
        "barmode": "overlay",
        "xaxis": {"title": {"text": f"score, {kind} (higher: worse)"}, "anchor": "y2"},
        "yaxis": {
            "title": {"text": "share of images"},
            "domain": [0.42, 1],
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        "yaxis2": {"title": {"text": "level"}, "domain": [0, 0.36], "anchor": "x", "dtick": 1, "range": [-0.6, 5.6]},
    }
    return Figure(f"levels_{kind}", f"{kind}: histogram of the scores of each level, and each image.",
                  "histogram.csv scores.csv", data, layout)  # fmt: skip
