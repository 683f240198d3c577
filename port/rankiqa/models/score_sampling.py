"""How a network samples an image for its score: the number of crops and the image sizes. Does not import torch.

The metadata of a weights file may contain these settings (keys below). Without them, the original's settings apply.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankiqa.data.json_text import parse_json

CROPS = 30  # upstream's Num_Patch
MOST_CROPS = 100_000
KEYS = ("crops", "reductions", "least_side", "longest_side")


@dataclass(frozen=True)
class Sampling:
    """The default settings for scoring an image.

    Attributes:
        crops: Random crops per image, divided among the sizes.
        reductions: The factors by which the image is reduced before crops are taken. 1 is the image itself; k averages
            k x k squares (k need not be whole) and rounds to whole values. A factor that leaves no room for a crop is
            replaced by the largest factor that does.
        least_side: An image with sides of at least this size that is not larger than the crop is extended by its mirror
            image. None: such an image is refused, as in the original.
        longest_side: A larger image is first reduced by the smallest whole factor that brings it down to this side.
            None: images are never reduced first.

    Raises:
        ValueError: For a value out of range.
    """

    crops: int = CROPS
    reductions: tuple[float, ...] = (1,)
    least_side: int | None = None
    longest_side: int | None = None

    def __post_init__(self) -> None:
        sides = [side for side in (self.least_side, self.longest_side) if side is not None]
        whole = all(type(number) is int and number >= 1 for number in (self.crops, *sides)) and self.crops <= MOST_CROPS
        sizes = all(type(by) in (int, float) and 1 <= by < math.inf for by in self.reductions)
        if not (self.reductions and whole and sizes):
            raise ValueError(
                f"sampling: expected whole numbers, 1 or more (crops: {MOST_CROPS} at most; reductions: numbers), got "
                f"{', '.join(f'{key} {getattr(self, key)}' for key in KEYS)}"
            )

    def metadata(self) -> dict[str, str]:
        """Return the entries for a weights file's metadata: the settings that differ from the original's."""
        values = {key: getattr(self, key) for key in KEYS if getattr(self, key) != getattr(ORIGINAL, key)}
        return {key: json.dumps(value) for key, value in values.items()}


ORIGINAL = Sampling()


def sampling_of_network(model: Any) -> Sampling:
    """Return a network's own settings, or the original's if the module has none."""
    return getattr(model, "sampling", ORIGINAL)


def sampling_of(metadata: Mapping[str, str]) -> Sampling:
    """Read the settings from a weights file's metadata. Raises ValueError for a malformed value."""
    values = {}
    for key in filter(metadata.__contains__, KEYS):
        try:
            value = parse_json(metadata[key])
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return Sampling(**values)
    except TypeError:
        raise ValueError(f"reductions: expected a list of numbers, got {metadata['reductions']!r}") from None
