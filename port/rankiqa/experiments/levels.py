"""Scores by level of distortion on photographs that were not trained on (the paper's figure 2, supplement figure 1)."""

from __future__ import annotations

from rankiqa.experiments import original
from rankiqa.experiments.csv_tables import write_csv
from rankiqa.experiments.experiment import Experiment
from rankiqa.experiments.held_out import HeldOut
from rankiqa.experiments.measures import OPINION_COLUMNS, OPINIONS_CAPTION, held_out_rows, opinion_rows
from rankiqa.experiments.overlap import BINS, OVERLAP_COLUMNS, ordered_share, overlap_rows
from rankiqa.experiments.page import COLOURS, Figure, Page, Table, Verdict, image_key
from rankiqa.experiments.settings import LEVELS, TYPES
from rankiqa.experiments.training_runs import CURVE, EFFICIENT, Curve, trained

APART = 0.75  # share of the pairs of neighbouring levels in the right order; half are by chance
HELD_OUT = "held-out levels"


def run(experiment: Experiment) -> Page:
    """Train by ranking, score the held-out images; returns the page, its CSV files written."""
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
    original_run = original.compared(out)
    opinions = opinion_rows("opinions", model, experiment.opinions, folder)
    rows = held_out_rows(HELD_OUT, model, held_out) + opinions
    caption = "Agreement of scores and levels, with 95% intervals (by reference)."
    write_csv(out / "agreement.csv", OPINION_COLUMNS, rows)
    return Page(
        "Scores by level of distortion on unseen photographs",
        [
            f"{settings.arch}, {settings.iterations} iterations of {preset.size} crops by the efficient ranking method "
            f"on {len(train)} photographs (seed {experiment.seed}); scored: one crop of each level of {len(held)} "
            "others. A higher score means more distortion. Level 0 is the pristine photograph.",
            "Overlap: the common area of the histograms of two neighbouring levels, 0 (apart) to 1 (alike). Ordered: "
            "the share of pairs of images of neighbouring levels whose scores are in the right order.",
            "The paper shows the same histograms for VGG-16 after 50,000 iterations; it gives no number for them.",
            *original_run.summary,
        ],
        [*(_verdict(kind, overlaps, rows) for kind in TYPES), *original_run.verdicts],
        [*(_figure(kind, [row for row in table if row["type"] == kind]) for kind in TYPES), *original_run.figures],
        [
            Table("Neighbouring levels.", "overlap.csv", OVERLAP_COLUMNS, overlaps),
            Table(f"{caption} {OPINIONS_CAPTION}" if opinions else caption, "agreement.csv", OPINION_COLUMNS, rows),
            *original_run.tables,
        ],
        {image_key(row): (row["path"], f"{row['photograph']}, {row['type']} level {row['level']}: {row['score']:.3f}")
         for row in table} | dict(original_run.images),
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _verdict(kind: str, overlaps: list[dict], agreement: list[dict]) -> Verdict:
    """Whether neighbouring levels of a distortion are in the right order in three of four pairs on average."""
    share = ordered_share(kind, overlaps)
    srocc = next(row["srocc"] for row in agreement if (row["run"], row["type"]) == (HELD_OUT, kind))
    text = f"{kind}: neighbouring levels are apart on unseen images: {share:.0%} of their pairs are in the right order"
    text = f"{text} (75% or more counts as apart), SROCC of score and level {_number(srocc)}."
    return Verdict(share >= APART, text, "overlap.csv agreement.csv")


def _figure(kind: str, rows: list[dict]) -> Figure:
    scores = [row["score"] for row in rows]
    low, high = min(scores), max(scores)
    size = (high - low) / BINS or 1.0
    data = []
    for level in range(LEVELS):
        of_level = [row for row in rows if row["level"] == level]
        values, colour = [row["score"] for row in of_level], COLOURS[level]
        name = "pristine" if level == 0 else f"level {level}"
        data.append({
            "type": "histogram", "x": values, "name": name, "marker": {"color": colour}, "opacity": 0.6,
            "legendgroup": name, "histnorm": "probability",
            "hovertemplate": f"{name}<br>%{{x}}: %{{y:.0%}}<extra></extra>",
            "xbins": {"start": low, "end": high + size, "size": size},
        })  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "x": values, "y": [level] * len(values), "yaxis": "y2", "name": name,
            "marker": {"color": colour, "size": 8}, "legendgroup": name, "showlegend": False,
            "customdata": [image_key(row) for row in of_level], "text": [row["photograph"] for row in of_level],
            "hovertemplate": f"%{{text}}, {name}<br>score %{{x:.3f}}<extra></extra>",
        })  # fmt: skip
    layout = {
        "barmode": "overlay",
        "xaxis": {"title": {"text": f"score ({kind})"}, "anchor": "y2"},
        "yaxis": {"title": {"text": "share"}, "domain": [0.42, 1]},
        "yaxis2": {"title": {"text": "level"}, "domain": [0, 0.36], "anchor": "x", "dtick": 1},
    }
    return Figure(f"levels_{kind}", f"{kind}: histogram of the scores of each level, and each image.", "scores.csv",
                  data, layout)  # fmt: skip
