"""The inputs of every experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankiqa.experiments.budgets import Settings
from rankiqa.experiments.measures import Opinions
from rankiqa.experiments.ranked_data import RankedData


@dataclass(frozen=True)
class Experiment:
    """An experiment to run.

    Attributes:
        out: The folder of the experiment.
        settings: The size of the experiment.
        data: The photographs and their ranked set.
        seed: The seed of split, weights, minibatches and crops.
        init: Initial weights of the network; None: its fillers.
        opinions: A list to measure the networks on.
        say: Called with lines about the progress.
    """

    out: Path
    settings: Settings
    data: RankedData
    seed: int
    init: str | None
    opinions: Opinions | None
    say: Callable[[str], object]
