"""Measure how well a network orders images: held-out images by their levels, and images with opinions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.image_check import check_images
from rankiqa.data.image_lists import ImageList
from rankiqa.data.json_text import parse_json
from rankiqa.evaluation.agreement import Bootstrap
from rankiqa.evaluation.evaluation import Settings as EvaluationSettings
from rankiqa.evaluation.evaluation import evaluate
from rankiqa.evaluation.rated_images import RatedImages, read
from rankiqa.evaluation.scored_images import ScoredImage, score_images
from rankiqa.experiments.chosen_photographs import LEAST_SIDE
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.models.scorer import Scorer

RESAMPLES = 500
OPINIONS_CAPTION = (
    "Agreement with opinions, with 95% intervals. A higher score means more distortion. The correlation is therefore "
    "negative with opinions for which higher is better (MOS) and positive with others (DMOS)."
)
OPINION_COLUMNS = ("run", "type", "n", "srocc", "srocc_low", "srocc_high", "lcc", "lcc_low", "lcc_high")


@dataclass(frozen=True)
class Opinions:
    """A list of images with opinions.

    Attributes:
        images: The list.
        crops: The number of crops per score.
        seed: The seed of the crops.
    """

    images: RatedImages
    crops: int
    seed: int

    @classmethod
    def of(cls, path: str | None, root: str, crops: int, seed: int) -> Opinions | None:
        """Read the list of --opinions and check its images; return None without one.

        Raises:
            ValueError: The file has another form, images cannot be scored, or all opinions are equal.
        """
        if path is None:
            return None
        images = read(path, root)
        labels = [image.label for image in images.images]
        if len(labels) < 2 or min(labels) == max(labels):
            got = f"{len(labels)} image{'s' * (len(labels) != 1)}, all with the opinion {labels[0]:g}"
            raise ValueError(f"{path}: expected at least 2 images with different opinions, got {got}")
        listed = ImageList(str(path), tuple(image.path for image in images.images), np.array(labels), images.sha256)
        try:
            check_images([listed], LEAST_SIDE - 1)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return cls(images, crops, seed)

    @property
    def digest(self) -> str:
        """Return a digest of everything besides the network that determines the scores: images (whatever --root),
        crops, seed."""
        rows = [(asdict(image), os.path.getsize(image.path)) for image in self.images.images]
        return hashlib.sha256(json.dumps([rows, self.crops, self.seed]).encode()).hexdigest()[:16]


def held_out_rows(run: str, model: Scorer, held_out: HeldOut) -> list[dict]:
    """Return rows that describe the agreement between the scores of held-out images and their levels."""
    scores = held_out.scores(model)
    images = [
        ScoredImage(path, label, kind, name, float(score))
        for path, label, kind, name, score in zip(
            held_out.images.paths, held_out.images.labels, held_out.types, held_out.names, scores, strict=True
        )
    ]
    return _rows(run, images)


def opinion_rows(run: str, model: Scorer, opinions: Opinions | None, folder: Path) -> list[dict]:
    """Return rows that describe the agreement with opinions, which are stored in the run's folder; [] without a list.

    Raises:
        ValueError: Fewer than two images can be scored.
    """
    if opinions is None:
        return []
    path = folder / f"opinions_{opinions.digest}.json"
    if path.exists():
        return parse_json(path.read_bytes())
    images = list(score_images(model, opinions.images.images, crops=opinions.crops, seed=opinions.seed))
    rows = _rows(run, images)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def _rows(run: str, images: Sequence[ScoredImage]) -> list[dict]:
    """Return a row for all images and one for each type."""
    summary = evaluate(images, EvaluationSettings(bootstrap=Bootstrap(RESAMPLES))).summary
    rows = []
    for kind, row in {"all": summary, **summary["by_type"]}.items():
        bounds = row.get("intervals", {})
        cells = {"run": run, "type": kind, "n": row["n"]}
        for name in ("srocc", "lcc"):
            low, high = bounds.get(name, (None, None))
            cells |= {name: row[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(cells)
    return rows
