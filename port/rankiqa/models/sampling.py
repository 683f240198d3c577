"""Where a network's score comes from: how many crops, of which sizes of the image. Without torch.

A weights file may carry it in its metadata (keys below); one that does not is scored as the original does.
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
    """How an image is scored where its caller does not say otherwise.

    Attributes:
        crops: Random crops an image, shared by the sizes.
        reductions: The sizes that they are taken from: 1 is the image itself, k the means of its k x k squares, rounded
            to whole numbers, also for a k that is none. One that would leave no room for a crop is replaced by the
            largest that does.
        least_side: An image of this side or more that is not larger than the crop is continued by its mirror image;
            None: it is refused, as by the original.
        longest_side: A larger image is first reduced by the smallest whole number that brings it to this; None: never.

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
        """The entries of a weights file's metadata that differ from the original's."""
        values = {key: getattr(self, key) for key in KEYS if getattr(self, key) != getattr(ORIGINAL, key)}
        return {key: json.dumps(value) for key, value in values.items()}


ORIGINAL = Sampling()


def sampling_of_network(model: Any) -> Sampling:
    """A network's own; the original's of a module that says nothing of it."""
    return getattr(model, "sampling", ORIGINAL)


def sampling_of(metadata: Mapping[str, str]) -> Sampling:
    """What a weights file's metadata states. Raises ValueError for a value of another form."""
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
