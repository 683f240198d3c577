"""Compare networks that are fine-tuned only, ranked only, or both, over random splits by photograph."""

from __future__ import annotations

from rankiqa.experiments import grid
from rankiqa.experiments.csv_tables import write_csv
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.experiment_page import COLOURS, Figure, Page, Table, Verdict
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.measures import OPINION_COLUMNS, OPINIONS_CAPTION
from rankiqa.experiments.paper import published

FT, RANK, BOTH = "fine-tuning only", "ranking only", "ranking + fine-tuning"
LABEL_STEP = 20.0  # scales labels to DMOS's range: 0 (pristine) to 100
PAPERS = {FT: "Baseline", RANK: "RankIQA", BOTH: "RankIQA+FT"}
RUN_COLUMNS = ("network", "training", "split", *OPINION_COLUMNS[1:])
COLUMNS = (
    "network", "training", "splits", "srocc_mean", "srocc_std", "lcc_mean", "lcc_std", "paper_vgg16_tid2013_srocc",
    "paper_vgg16_tid2013_lcc",
)  # fmt: skip


def run(experiment: Experiment) -> Page:
    """Train all networks. Write the CSV files and return the page."""
    data, settings, out = experiment.data, experiment.settings, experiment.out
    rows, opinions = [], []
    for split in range(settings.splits):
        train, held = data.split(split)
        held_out = HeldOut(data.list_of(f"held_out_{split}", held), seed=experiment.seed)
        labelled = data.list_of(f"labelled_{split}", train, label_step=LABEL_STEP)
        for arch in settings.archs:
            short = f"{arch.replace(':', '_')}_{split}"
            experiment.say(f"{arch}, split {split + 1} of {settings.splits}")
            ranked, snapshot = grid.rank(experiment, f"rank_{short}", arch, train)
            models = {
                RANK: (f"rank_{short}", ranked),
                FT: (f"ft_{short}", grid.fine_tune(experiment, f"ft_{short}", arch, labelled, None)),
                BOTH: (f"both_{short}", grid.fine_tune(experiment, f"both_{short}", arch, labelled, snapshot)),
            }
            for training, (name, model) in models.items():
                about = {"network": arch, "training": training, "split": split}
                ours, theirs = grid.measured(experiment, name, model, held_out)
                rows += [{column: (row | about)[column] for column in RUN_COLUMNS} for row in ours]
                opinions += [{column: (row | about)[column] for column in RUN_COLUMNS} for row in theirs]
    write_csv(out / "runs.csv", RUN_COLUMNS, rows)
    summary = _summary(rows)
    write_csv(out / "backbones.csv", COLUMNS, summary)
    tables = [Table("Mean and standard deviation over the splits.", "backbones.csv", COLUMNS, summary)]
    if opinions:
        write_csv(out / "opinions.csv", RUN_COLUMNS, opinions)
        shown = [row for row in opinions if row["type"] == "all"]
        tables.append(Table(OPINIONS_CAPTION, "opinions.csv", RUN_COLUMNS, shown))
    return Page(
        "Networks, ranked and fine-tuned",
        [
            f"{settings.short} iterations of each training, {settings.splits} random splits by photograph (seed "
            f"{experiment.seed}), measured on the held-out photographs of the split. The labels for fine-tuning are "
            f"the "
            "distortion levels scaled to 0..100, since these photographs have no opinions.",
            "The paper's values are for VGG-16 on TID2013 with people's opinions (supplement and poster).",
        ],
        [_verdict(summary, arch) for arch in settings.archs],
        [_figure(summary)],
        tables,
    )


def _summary(rows: list[dict]) -> list[dict]:
    papers, summary = published()["tid2013"], []
    for arch in dict.fromkeys(row["network"] for row in rows):
        for training in (FT, RANK, BOTH):
            chosen = [
                row for row in rows
                if (row["network"], row["training"], row["type"]) == (arch, training, "all")
            ]  # fmt: skip
            cells: dict = {"network": arch, "training": training, "splits": len(chosen)}
            for name in ("srocc", "lcc"):
                mean, std = grid.mean_and_spread([row[name] for row in chosen])
                cells |= {f"{name}_mean": mean, f"{name}_std": std}
            cells["paper_vgg16_tid2013_srocc"] = papers["SROCC (P)"][PAPERS[training]]["ALL"]
            cells["paper_vgg16_tid2013_lcc"] = papers["LCC (S)"][PAPERS[training]]["ALL"]
            summary.append(cells)
    return summary


def _verdict(summary: list[dict], arch: str) -> Verdict:
    """Check whether ranking before fine-tuning beats fine-tuning alone by more than the spread of either over the
    splits."""
    rows = {row["training"]: row for row in summary if row["network"] == arch}
    tuned, both = ((rows[training]["srocc_mean"], rows[training]["srocc_std"]) for training in (FT, BOTH))
    text = f"{arch}: ranking before fine-tuning is better than fine-tuning alone by more than the spread over splits"
    text = f"{text}: SROCC {_with_spread(*both)} against {_with_spread(*tuned)}."
    known = [value for value in (*tuned, *both) if value is not None]
    shown = len(known) == 4 and known[2] - known[0] > max(known[1], known[3])
    return Verdict(shown, text, "backbones.csv")


def _with_spread(mean: float | None, std: float | None) -> str:
    if mean is None:
        return "not defined (all scores of a run are equal)"
    return f"{mean:.3f} ± {std:.3f}" if std is not None else f"{mean:.3f} (of one split)"


def _figure(summary: list[dict]) -> Figure:
    data = []
    for place, training in enumerate((FT, RANK, BOTH)):
        chosen = [row for row in summary if row["training"] == training]
        data.append({
            "type": "bar", "name": training, "offsetgroup": training, "x": [row["network"] for row in chosen],
            "y": [row["srocc_mean"] for row in chosen], "marker": {"color": COLOURS[place]},
            "error_y": {"type": "data", "array": [row["srocc_std"] for row in chosen]},
            "hovertemplate": f"%{{x}}, {training}<br>SROCC %{{y:.3f}}<extra></extra>",
        })  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "name": f"{training} (paper)", "offsetgroup": training,
            "x": ["VGG-16, TID2013 (paper)"], "y": [chosen[0]["paper_vgg16_tid2013_srocc"]],
            "marker": {"color": COLOURS[place], "symbol": "diamond-open", "size": 11},
            "hovertemplate": f"{training} (paper)<br>SROCC %{{y:.3f}}<extra></extra>",
        })  # fmt: skip
    layout = {
        "barmode": "group", "scattermode": "group", "yaxis": {"title": {"text": "SROCC"}},
        "xaxis": {"type": "category", "title": {"text": "network"}},
    }  # fmt: skip
    caption = "SROCC on held-out images, mean over splits; error bars: standard deviation."
    return Figure("backbones", caption, "backbones.csv", data, layout)
