"""What every experiment is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankiqa.experiments.measures import Opinions
from rankiqa.experiments.ranked_data import RankedData
from rankiqa.experiments.settings import Settings


@dataclass(frozen=True)
class Experiment:
    """An experiment to be run.

    Attributes:
        out: Its folder.
        settings: Its size.
        data: Photographs and their ranked set.
        seed: Of split, weights, minibatches and crops.
        init: Initial weights of the network; None: its fillers.
        opinions: A list to measure the networks on.
        say: Takes a line now and then.
    """

    out: Path
    settings: Settings
    data: RankedData
    seed: int
    init: str | None
    opinions: Opinions | None
    say: Callable[[str], object]
