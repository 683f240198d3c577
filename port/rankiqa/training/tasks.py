"""What is trained: which minibatches, which loss, which measures of a test phase.

Shapes: N crops in a minibatch; scores and labels are (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

from rankiqa.data.lists import ImageList
from rankiqa.data.order import FineTuneOrder, Order, Quirks, RankOrder
from rankiqa.losses import euclidean_loss, pair_ranking_loss
from rankiqa.metrics import lcc, srocc
from rankiqa.training.presets import FineTunePreset, Preset, RankPreset


class Task(Protocol):
    """What the trainer needs to know of a task.

    Attributes:
        output_name: Name of the loss in Caffe's net, for the log.
        measure_names: The keys of `measures`.
    """

    output_name: str
    measure_names: tuple[str, ...]

    def order(self, images: ImageList, seed: int, quirks: Quirks) -> Order:
        """Which lines of a list each minibatch takes. Raises ValueError for a list that does not fit."""
        ...

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of a minibatch, a scalar."""
        ...

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """What a test phase reports of a minibatch, in the order in which Caffe prints it."""
        ...


class RankTask:
    """Ranking: the pair loss over the levels of each distortion; labels are not used."""

    output_name = "loss"
    measure_names: tuple[str, ...] = ("loss",)

    def __init__(self, preset: RankPreset):
        self.preset = preset

    def order(self, images: ImageList, seed: int, quirks: Quirks) -> RankOrder:
        """Lines of `groups` distortions, `levels` levels and `images` images."""
        p = self.preset
        return RankOrder(
            images, list_groups=p.list_groups, groups=p.groups, levels=p.levels, per_level=p.images, seed=seed,
            quirks=quirks,
        )  # fmt: skip

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The pair ranking loss."""
        p = self.preset
        return pair_ranking_loss(scores, distortions=p.groups, levels=p.levels, images=p.images, margin=p.margin)

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """{"loss"}."""
        return {"loss": self.loss(scores, labels).item()}


class FineTuneTask:
    """Fine-tuning: the Euclidean loss to the labels."""

    output_name = "loss2"
    measure_names: tuple[str, ...] = ("pearsonr", "spearmanr")

    def __init__(self, preset: FineTunePreset):
        self.preset = preset

    def order(self, images: ImageList, seed: int, quirks: Quirks) -> FineTuneOrder:
        """A permutation of the list, minibatch by minibatch."""
        p = self.preset
        return FineTuneOrder(images, batch=p.batch, sort_by_label=p.sort_by_label, seed=seed, quirks=quirks)

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The Euclidean loss."""
        return euclidean_loss(scores, labels)

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """{"pearsonr", "spearmanr"}."""
        ours, theirs = scores.cpu().numpy(), labels.cpu().numpy()
        # CAFFE: a net's outputs are printed in the order of their names (net.cpp)
        return {"pearsonr": _or_nan(lcc, ours, theirs), "spearmanr": _or_nan(srocc, ours, theirs)}


def _or_nan(measure: Callable[..., float], scores: np.ndarray, labels: np.ndarray) -> float:
    try:
        return measure(scores, labels)
    except ValueError:  # CAFFE: scipy's nan for scores that are all equal; the training goes on (upstream's layers_ft)
        return float("nan")


def task_of(preset: Preset) -> Task:
    """The task of a preset."""
    return RankTask(preset) if isinstance(preset, RankPreset) else FineTuneTask(preset)
