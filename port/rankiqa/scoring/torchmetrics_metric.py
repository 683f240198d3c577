"""The mean score of images as a torchmetrics Metric. Needs the extra `metrics`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankiqa.data.extras import need
from rankiqa.scoring.metric import metric

need("torchmetrics", "metrics", "rankiqa.scoring.torchmetrics_metric")
import torchmetrics  # noqa: E402  # pyright: ignore[reportMissingImports]  an extra


class RankIQA(torchmetrics.Metric):
    """The mean score of all images of its updates.

    Args:
        path: A weights file, or a network from `rankiqa.load`; None: the model in the package.
        crops: Random crops per image; None: the network's own number.
        seed: The seed of the crop positions.
        **options: The options of torchmetrics.Metric (sync_on_compute, ..).

    Raises:
        ValueError: As for `rankiqa.metric`.
    """

    is_differentiable = True
    full_state_update = False
    sum_scores: Tensor
    total: Tensor

    def __init__(
        self,
        path: str | os.PathLike | nn.Module | None = None,
        *,
        crops: int | None = None,
        seed: int = 0,
        **options: Any,
    ):
        super().__init__(**options)
        self.scorer = metric(path, crops=crops, seed=seed)
        # In float64, the sum over a million images keeps its precision.
        self.add_state("sum_scores", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    @property
    def higher_is_better(self) -> bool | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the direction of the scores from the weights file; None if it is unknown."""
        lower = self.scorer.lower_better
        return None if lower is None else not lower

    def update(self, images: Tensor) -> None:
        """Add images, (N, 3, H, W) RGB in 0..1."""
        scores = self.scorer(images)
        self.sum_scores = self.sum_scores + scores.sum(dtype=torch.float64)
        self.total = self.total + len(scores)

    def compute(self) -> Tensor:
        """Return the mean score, float32; nan before the first image."""
        return (self.sum_scores / self.total).float()

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Plot one or several values; return (figure, axes) of matplotlib, as all torchmetrics metrics do."""
        return self._plot(val, ax)
