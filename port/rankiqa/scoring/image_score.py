"""Score an image: the mean of a network's output over random crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.crops import cut, take_crops
from rankiqa.data.images import check_image
from rankiqa.data.views import View, views
from rankiqa.models.modes import evaluating, full_float32
from rankiqa.models.score_sampling import CROPS as CROPS
from rankiqa.models.score_sampling import sampling_of_network
from rankiqa.models.scorer import Scorer

CHUNK = 10  # crops per forward pass; limits the memory, and is fixed because the last bits of a score depend on it


@dataclass(frozen=True, eq=False)
class Score:
    """The score of an image. `model.meaning` describes its direction and range.

    Attributes:
        score: The mean over the crops, as the original reports it.
        median: The median over the crops.
        crops: The number of crops.
        seed: The seed of the crop positions.
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

    Each call draws the crops from a new RandomState(seed), so the score depends only on the weights, the image,
    `crops`, `seed` and the machine. The call switches dropout off and computes in full float32, whatever the modes of
    the model and of the process.

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB (`rankiqa.read_image`).
        crops: Number of crops; None: the network's own number, 30 unless its file says otherwise.
        seed: The seed of the crop positions, 0..2^32 - 1.
        device: The device to which the model is moved first; None: do not move it.

    Returns:
        The score.

    Raises:
        ValueError: crops < 1, an invalid seed or image array, or a result that is not finite.
        ImageError: The image is too small. For the original's networks it must be larger than the crop.

    Source: upstream src/eval.
    """
    crops = sampling_of_network(model).crops if crops is None else crops
    check_settings(crops, seed)
    check_image(image)
    if device is not None:
        model.to(device)
    return summary(_outputs(model, passes(model, image, crops, seed)), seed)


def passes(model: Scorer, image: np.ndarray, crops: int, seed: int) -> Iterator[Tensor]:
    """Return the crops of each forward pass over an image.

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB.
        crops: Number of crops.
        seed: The seed of the crop positions.

    Returns:
        An iterator of float32 (n, 3, crop, crop), n at most CHUNK.

    Raises:
        ImageError: The image is too small.
    """
    height, width = image.shape[:2]
    image_views = views_of(model, height, width, crops, seed)  # called here, so that a small image is refused at once
    return _passes(model, image, image_views)


def _passes(model: Scorer, image: np.ndarray, image_views: list[View]) -> Iterator[Tensor]:
    for view in image_views:
        pixels = image
        if not view.is_whole:
            pixels = view.of(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float())
            pixels = pixels.permute(1, 2, 0).numpy()
        for i in range(0, len(view.offsets), CHUNK):
            yield cut(pixels, view.offsets[i : i + CHUNK], model.input_spec)


def views_of(model: Scorer, height: int, width: int, crops: int, seed: int) -> list[View]:
    """Return the views of an image (reduced or mirrored copies, or the image itself) that a network's crops come from.

    Raises:
        ImageError: The image is too small.
    """
    own = sampling_of_network(model)
    return views(
        height, width, model.input_spec.crop, crops, np.random.RandomState(seed), reductions=own.reductions,
        least_side=own.least_side, longest_side=own.longest_side,
    )  # fmt: skip


def check_settings(crops: int, seed: int) -> None:
    """Raise ValueError unless crops is a whole number of 1 or more and seed one in 0..2^32 - 1."""
    if not isinstance(crops, (int, np.integer)) or crops < 1:
        raise ValueError(f"crops: expected 1 or more, got {crops!r}")
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a whole number in 0..{2**32 - 1}, got {seed!r}")


def summary(values: np.ndarray, seed: int) -> Score:
    """Return the score of an image.

    Args:
        values: The output for each crop, float32 (crops,).
        seed: The seed of the crop positions.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("expected finite scores, got nan or inf: the weights do not fit the image's range")
    return Score(float(values.mean(dtype=np.float64)), float(np.median(values)), len(values), seed, values)


def score_crops(model: Scorer, image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the network's output for given crops.

    Args:
        model: The network.
        image: uint8 (H, W, 3), RGB.
        offsets: int (n, 2), top and left of each crop in pixels.

    Returns:
        float32 (n,).
    """
    spec = model.input_spec
    return _outputs(model, (take_crops(image, offsets[i : i + CHUNK], spec) for i in range(0, len(offsets), CHUNK)))


def _outputs(model: Scorer, crops: Iterator[Tensor]) -> np.ndarray:
    """Return the network's output for the crops of all passes, float32 (n,)."""
    device = next(model.parameters()).device
    with torch.inference_mode(), evaluating(model), full_float32():
        return torch.cat([model(batch.to(device)).squeeze(1) for batch in crops]).cpu().numpy()
