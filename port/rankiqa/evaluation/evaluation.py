"""An evaluation: the measures of scored images, over all and by distortion type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rankiqa.datasets.base import some
from rankiqa.evaluation.agreement import MEASURES, Agreement, Bootstrap, intervals, measure, resampling_unit
from rankiqa.evaluation.scored_images import ScoredImage
from rankiqa.evaluation.splits import over_splits
from rankiqa.metrics import NAMES, LogisticFit


@dataclass(frozen=True)
class Settings:
    """How the measures are made.

    Attributes:
        parameters: Of the logistic function: 4 (VQEG) or 5 (Sheikh et al.).
        bootstrap: How intervals are made.
        splits: Random splits by reference; 0: none.
        seed: Of the first split.
    """

    parameters: int = 4
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    splits: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures of scores against opinions.

    Attributes:
        images: Those with a score.
        errors: Those without.
        overall: The measures over all images.
        by_type: {distortion type: its measures}, types in alphabetical order; empty where types are not known.
        summary: What `rankiqa evaluate --json` prints of it.
    """

    images: tuple[ScoredImage, ...]
    errors: tuple[ScoredImage, ...]
    overall: Agreement
    by_type: dict[str, Agreement]
    summary: dict

    @property
    def fit(self) -> LogisticFit | None:
        """The logistic function of all images."""
        return self.overall.fit


def evaluate(
    images: Sequence[ScoredImage],
    settings: Settings | None = None,
    *,
    lower_is_better: bool | None = None,
    label_lower_is_better: bool | None = None,
) -> Evaluation:
    """Measure how well the scores of images agree with opinions.

    Correlations are of the scores as they are with the labels as they are: where one falls with quality and the other
    rises, a good network's are negative.

    Args:
        images: Each with a score or an error; those with an error are left out of every measure.
        settings: Logistic function, intervals, splits.
        lower_is_better: Whether a lower score means better quality; None: not known.
        label_lower_is_better: The same of the labels.

    Raises:
        ValueError: Where fewer than 2 images have a score, or splits are asked for and not possible.
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
    if twice := [path for path, times in Counter(image.path for image in images).items() if times > 1]:
        remarks.append(f"listed more than once, and counted as often: {some(twice)}")
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
    """Scores and labels of images that all have a score, float64 (n,) each."""
    return np.array([image.score for image in images], np.float64), np.array([image.label for image in images])


def describe_fit(fit: LogisticFit | None, parameters: int) -> dict:
    """{"parameters": how many, "function": which, "values": b1, b2 .. or None where nothing was fitted}."""
    return {
        "parameters": parameters,
        "function": NAMES[parameters],
        "values": None if fit is None else list(fit.parameters),
    }


def of_medians(images: Sequence[ScoredImage]) -> dict[str, float | None]:
    """SROCC and LCC of the crops' medians, which upstream prints beside those of the means; None without medians."""
    medians = [image.median for image in images]
    if any(median is None for median in medians):
        return {"srocc": None, "lcc": None}
    values = measure(np.array(medians, np.float64), arrays(images)[1]).values
    return {name: values[name] for name in ("srocc", "lcc")}


def _direction_remarks(overall: Agreement, lower: bool | None, label_lower: bool | None) -> list[str]:
    srocc = overall.values[MEASURES[0]]
    if lower is None:
        return ["the direction of the scores is not known: the weights file does not say"]
    if label_lower is None or srocc is None or (srocc >= 0) == (lower == label_lower):
        return []
    words = {True: "lower is better", False: "higher is better"}
    return [f"scores ({words[lower]}) run against the opinions ({words[label_lower]}): SROCC {srocc:.3f}"]
