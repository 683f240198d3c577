"""Measure how well a model orders distorted versions of held-out photographs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import rankiqa
from rankiqa.data.extras import MissingExtra
from rankiqa.data.folders import find_images
from rankiqa.distortions import DATASETS
from rankiqa.models.scorer import Scorer

PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "parity_tests" / "photographs"


@dataclass(frozen=True)
class Version:
    """A scored version of a photograph. Level 0 is the photograph itself; a lower score is better."""

    set: str
    type: str
    photograph: str
    level: int
    score: float


def versions(
    model: Scorer, folder: Path, count: int, crops: int, sets: Sequence[str] = tuple(DATASETS)
) -> tuple[list[Version], list[str]]:
    """Score all types and levels of distortions for the first photographs of a folder.

    Args:
        model: The model.
        folder: The folder with the photographs.
        count: How many photographs are used, in the order of their names.
        crops: The number of random crops per image.
        sets: The names of the distortion tables.

    Returns:
        (the versions, a line for each type that could not be measured).

    Raises:
        ValueError: If there are fewer than 2 photographs.
    """
    paths = sorted(find_images([folder])[0])[:count]
    if len(paths) < 2:
        raise ValueError(f"{folder}: expected 2 photographs or more, got {len(paths)}")
    sign = 1 if model.lower_is_better else -1
    scored, missing = [], {}
    for path in paths:
        image = rankiqa.read_image(path)
        pristine = sign * rankiqa.score(model, image, crops=crops).score
        for name in sets:
            for kind, row in DATASETS[name].items():
                if (name, kind) in missing:
                    continue
                random = np.random.RandomState(zlib.crc32(f"{path.name} {name} {kind}".encode()))
                try:
                    distorted = [
                        rankiqa.distort(image, kind, level + 1, random, name) for level in range(len(row.levels))
                    ]
                except MissingExtra as error:
                    missing[name, kind] = f"{name} {kind}: not measured, {error}"
                    continue
                scores = [sign * rankiqa.score(model, version, crops=crops).score for version in distorted]
                scored += [
                    Version(name, kind, path.name, level, score)
                    for level, score in enumerate([pristine, *scores])
                ]  # fmt: skip
    return scored, list(missing.values())


def landmarks(scored: list[Version]) -> tuple[float, float]:
    """Return the median scores of the photographs themselves and of the worst levels of the set "wild"."""
    wild = [version for version in scored if version.set == "wild"]
    worst = max(version.level for version in wild)
    scores = [[version.score for version in wild if version.level == level] for level in (0, worst)]
    return round(float(np.median(scores[0])), 2), round(float(np.median(scores[1])), 2)


def pairs_right(scored: list[Version]) -> float:
    """Return the share of pairs of levels (of one photograph and type) whose milder level has the better score."""
    groups: dict[tuple[str, str, str], list[Version]] = {}
    for version in scored:
        groups.setdefault((version.set, version.type, version.photograph), []).append(version)
    right = [
        milder.score < worse.score
        for group in groups.values()
        for milder in group
        for worse in group
        if milder.level < worse.level
    ]
    return float(np.mean(right))
