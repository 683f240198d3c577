"""Siamese training on pairs: random pairs, the hardest of many pairs, and pairs for the contrastive loss.

Shapes: P pairs, 2 P crops; rows 2 k and 2 k + 1 are a pair whose first crop should score higher.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.image_lists import ImageList
from rankiqa.data.order import FAITHFUL, Order, Quirks
from rankiqa.losses import contrastive_loss
from rankiqa.training.batches import TRAIN
from rankiqa.training.presets import RankPreset
from rankiqa.training.tasks import Source
from rankiqa.training.trainer import Trainer


class PairOrder(Order):
    """Minibatches of random pairs. A pair shows two levels of a random photograph and distortion.

    Args:
        images: A list of blocks, in the form for `rankiqa.data.order.RankOrder`.
        groups: The number of distortions in the list.
        levels: The number of levels of each distortion, pristine included.
        pairs: The number of pairs in a minibatch.
        similar: The share of pairs that are two crops of the same image instead.
        seed: The seed of the pairs.
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
                levels = sorted(random.permutation(self.levels)[:2])  # the order of the list is the ranking
                if random.random_sample() < self.similar:
                    levels[1] = levels[0]
                lines += [int(first + level * self.count) for level in levels]
            yield lines


class PairTask:
    """The hinge loss of pairs: their mean, times the pairs per image in a minibatch of the efficient method.

    The original divides its loss by the number of images; with this factor, the gradients of all methods have the same
    scale at the same learning rate.

    Args:
        preset: Levels, distortions and margin. A minibatch has as many images as the preset's.
        pool: The number of pairs is multiplied by this (`HardestPairs` keeps the hardest).
        contrastive: Whether to use the contrastive loss, with half of the pairs similar.
    """

    output_name = "loss"
    measure_names: tuple[str, ...] = ("loss",)
    group = 2

    def __init__(self, preset: RankPreset, *, pool: int = 1, contrastive: bool = False):
        self.preset, self.contrastive, self.pairs = preset, contrastive, pool * (preset.size // 2)
        self.scale = preset.images * (preset.levels - 1) / 2

    def order(self, images: Source, seed: int, quirks: Quirks = FAITHFUL) -> PairOrder:
        """Return random pairs of the list."""
        assert isinstance(images, ImageList)
        similar = 0.5 if self.contrastive else 0.0
        return PairOrder(
            images, groups=self.preset.list_groups, levels=self.preset.levels, pairs=self.pairs, similar=similar,
            seed=seed,
        )  # fmt: skip

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of scores (2 P,), a scalar. Equal labels mark a similar pair."""
        first, second = scores.view(-1, 2).unbind(1)
        if self.contrastive:
            a, b = labels.view(-1, 2).unbind(1)
            return self.scale * contrastive_loss(first[:, None], second[:, None], a != b, margin=self.preset.margin)
        return self.scale * (self.preset.margin - (first - second)).clamp_min(0).mean()

    def measures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return {"loss"}."""
        return {"loss": self.loss(scores, labels).item()}


class HardestPairs(Trainer):
    """A trainer that forwards all pairs of a minibatch and trains on those with the largest losses.

    Source: Simo-Serra et al. 2015, "Discriminative learning of deep convolutional feature point descriptors".
    """

    def forward_backward(self) -> np.float32:
        """Compute the gradients of one iteration from the hardest pairs and return their loss."""
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
