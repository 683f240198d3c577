"""Evaluation: the measures of scored images, over all images and for each distortion type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rankiqa.datasets.data_set import some
from rankiqa.evaluation.agreement import MEASURES, Agreement, Bootstrap, intervals, measure, resampling_unit
from rankiqa.evaluation.scored_images import ScoredImage
from rankiqa.evaluation.split_measures import over_splits
from rankiqa.metrics import NAMES, LogisticFit


@dataclass(frozen=True)
class Settings:
    """The settings of the measures.

    Attributes:
        parameters: The number of parameters of the logistic function: 4 (VQEG) or 5 (Sheikh et al.).
        bootstrap: The settings of the intervals.
        splits: The number of random splits by reference; 0: none.
        seed: The seed of the first split.
    """

    parameters: int = 4
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    splits: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measures of scores against opinions.

    Attributes:
        images: The images with a score.
        errors: The images without a score.
        overall: The measures over all images.
        by_type: {distortion type: measures}, types in alphabetical order; empty if the types are unknown.
        summary: The content of `rankiqa evaluate --json`.
    """

    images: tuple[ScoredImage, ...]
    errors: tuple[ScoredImage, ...]
    overall: Agreement
    by_type: dict[str, Agreement]
    summary: dict

    @property
    def fit(self) -> LogisticFit | None:
        """Return the logistic function that is fitted to all images."""
        return self.overall.fit


def evaluate(
    images: Sequence[ScoredImage],
    settings: Settings | None = None,
    *,
    lower_is_better: bool | None = None,
    label_lower_is_better: bool | None = None,
) -> Evaluation:
    """Measure how well the scores of images agree with opinions.

    Scores and labels are correlated without a change of sign. If one falls with quality and the other rises, the
    correlations of a good network are negative.

    Args:
        images: Images with a score or an error. Images with an error are left out of every measure.
        settings: Logistic function, intervals and splits; None: the defaults.
        lower_is_better: Whether a lower score means better quality; None: unknown.
        label_lower_is_better: Whether a lower label means better quality; None: unknown.

    Returns:
        The evaluation.

    Raises:
        ValueError: Fewer than 2 images have a score, or splits are requested but impossible.
    """
    settings = settings or Settings()
    scored = tuple(image for image in images if image.score is not None)
    errors = tuple(image for image in images if image.score is None)
    if len(scored) < 2:
        first = f", the first error: {errors[0].path}: {errors[0].error}" if errors else ""
        raise ValueError(f"expected scores of at least 2 images, got {len(scored)} of {len(images)}{first}")
    scores, labels = arrays(scored)
    references = [image.reference for image in scored]
    overall = measure(scores, labels, settings.parameters)
    summary = {
        **overall.json(),
        "by_type": {},
        "lower_is_better": lower_is_better,
        "label_lower_is_better": label_lower_is_better,
        "logistic": describe_fit(overall.fit, settings.parameters),
        "of_medians": of_medians(scored),
    }
    remarks = [*overall.remarks, *_direction_remarks(overall, lower_is_better, label_lower_is_better)]
    if repeated := [path for path, times in Counter(image.path for image in images).items() if times > 1]:
        remarks.append(f"listed more than once and counted each time: {some(repeated)}")
    by_type: dict[str, Agreement] = {}
    for name in sorted({image.type for image in scored if image.type}):
        of_type = np.array([image.type == name for image in scored])
        by_type[name] = measure(scores[of_type], labels[of_type], settings.parameters)
        row = by_type[name].json()
        if settings.bootstrap.resamples:
            chosen = [reference for reference, this in zip(references, of_type, strict=True) if this]
            row["intervals"] = intervals(scores[of_type], labels[of_type], chosen, settings.bootstrap)
        summary["by_type"][name] = row
    if settings.bootstrap.resamples:
        bounds = intervals(scores, labels, references, settings.bootstrap, overall.fit)
        summary["intervals"] = bounds
        summary["bootstrap"] = {
            "resamples": settings.bootstrap.resamples,
            "by": resampling_unit(references),
            "confidence": settings.bootstrap.confidence,
            "seed": settings.bootstrap.seed,
        }
    if settings.splits:
        summary["splits"] = over_splits(scores, labels, references, settings.splits, settings.seed, settings.parameters)
        if summary["splits"]["by"] == "image":
            remarks.append("splits are by image: no references are known")
    if errors:
        summary["errors"] = [{"path": image.path, "error": image.error} for image in errors]
        remarks.append(f"{len(errors)} of {len(images)} images have no score and are left out")
    summary["remarks"] = remarks
    return Evaluation(scored, errors, overall, by_type, summary)


def arrays(images: Sequence[ScoredImage]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels, float64 (n,) each. Every image must have a score."""
    return np.array([image.score for image in images], np.float64), np.array([image.label for image in images])


def describe_fit(fit: LogisticFit | None, parameters: int) -> dict:
    """Return {"parameters": number, "function": name, "values": b1, b2 .. or None if there is no fit}."""
    return {
        "parameters": parameters,
        "function": NAMES[parameters],
        "values": None if fit is None else list(fit.parameters),
    }


def of_medians(images: Sequence[ScoredImage]) -> dict[str, float | None]:
    """Return SROCC and LCC of the crops' medians, which upstream prints, too; None if a median is missing."""
    medians = [image.median for image in images]
    if any(median is None for median in medians):
        return {"srocc": None, "lcc": None}
    values = measure(np.array(medians, np.float64), arrays(images)[1]).values
    return {name: values[name] for name in ("srocc", "lcc")}


def _direction_remarks(overall: Agreement, lower: bool | None, label_lower: bool | None) -> list[str]:
    """Return remarks on an unknown direction of the scores, or on correlations with an unexpected sign."""
    srocc = overall.values[MEASURES[0]]
    if lower is None:
        return ["the direction of the scores is unknown: the weights file does not state it"]
    if label_lower is None or srocc is None or (srocc >= 0) == (lower == label_lower):
        return []
    directions = {True: "lower is better", False: "higher is better"}
    return [
        f"scores ({directions[lower]}) have an unexpected sign against the opinions ({directions[label_lower]}): "
        f"SROCC {srocc:.3f}"
    ]
