"""RankIQA as a metric of pyiqa: call `rankiqa.pyiqa.register(W)`, then `pyiqa.create_metric("rankiqa")`.

Users install pyiqa themselves. It has its own licence (non-commercial at the time of writing), and this package
contains no part of it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from torch import Tensor, nn

from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.weights import load
from rankiqa.scoring.metric import metric

NAME, TYPE = "rankiqa", "RankIQA"  # the names of the metric and of its class


class RankIQA(nn.Module):
    """The network that pyiqa's metric runs: (N, 3, H, W) RGB in 0..1 -> (N, 1).

    Args:
        path: A weights file, or None for the model that is part of the package.
        crops: Random crops per image, or None for the network's own number.
        crop_seed: Seed of the crop positions (pyiqa has its own `seed`).
        lower_better: The direction registered with pyiqa, or None to accept either.

    Raises:
        ValueError: As for `rankiqa.metric`; also if the weights' direction differs from the registered one.
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        crops: int | None = None,
        crop_seed: int = 0,
        lower_better: bool | None = None,
    ):
        super().__init__()
        self.metric = metric(path, crops=crops, seed=crop_seed)
        self.lower_better, self.score_range = self.metric.lower_better, self.metric.score_range
        if lower_better is not None and self.lower_better not in (None, lower_better):
            words = {True: "lower", False: "higher"}
            raise ValueError(
                f"{path}: expected weights for which {words[lower_better]} is better, like the registered ones, "
                f"got {words[not lower_better]}: register this file under another name"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, 1), the shape that pyiqa's metrics return."""
        return self.metric(x)[:, None]


def register(path: str | os.PathLike | None = None, name: str = NAME) -> None:
    """Make `pyiqa.create_metric(name)` return RankIQA.

    Args:
        path: The metric's weights file. If None, pass `path=FILE` to each create_metric. The metric's `lower_better`
            is then None, since pyiqa reads it before the file is opened; `metric.net.lower_better` has the value.
        name: The metric's name; register several files under different names.

    Raises:
        ValueError: If pyiqa is missing or already has a metric of this name; also as for `rankiqa.load`.
    """
    _pyiqa()
    from pyiqa.default_model_configs import DEFAULT_CONFIGS  # pyright: ignore[reportMissingImports]
    from pyiqa.utils.registry import ARCH_REGISTRY  # pyright: ignore[reportMissingImports]

    existing = DEFAULT_CONFIGS.get(name)
    if existing is not None and existing["metric_opts"]["type"] != TYPE:
        raise ValueError(f"name: expected a name that pyiqa does not use, got {name!r}")
    meaning = ScoreMeaning() if path is None else load(path).meaning
    options: dict[str, Any] = {"type": TYPE, "lower_better": meaning.lower_is_better}
    if path is not None:
        options["path"] = os.path.abspath(path)
    if TYPE not in ARCH_REGISTRY:
        ARCH_REGISTRY.register()(RankIQA)  # registers under the class name
    span = meaning.score_range
    DEFAULT_CONFIGS[name] = {
        "metric_opts": options,
        "metric_mode": "NR",
        "lower_better": meaning.lower_is_better,
        "score_range": None if span is None else f"~{span[0]:g}, ~{span[1]:g}",
    }


def _pyiqa() -> None:
    """Raise ValueError if pyiqa does not import. It is not an extra of this package."""
    try:
        importlib.import_module("pyiqa")
    except (ImportError, OSError) as error:
        got = " ".join(str(error).split())
        raise ValueError(f"rankiqa.pyiqa: expected the package pyiqa (pip install pyiqa), got: {got}") from None
