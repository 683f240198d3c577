"""The score of an image: the mean of a network's output over random crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rankiqa.data.crops import check_image, crop_offsets, take_crops
from rankiqa.models.scorer import Scorer
from rankiqa.scoring.modes import evaluating, full_float32

CROPS = 30  # upstream's Num_Patch
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
    model: Scorer, image: np.ndarray, *, crops: int = CROPS, seed: int = 0, device: torch.device | str | None = None
) -> Score:
    """Score one image: the mean of the network's output over random crops.

    The crops come from numpy's RandomState(seed), fresh for each image: the score depends on nothing but the weights,
    the image, `crops`, `seed` and the machine. Dropout is off and float32 is full for the call, whatever mode the model
    and the process are in.

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB (`rankiqa.read_image`).
        crops: How many.
        seed: Of the crops' places, 0..2^32 - 1.
        device: Where the model is moved first; None: it stays where it is.

    Raises:
        ValueError: For crops < 1, another seed, an image of another form, or a result that is not finite.
        ImageError: For an image that is not larger than the crop.

    Source: upstream src/eval.
    """
    check_settings(crops, seed)
    check_image(image)
    if device is not None:
        model.to(device)
    height, width = image.shape[:2]
    offsets = crop_offsets(height, width, model.crop, crops, np.random.RandomState(seed))
    return summary(score_crops(model, image, offsets), seed)


def check_settings(crops: int, seed: int) -> None:
    """Raise ValueError for crops < 1, or a seed that is not in 0..2^32 - 1."""
    if crops < 1:
        raise ValueError(f"crops: expected 1 or more, got {crops}")
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
    device = next(model.parameters()).device
    with torch.inference_mode(), evaluating(model), full_float32():
        parts = [
            model(take_crops(image, offsets[i : i + CHUNK], model.input_spec).to(device)).squeeze(1)
            for i in range(0, len(offsets), CHUNK)
        ]
        return torch.cat(parts).cpu().numpy()
