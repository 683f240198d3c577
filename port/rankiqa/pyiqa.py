"""RankIQA in pyiqa: `rankiqa.pyiqa.register(W)`, then `pyiqa.create_metric("rankiqa")`.

pyiqa is installed by the user and has a licence of its own (non-commercial at the time of writing); nothing of it is
part of this package.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from torch import Tensor, nn

from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.weights import load
from rankiqa.scoring.metric import metric

NAME, TYPE = "rankiqa", "RankIQA"  # of the metric, of its class


class RankIQA(nn.Module):
    """The network behind pyiqa's metric: (N, 3, H, W) RGB in 0..1 -> (N, 1).

    Args:
        path: A weights file; None: the model that comes with the package.
        crops: Random crops an image; None: the network's own number.
        crop_seed: Of the crops' places (pyiqa has a `seed` of its own).
        lower_better: The direction that was given to pyiqa; None: any.

    Raises:
        ValueError: As `rankiqa.metric`; for weights of another direction than pyiqa was given.
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
                f"{path}: expected weights for which {words[lower_better]} is better, as those that were registered; "
                f"got {words[not lower_better]}: register this file under a name of its own"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 1), as pyiqa's metrics return them."""
        return self.metric(x)[:, None]


def register(path: str | os.PathLike | None = None, name: str = NAME) -> None:
    """Make `pyiqa.create_metric(name)` return RankIQA.

    Args:
        path: The weights file of the metric; None: each create_metric gets `path=FILE`, and the metric's
            `lower_better` is None, since pyiqa asks for it before it opens a file (`metric.net.lower_better` has it).
        name: Of the metric; several files are registered under several names.

    Raises:
        ValueError: Where pyiqa is missing or has a metric of this name; as `rankiqa.load`.
    """
    _pyiqa()
    from pyiqa.default_model_configs import DEFAULT_CONFIGS  # pyright: ignore[reportMissingImports]
    from pyiqa.utils.registry import ARCH_REGISTRY  # pyright: ignore[reportMissingImports]

    taken = DEFAULT_CONFIGS.get(name)
    if taken is not None and taken["metric_opts"]["type"] != TYPE:
        raise ValueError(f"name: expected one that pyiqa lacks, got {name!r}")
    meaning = ScoreMeaning() if path is None else load(path).meaning
    options: dict[str, Any] = {"type": TYPE, "lower_better": meaning.lower_is_better}
    if path is not None:
        options["path"] = os.path.abspath(path)
    if TYPE not in ARCH_REGISTRY:
        ARCH_REGISTRY.register()(RankIQA)  # under the name of the class
    span = meaning.score_range
    DEFAULT_CONFIGS[name] = {
        "metric_opts": options,
        "metric_mode": "NR",
        "lower_better": meaning.lower_is_better,
        "score_range": None if span is None else f"~{span[0]:g}, ~{span[1]:g}",
    }


def _pyiqa() -> None:
    """Raise ValueError where pyiqa does not load; it is no extra of this package."""
    try:
        importlib.import_module("pyiqa")
    except (ImportError, OSError) as error:
        got = " ".join(str(error).split())
        raise ValueError(f"rankiqa.pyiqa: expected the package pyiqa (pip install pyiqa), got: {got}") from None
