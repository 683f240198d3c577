"""Compare ways to choose pairs: random, hard-negative mining, the efficient method, and the contrastive loss.

They are in the paper's supplement, figures 2 and 3; a figure of the page shows the paper's curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankiqa.experiments import caffe_comparison, equal_pairs
from rankiqa.experiments.csv_tables import read_csv, write_csv
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.experiment_page import Figure, Page, Table, Verdict, lines, plain
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.measures import OPINION_COLUMNS, OPINIONS_CAPTION, opinion_rows
from rankiqa.experiments.pairs import HardestPairs, PairTask
from rankiqa.experiments.paper import CURVES, published
from rankiqa.experiments.training_runs import COLUMNS, CURVE, EFFICIENT, Curve, trained
from rankiqa.training.presets import RankPreset
from rankiqa.training.tasks import RankTask, Task
from rankiqa.training.trainer import Trainer

RANDOM, HARD, CONTRASTIVE = "random", "hard", "contrastive"
CURVE_COLUMNS = ("method", *COLUMNS)
AXES = {"iteration": "iterations", "images_forwarded": "images forwarded", "seconds": "seconds of training"}
PAPERS_TICKS = [0.2, 0.5, 1, 2, 5, 10]  # plotly would label 0.5 as "5"
PAPERS_NAMES = {EFFICIENT: "efficient", RANDOM: "standard", HARD: "hard"}


@dataclass(frozen=True)
class Method:
    """A way to choose pairs. `images` is the number of images that an iteration forwards."""

    name: str
    title: str
    task: Task
    trainer: type[Trainer]
    images: int


def methods(preset: RankPreset, pool: int) -> tuple[Method, ...]:
    """Return the four methods. All train on minibatches of the same number of images."""
    size = preset.size
    return (
        Method(EFFICIENT, "efficient method", RankTask(preset), Trainer, size),
        Method(RANDOM, "random pairs", PairTask(preset), Trainer, size),
        Method(HARD, "hard-negative mining", PairTask(preset, pool=pool), HardestPairs, (pool + 1) * size),
        Method(CONTRASTIVE, "contrastive loss", PairTask(preset, contrastive=True), Trainer, size),
    )


def run(experiment: Experiment) -> Page:
    """Train by each method. Write the CSV files and return the page."""
    data, settings, out = experiment.data, experiment.settings, experiment.out
    train, held = data.split()
    images = data.list_of("train", train)
    held_out = HeldOut(data.list_of("held_out", held), seed=experiment.seed)
    preset = settings.rank_preset(iterations=settings.iterations)
    curves: dict[str, list[dict]] = {}
    rows: list[dict] = []
    chosen = methods(preset, settings.pool)
    for method in chosen:
        folder = out / "runs" / method.name
        experiment.say(f"{method.title}: {settings.iterations} iterations of {method.images} images forwarded")
        watch = Curve(folder / CURVE, held_out, method.images, either_sign=method.name == CONTRASTIVE)
        model = trained(
            folder, preset, settings.arch, images, settings, seed=experiment.seed, init=experiment.init,
            task=method.task, trainer_class=method.trainer, watch=watch, say=experiment.say,
        )  # fmt: skip
        curves[method.name] = [_numbers(row) for row in read_csv(folder / CURVE)]
        rows += opinion_rows(method.title, model, experiment.opinions, folder)
    table = [{"method": name, **row} for name, curve in curves.items() for row in curve]
    write_csv(out / "curves.csv", CURVE_COLUMNS, table)
    write_papers_curves(out)
    ratios = equal_pairs.measured(out / "equal_pairs.csv", settings.arch, preset, images, experiment.seed)
    tables = [Table(
        "The efficient method compared with a standard Siamese network that computes the same pairs of one minibatch; "
        "the "
        "paper's speed-up is n - 1 for n compared versions.", "equal_pairs.csv", equal_pairs.COLUMNS,
        ratios,
    )]  # fmt: skip
    if rows:
        write_csv(out / "opinions.csv", OPINION_COLUMNS, rows)
        tables.append(Table(OPINIONS_CAPTION, "opinions.csv", OPINION_COLUMNS, rows))
    original_run = caffe_comparison.compared(out)
    tables += original_run.tables
    names = {Path(path).stem: path for path in images_of(held_out)}
    return Page(
        "Choosing pairs for a Siamese network",
        [
            f"{settings.arch}, {settings.iterations} iterations each on {len(train)} photographs (seed "
            f"{experiment.seed}). The loss is the ranking loss of {len(held)} other photographs, the mean over all "
            f"pairs of "
            "levels of each distortion, with one crop each. Every method trains on minibatches of "
            f"{preset.size} images; hard-negative mining first forwards {settings.pool} times as many and keeps the "
            "pairs with the largest losses (Simo-Serra et al. 2015). Seconds are the time of the training alone, on "
            "this "
            "machine with the load that it had.",
            "The contrastive loss knows no order: its curve uses the sign of the scores that gives the smaller loss.",
            "The paper's curves (supplement, figures 2 and 3; AlexNet, LIVE's four distortions together) have a "
            "separate "
            "figure, because its loss has another scale and its iterations have other images.",
            *original_run.summary,
        ],
        [verdict(curves[EFFICIENT], curves[RANDOM]), *original_run.verdicts],
        [
            *(_figure(chosen, curves, key, title) for key, title in AXES.items()),
            _papers(),
            *original_run.figures,
        ],
        tables,
        {name: (path, f"{name}: the held-out photograph with the largest loss") for name, path in names.items()}
        | dict(original_run.images),
    )  # fmt: skip


def images_of(held_out: HeldOut) -> Sequence[str]:
    """Return the paths of the held-out pristine photographs."""
    lines_ = zip(held_out.images.paths, held_out.images.labels, strict=True)
    return [path for path, level in lines_ if level == 0][: held_out.photographs]


def _numbers(row: dict[str, str]) -> dict:
    kinds = (int, int, float, float, str)
    return {name: kind(row[name]) for name, kind in zip(COLUMNS, kinds, strict=True)}


def reaches(curve: Sequence[dict], loss: float) -> int | None:
    """Return the images forwarded when a curve first reaches the loss or less; None if it never does."""
    return next((row["images_forwarded"] for row in curve if row["loss"] <= loss), None)


def verdict(efficient: Sequence[dict], random: Sequence[dict]) -> Verdict:
    """Check whether the efficient method reaches the random pairs' final loss with fewer images forwarded.

    If random pairs end no lower than they began, any curve reaches that loss at once, and nothing is shown.
    """
    loss, whole = random[-1]["loss"], random[-1]["images_forwarded"]
    needed = reaches(efficient, loss)
    claim = f"the efficient method reaches the random pairs' final loss ({loss:.3f}) with fewer images forwarded"
    if not loss < random[0]["loss"]:
        text = f"{claim}: random pairs did not lower it, it was {random[0]['loss']:.3f} before training."
        return Verdict(False, text, "curves.csv")
    if needed is None:
        return Verdict(False, f"{claim}: it ends at {efficient[-1]['loss']:.3f}.", "curves.csv")
    return Verdict(needed < whole, f"{claim}: {needed:,} against {whole:,}.", "curves.csv")


def _figure(chosen: Sequence[Method], curves: dict[str, list[dict]], key: str, title: str) -> Figure:
    data = [
        lines(
            method.title, [row[key] for row in curves[method.name]], [row["loss"] for row in curves[method.name]],
            number, customdata=[row["worst"] for row in curves[method.name]],
            text=[plain(row["worst"]) for row in curves[method.name]],
            hovertemplate=f"{method.title}<br>{title} %{{x:,}}<br>loss %{{y:.4f}}<br>"
            "worst %{text}<extra></extra>",
        )
        for number, method in enumerate(chosen)
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": title}},
        "yaxis": {"title": {"text": "held-out ranking loss (log scale)"}, "type": "log"},
    }
    return Figure(f"mining_{key}", f"Held-out ranking loss against {title}.", "curves.csv", data, layout)


def _papers() -> Figure:
    curves, data = published()[CURVES], []
    for number, (name, theirs) in enumerate(PAPERS_NAMES.items()):
        data.append(lines(
            f"{name} (paper)", curves["iterations"], curves["ALL"][theirs], number, line={"dash": "dot"},
            hovertemplate=f"{theirs} (paper)<br>iteration %{{x:,}}<br>loss %{{y:.3f}}<extra></extra>",
        ))  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "iterations (paper)"}},
        "yaxis": {"title": {"text": "ranking loss (paper, log scale)"}, "type": "log", "tickvals": PAPERS_TICKS},
    }
    return Figure(
        "mining_paper",
        "The paper's own curves (supplement, figures 2 and 3; AlexNet, all four distortions).",
        "paper.csv",
        data,
        layout,
    )


def write_papers_curves(out: Path) -> None:
    """Write OUT/paper.csv, the numbers of the figure of the paper's curves."""
    curves = published()[CURVES]
    rows = [
        {"types": types, "method": method, "iteration": iteration, "loss": loss}
        for types, by_method in curves.items() if isinstance(by_method, dict)
        for method, losses in by_method.items()
        for iteration, loss in zip(curves["iterations"], losses, strict=True)
    ]  # fmt: skip
    write_csv(out / "paper.csv", ("types", "method", "iteration", "loss"), rows)
