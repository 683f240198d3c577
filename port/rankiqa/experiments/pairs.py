"""Siamese training on pairs: random ones, the hardest of many, and pairs for the contrastive loss.

Shapes: P pairs, 2 P crops; rows 2 k and 2 k + 1 are a pair, the first of which is to score higher.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.lists import ImageList
from rankiqa.data.order import FAITHFUL, Order, Quirks
from rankiqa.losses import contrastive_loss
from rankiqa.training.batches import TRAIN
from rankiqa.training.presets import RankPreset
from rankiqa.training.tasks import Source
from rankiqa.training.trainer import Trainer


class PairOrder(Order):
    """Minibatches of random pairs: each of a random photograph and distortion at two of its levels.

    Args:
        images: A list of blocks, as `rankiqa.data.order.RankOrder` takes it.
        groups: Distortions in the list.
        levels: Of each, pristine included.
        pairs: In a minibatch.
        similar: Share of the pairs that are two crops of one image instead.
        seed: Of the pairs.
    """

    def __init__(self, images: ImageList, *, groups: int, levels: int, pairs: int, similar: float, seed: int):
        super().__init__(images, seed)
        self.groups, self.levels, self.pairs, self.similar = groups, levels, pairs, similar
        self.count = len(images.paths) // groups // levels

    def _lines(self, random: np.random.RandomState) -> Iterator[list[int]]:
        while True:
            lines = []
            for _ in range(self.pairs):
                first = random.randint(self.groups) * self.levels * self.count + random.randint(self.count)
                levels = sorted(random.permutation(self.levels)[:2])  # the list's order is the ranking
                if random.random_sample() < self.similar:
                    levels[1] = levels[0]
                lines += [int(first + level * self.count) for level in levels]
            yield lines


class PairTask:
    """The hinge loss of pairs: their mean, times the pairs per image of the efficient method's minibatch.

    That factor is the original's division by images, so all methods have gradients of one size at one rate.

    Args:
        preset: Levels, distortions, margin; a minibatch has as many images as its own.
        pool: So many times the pairs are drawn (of which `HardestPairs` keeps the hardest).
        contrastive: Whether the loss is the contrastive one, half of the pairs being similar.
    """

    output_name = "loss"
    measure_names: tuple[str, ...] = ("loss",)
    group = 2

    def __init__(self, preset: RankPreset, *, pool: int = 1, contrastive: bool = False):
        self.preset, self.contrastive, self.pairs = preset, contrastive, pool * (preset.size // 2)
        self.scale = preset.images * (preset.levels - 1) / 2

    def order(self, images: Source, seed: int, quirks: Quirks = FAITHFUL) -> PairOrder:
        """Random pairs of the list."""
        assert isinstance(images, ImageList)
        similar = 0.5 if self.contrastive else 0.0
        return PairOrder(
            images, groups=self.preset.list_groups, levels=self.preset.levels, pairs=self.pairs, similar=similar,
            seed=seed,
        )  # fmt: skip

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Of scores (2 P,), a scalar; labels tell which pairs are similar."""
        first, second = scores.view(-1, 2).unbind(1)
        if self.contrastive:
            a, b = labels.view(-1, 2).unbind(1)
            return self.scale * contrastive_loss(first[:, None], second[:, None], a != b, margin=self.preset.margin)
        return self.scale * (self.preset.margin - (first - second)).clamp_min(0).mean()

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """{"loss"}."""
        return {"loss": self.loss(scores, labels).item()}


class HardestPairs(Trainer):
    """Forwards all pairs of a minibatch, and trains on those with the largest losses.

    Source: Simo-Serra et al. 2015, "Discriminative learning of deep convolutional feature point descriptors".
    """

    def forward_backward(self) -> np.float32:
        """Compute one iteration's gradients from the hardest pairs; returns their loss."""
        assert isinstance(self.preset, RankPreset)
        self.optimizer.zero_grad()
        crops, labels = self._next(TRAIN)
        self.forward.train_mode()
        with torch.no_grad(), self.forward.running():
            first, second = self.forward(crops).view(-1, 2).unbind(1)
        hardest = (first - second).argsort()[: self.preset.size // 2]
        rows = torch.stack((2 * hardest, 2 * hardest + 1), 1).flatten()
        with self.forward.running():
            loss = self.task.loss(self.forward(crops[rows]), labels[rows])
            loss.backward()
        self.last_output = np.float32(loss.item())
        return self.last_output
