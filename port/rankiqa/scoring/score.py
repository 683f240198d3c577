"""The score of an image: the mean of a network's output over random crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.crops import check_image, cut, take_crops
from rankiqa.data.views import View, views
from rankiqa.models.modes import evaluating, full_float32
from rankiqa.models.sampling import CROPS as CROPS
from rankiqa.models.sampling import sampling_of_network
from rankiqa.models.scorer import Scorer

CHUNK = 10  # crops in one forward pass: bounds the memory, and is fixed so that a score does not depend on it


@dataclass(frozen=True, eq=False)
class Score:
    """The score of an image. `model.meaning` says what it means: direction, range.

    Attributes:
        score: The mean over the crops, which the original reports.
        median: Over the crops.
        crops: How many.
        seed: Of the crops' places.
        values: The output for each crop, float32 (crops,).
    """

    score: float
    median: float
    crops: int
    seed: int
    values: np.ndarray


def score(
    model: Scorer,
    image: np.ndarray,
    *,
    crops: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Score:
    """Score one image: the mean of the network's output over random crops.

    The crops come from numpy's RandomState(seed), fresh for each image: the score depends on nothing but the weights,
    the image, `crops`, `seed` and the machine. Dropout is off and float32 is full for the call, whatever mode the model
    and the process are in.

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB (`rankiqa.read_image`).
        crops: How many; None: the network's own number, 30 unless its file says otherwise.
        seed: Of the crops' places, 0..2^32 - 1.
        device: Where the model is moved first; None: it stays where it is.

    Raises:
        ValueError: For crops < 1, another seed, an image of another form, or a result that is not finite.
        ImageError: For an image that is too small: the original's networks take none that is not larger than the crop.

    Source: upstream src/eval.
    """
    crops = sampling_of_network(model).crops if crops is None else crops
    check_settings(crops, seed)
    check_image(image)
    if device is not None:
        model.to(device)
    return summary(_outputs(model, passes(model, image, crops, seed)), seed)


def passes(model: Scorer, image: np.ndarray, crops: int, seed: int) -> Iterator[Tensor]:
    """The crops of each forward pass over an image, uint8 (H, W, 3) RGB. Raises ImageError for a small image."""
    height, width = image.shape[:2]
    found = views_of(model, height, width, crops, seed)  # a small image is refused here, not at the first pass
    return _passes(model, image, found)


def _passes(model: Scorer, image: np.ndarray, found: list[View]) -> Iterator[Tensor]:
    for view in found:
        pixels = image
        if not view.is_whole:
            pixels = view.of(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float())
            pixels = pixels.permute(1, 2, 0).numpy()
        for i in range(0, len(view.offsets), CHUNK):
            yield cut(pixels, view.offsets[i : i + CHUNK], model.input_spec)


def views_of(model: Scorer, height: int, width: int, crops: int, seed: int) -> list[View]:
    """The sizes of an image that a network's crops come from. Raises ImageError for an image that is too small."""
    own = sampling_of_network(model)
    return views(
        height, width, model.input_spec.crop, crops, np.random.RandomState(seed), reductions=own.reductions,
        least_side=own.least_side, longest_side=own.longest_side,
    )  # fmt: skip


def check_settings(crops: int, seed: int) -> None:
    """Raise ValueError for crops that are no whole number of 1 or more, or a seed that is not in 0..2^32 - 1."""
    if not isinstance(crops, (int, np.integer)) or crops < 1:
        raise ValueError(f"crops: expected 1 or more, got {crops!r}")
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a whole number in 0..{2**32 - 1}, got {seed!r}")


def summary(values: np.ndarray, seed: int) -> Score:
    """The score of an image from the output for each of its crops, float32 (crops,). Raises ValueError for nan."""
    if not np.isfinite(values).all():
        raise ValueError("expected finite scores, got nan or inf: the weights do not fit the image's range")
    return Score(float(values.mean(dtype=np.float64)), float(np.median(values)), len(values), seed, values)


def score_crops(model: Scorer, image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The network's output for given crops, float32 (n,).

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB.
        offsets: int (n, 2), top and left in pixels.
    """
    spec = model.input_spec
    return _outputs(model, (take_crops(image, offsets[i : i + CHUNK], spec) for i in range(0, len(offsets), CHUNK)))


def _outputs(model: Scorer, crops: Iterator[Tensor]) -> np.ndarray:
    """The network's output for the crops of all passes, float32 (n,)."""
    device = next(model.parameters()).device
    with torch.inference_mode(), evaluating(model), full_float32():
        return torch.cat([model(some.to(device)).squeeze(1) for some in crops]).cpu().numpy()
