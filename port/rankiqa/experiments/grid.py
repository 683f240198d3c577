"""Many short trainings by ranking and fine-tuning, each measured on images whose photographs it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankiqa.data.lists import ImageList
from rankiqa.experiments.experiment import Experiment
from rankiqa.experiments.held_out import HeldOut
from rankiqa.experiments.measures import held_out_rows, opinion_rows
from rankiqa.experiments.settings import LEVELS
from rankiqa.experiments.training_runs import trained
from rankiqa.models.scorer import Scorer
from rankiqa.training import snapshots


def rank(
    experiment: Experiment, run: str, arch: str, photographs: Sequence[str], levels: int = LEVELS
) -> tuple[Scorer, str]:
    """A network trained by ranking: (the network, its snapshot).

    Args:
        experiment: Gives data, settings and seed.
        run: Name of the run, and of its list.
        arch: The network.
        photographs: Names of those to train on.
        levels: Of each distortion, pristine included.
    """
    folder, settings = experiment.out / "runs" / run, experiment.settings
    images = experiment.data.list_of(run, list(photographs), levels)
    preset = settings.rank_preset(iterations=settings.short, levels=levels)
    model = trained(folder, preset, arch, images, settings, seed=experiment.seed, init=_init(experiment, arch))
    last = snapshots.latest(folder, preset.name)
    assert last is not None
    return model, str(last)


def fine_tune(experiment: Experiment, run: str, arch: str, images: ImageList, start: str | None) -> Scorer:
    """A network trained on labels, from a snapshot or from where ranking began, too."""
    preset = experiment.settings.fine_tune_preset(iterations=experiment.settings.short)
    return trained(
        experiment.out / "runs" / run, preset, arch, images, experiment.settings, seed=experiment.seed,
        init=start or _init(experiment, arch),
    )  # fmt: skip


def _init(experiment: Experiment, arch: str) -> str | None:
    """--init is of the network of the settings; other networks start from their fillers."""
    return experiment.init if arch == experiment.settings.arch else None


def measured(experiment: Experiment, run: str, model: Scorer, held_out: HeldOut) -> tuple[list[dict], list[dict]]:
    """(rows on held-out images, rows on opinions) of a run."""
    folder = experiment.out / "runs" / run
    return held_out_rows(run, model, held_out), opinion_rows(run, model, experiment.opinions, folder)


def mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n - 1 in the divisor) of the values that are defined; None where there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None, float(np.std(known, ddof=1)) if len(known) > 1 else None
