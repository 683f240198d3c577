"""Short trainings by ranking and fine-tuning, each measured on images of photographs that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankiqa.data.image_lists import ImageList
from rankiqa.experiments.budgets import LEVELS
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.measures import held_out_rows, opinion_rows
from rankiqa.experiments.training_runs import trained
from rankiqa.models.scorer import Scorer
from rankiqa.training import snapshots


def rank(
    experiment: Experiment, run: str, arch: str, photographs: Sequence[str], levels: int = LEVELS
) -> tuple[Scorer, str]:
    """Train a network by ranking.

    Args:
        experiment: Data, settings and seed.
        run: The name of the run and of its list.
        arch: The network.
        photographs: The names of the photographs to train on.
        levels: The number of levels of each distortion, pristine included.

    Returns:
        (the network, the path of its snapshot).
    """
    folder, settings = experiment.out / "runs" / run, experiment.settings
    images = experiment.data.list_of(run, list(photographs), levels)
    preset = settings.rank_preset(iterations=settings.short, levels=levels)
    model = trained(folder, preset, arch, images, settings, seed=experiment.seed, init=_init(experiment, arch))
    last = snapshots.latest(folder, preset.name)
    assert last is not None
    return model, str(last)


def fine_tune(experiment: Experiment, run: str, arch: str, images: ImageList, start: str | None) -> Scorer:
    """Train a network on labels, from the snapshot `start` or from the initial weights that ranking starts from."""
    preset = experiment.settings.fine_tune_preset(iterations=experiment.settings.short)
    return trained(
        experiment.out / "runs" / run, preset, arch, images, experiment.settings, seed=experiment.seed,
        init=start or _init(experiment, arch),
    )  # fmt: skip


def _init(experiment: Experiment, arch: str) -> str | None:
    """Return --init for the network of the settings; None for other networks, which start from their fillers."""
    return experiment.init if arch == experiment.settings.arch else None


def measured(experiment: Experiment, run: str, model: Scorer, held_out: HeldOut) -> tuple[list[dict], list[dict]]:
    """Return (rows for held-out images, rows for opinions) of a run."""
    folder = experiment.out / "runs" / run
    return held_out_rows(run, model, held_out), opinion_rows(run, model, experiment.opinions, folder)


def mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return mean and standard deviation (with divisor n - 1) of the defined values; None for what is undefined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None, float(np.std(known, ddof=1)) if len(known) > 1 else None
