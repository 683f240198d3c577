"""Training tasks, which define the minibatches, the loss and the measures of a test phase.

Shapes: N crops in a minibatch; scores and labels are (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Union

import numpy as np
from torch import Tensor

from rankiqa.data.image_lists import ImageList
from rankiqa.data.order import FineTuneOrder, Order, Quirks, RankOrder
from rankiqa.losses import (
    euclidean_loss,
    fidelity_pairs,
    fidelity_ranking_loss,
    pair_ranking_loss,
    pristine_ranking_loss,
)
from rankiqa.metrics import lcc, srocc
from rankiqa.models.score_meaning import MEANINGS
from rankiqa.ranked_sets.on_the_fly import DistortedOrder, PristinePhotographs
from rankiqa.training.presets import FineTunePreset, Preset, RankPreset
from rankiqa.training.recipe import ALL_TYPES, BY_VIF, ORIGINAL, SAME_IMAGE, Recipe

Source = Union[ImageList, PristinePhotographs]  # a source of minibatches


class Task(Protocol):
    """The interface of a task that the trainer uses.

    Attributes:
        output_name: The name of the loss in Caffe's net, for the log.
        measure_names: The keys of `measures`.
        group: The number of crops that one process must compute together.
    """

    output_name: str
    group: int
    measure_names: tuple[str, ...]

    def order(self, images: Source, seed: int, quirks: Quirks) -> Order:
        """Return the sampler of minibatches. Raises ValueError for an unsuitable list."""
        ...

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a minibatch, a scalar."""
        ...

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return the measures of a minibatch for the test phase, in the order in which Caffe prints them."""
        ...


class RankTask:
    """The ranking task, with the pair ranking loss over the levels of each distortion.

    With the pairs "vif", the labels are the fidelities of the crops. Otherwise the labels are not used.
    """

    output_name = "loss"
    measure_names: tuple[str, ...] = ("loss",)

    def __init__(self, preset: RankPreset, recipe: Recipe = ORIGINAL):
        self.preset, self.recipe = preset, recipe
        self.group = preset.levels * preset.images
        self.pristine_first = not MEANINGS[preset.net].lower_is_better
        if recipe.pristine_above >= preset.levels:
            raise ValueError(f"pristine_above: expected a level, 1..{preset.levels - 1}, got {recipe.pristine_above}")

    def order(self, images: Source, seed: int, quirks: Quirks) -> RankOrder | DistortedOrder:
        """Return the sampler for minibatches of `groups` distortions, `levels` levels and `images` images."""
        p = self.preset
        if self.recipe.pairs == BY_VIF and not (isinstance(images, PristinePhotographs) and images.choice.fidelity):
            raise ValueError(
                f"pairs: vif expects photographs that are distorted on the fly (--distort), got {images.name}"
            )
        if isinstance(images, PristinePhotographs):
            return DistortedOrder(
                images, groups=p.groups, levels=p.levels, per_level=p.images, pristine_first=self.pristine_first,
                seed=seed,
            )  # fmt: skip
        return RankOrder(
            images, list_groups=p.list_groups, groups=p.groups, levels=p.levels, per_level=p.images, seed=seed,
            quirks=quirks,
        )  # fmt: skip

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the pair ranking loss, plus the loss of pairs across distortions for the pairs "all" and "vif"."""
        p, pairs = self.preset, self.recipe.pairs
        sizes = {"distortions": p.groups, "levels": p.levels, "images": p.images}
        if pairs == SAME_IMAGE:  # treat each photograph like a separate distortion
            scores = scores.view(p.groups, p.levels, p.images).transpose(1, 2).reshape(-1)
            sizes |= {"distortions": p.groups * p.images, "images": 1}
        loss = pair_ranking_loss(scores, **sizes, margin=p.margin)
        count = sizes["distortions"] * p.levels * (p.levels - 1) // 2 * sizes["images"] ** 2
        if pairs == ALL_TYPES:
            ranked = scores
            if not self.pristine_first:  # reverse the ranking, so that pristine comes first and higher is better
                ranked = -scores.view(p.groups, p.levels, p.images).flip(1).reshape(-1)
            above = self.recipe.pristine_above
            loss = loss + pristine_ranking_loss(ranked, **sizes, margin=p.margin, above=above)
            count += p.groups * (p.groups - 1) * p.images**2 * (p.levels - above)
        if pairs == BY_VIF:
            better, gap = scores if self.pristine_first else -scores, self.recipe.vif_gap
            across = fidelity_ranking_loss(better, labels, distortions=p.groups, margin=p.margin, gap=gap)
            loss = loss + across
            count += int(fidelity_pairs(labels, distortions=p.groups, gap=gap).sum())
        return loss if self.recipe.loss_mean == "images" else loss * (scores.numel() / count)

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return {"loss": the loss}."""
        return {"loss": self.loss(scores, labels).item()}


class FineTuneTask:
    """The fine-tuning task, with the Euclidean loss between scores and labels."""

    output_name = "loss2"
    group = 1
    measure_names: tuple[str, ...] = ("pearsonr", "spearmanr")

    def __init__(self, preset: FineTunePreset, recipe: Recipe = ORIGINAL):
        self.preset = preset
        if (recipe.pairs, recipe.loss_mean) != (ORIGINAL.pairs, ORIGINAL.loss_mean):
            raise ValueError(f"pairs, loss_mean: expected a preset of ranking, got {preset.name}")

    def order(self, images: Source, seed: int, quirks: Quirks) -> FineTuneOrder:
        """Return the sampler that goes through permutations of the list."""
        p = self.preset
        if isinstance(images, PristinePhotographs):
            raise ValueError(f"{images.name}: expected a list of images with opinions for {p.name}, got photographs")
        return FineTuneOrder(images, batch=p.batch, sort_by_label=p.sort_by_label, seed=seed, quirks=quirks)

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the Euclidean loss."""
        return euclidean_loss(scores, labels)

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return {"pearsonr": LCC, "spearmanr": SROCC}."""
        ours, theirs = scores.cpu().numpy(), labels.cpu().numpy()
        # CAFFE: the outputs of a net are printed in the order of their names (net.cpp)
        return {"pearsonr": _or_nan(lcc, ours, theirs), "spearmanr": _or_nan(srocc, ours, theirs)}


def _or_nan(measure: Callable[..., float], scores: np.ndarray, labels: np.ndarray) -> float:
    try:
        return measure(scores, labels)
    except ValueError:  # CAFFE: scipy returns nan for equal scores, and training continues (upstream's layers_ft)
        return float("nan")


def task_of(preset: Preset, recipe: Recipe = ORIGINAL) -> Task:
    """Return the task of a preset. Raises ValueError if the recipe does not suit it."""
    return RankTask(preset, recipe) if isinstance(preset, RankPreset) else FineTuneTask(preset, recipe)
