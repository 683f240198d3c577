"""The meaning of a score: its training data set, direction and range. This module does not import torch.

The metadata of a weights file contains it (keys below). A file without it loads, and the meaning is then unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from rankiqa.data.json_text import parse_json

RANKED, FINE_TUNED = "ranked", "fine-tuned"
KEYS = ("dataset", "task", "lower_is_better", "score_range", "landmarks", "about")


@dataclass(frozen=True)
class ScoreMeaning:
    """The meaning of a network's score. A field is None if it is unknown.

    Attributes:
        dataset: The training data set: "live", "tid2013" or another name.
        task: "ranked" (the score orders images and has no unit) or "fine-tuned" (it predicts opinions).
        lower_is_better: Whether a lower score means better quality.
        score_range: The range of the opinions, (lowest, highest); None for a ranked network.
        landmarks: The median scores of pristine photographs and of their worst levels, measured on photographs that
            were not used for training.
        about: A description of the training data and their licences.
    """

    dataset: str | None = None
    task: str | None = None
    lower_is_better: bool | None = None
    score_range: tuple[float, float] | None = None
    landmarks: tuple[float, float] | None = None
    about: str | None = None

    @property
    def direction(self) -> str:
        """The direction in words, as printed by the commands."""
        if self.lower_is_better is None:
            return "direction not known (the weights file does not say)"
        return "lower is better" if self.lower_is_better else "higher is better"

    def __str__(self) -> str:
        parts = [self.direction]
        if self.score_range is not None:
            parts.append("about {:g}..{:g}".format(*self.score_range))
        elif self.task == RANKED:
            parts.append("no unit: the score only orders images")
        if self.landmarks is not None:
            parts.append("pristine photographs score about {:.1f} and the worst about {:.1f}".format(*self.landmarks))
        if self.task or self.dataset:
            parts.append(" on ".join(filter(None, (self.task, self.dataset))))
        return ", ".join(parts)

    def metadata(self) -> dict[str, str]:
        """Return the entries for a weights file's metadata, without unknown fields."""
        values = {key: getattr(self, key) for key in KEYS}
        return {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
            if value is not None
        }


# Upstream's four nets. Ranked on LIVE, the labels fall from distorted to pristine, so the score rises with degradation.
# Ranked on TID2013, the pristine image comes first, so the score rises with quality (upstream's list generators).
MEANINGS = {
    "live-rank": ScoreMeaning("live", RANKED, lower_is_better=True),
    "live-ft": ScoreMeaning("live", FINE_TUNED, lower_is_better=True, score_range=(0.0, 100.0)),
    "tid2013-rank": ScoreMeaning("tid2013", RANKED, lower_is_better=False),
    "tid2013-ft": ScoreMeaning("tid2013", FINE_TUNED, lower_is_better=False, score_range=(0.0, 9.0)),
}


def from_metadata(metadata: Mapping[str, str]) -> ScoreMeaning:
    """Read the meaning from a weights file's metadata. Raises ValueError for a malformed value."""
    lower = metadata.get("lower_is_better")
    if lower not in (None, "true", "false"):
        raise ValueError(f"lower_is_better: expected true or false, got {lower!r}")
    score_range = _pair(metadata, "score_range", "[lowest, highest]")
    if score_range and score_range[0] >= score_range[1]:
        raise ValueError(f"score_range: expected [lowest, highest], got {metadata['score_range']!r}")
    landmarks = _pair(metadata, "landmarks", "[pristine, worst]")
    task = metadata.get("task")
    if task not in (None, RANKED, FINE_TUNED):
        raise ValueError(f"task: expected {RANKED} or {FINE_TUNED}, got {task!r}")
    dataset = metadata.get("dataset")
    if dataset is not None and not (dataset and dataset.isprintable()):  # it is printed on one line
        raise ValueError(f"dataset: expected a name, got {dataset!r}")
    return ScoreMeaning(
        dataset, task, None if lower is None else lower == "true", score_range, landmarks,
        metadata.get("about"),
    )  # fmt: skip


def _pair(metadata: Mapping[str, str], key: str, form: str) -> tuple[float, float] | None:
    text = metadata.get(key)
    if text is None:
        return None
    try:
        first, second = parse_json(text)
        pair = float(first), float(second)
    except (ValueError, TypeError, OverflowError):
        pair = None
    if pair is None or not all(map(math.isfinite, pair)):
        raise ValueError(f"{key}: expected {form}, two finite numbers, got {text!r}")
    return pair
