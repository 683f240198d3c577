"""The score of an image: the mean of a network's output over random crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rankiqa.crops import crop_offsets, take_crops
from rankiqa.networks import Network

CROPS = 30  # upstream's Num_Patch
CHUNK = 10  # crops in one forward pass: bounds the memory, and is fixed so that a score does not depend on it


@dataclass(frozen=True)
class Score:
    """score: the mean over the crops (what the original reports), median; crops, seed; values: (crops,) float32.

    No unit: a LIVE network gives more for worse (DMOS, about 0..100 once fine-tuned), a TID2013 one more for better
    (MOS, about 0..9); a ranking network only orders.
    """

    score: float
    median: float
    crops: int
    seed: int
    values: np.ndarray


def score(model: Network, image: np.ndarray, *, crops: int = CROPS, seed: int = 0) -> Score:
    """Score one image, uint8 (H, W, 3) BGR (`read_image`), on the device the model is on.

    The crops come from numpy's RandomState(seed), fresh for each image: the score depends on nothing but the weights,
    the image, `crops` and `seed`. Dropout is off for the call, whatever mode the model is in.
    Raises ValueError for crops < 1 or a result that is not finite, ImageError for an image no larger than the crop.
    Source: upstream src/eval.
    """
    if crops < 1:
        raise ValueError(f"crops: expected 1 or more, got {crops}")
    height, width = image.shape[:2]
    values = score_crops(model, image, crop_offsets(height, width, model.crop, crops, np.random.RandomState(seed)))
    if not np.isfinite(values).all():
        raise ValueError("expected finite scores, got nan or inf: the weights do not fit the image's range")
    return Score(float(values.mean(dtype=np.float64)), float(np.median(values)), crops, seed, values)


def score_crops(model: Network, image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The network's output for given crops: float32 (n,). image as in `score`; offsets int (n, 2) top, left."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                model(take_crops(image, offsets[i : i + CHUNK], model.crop).to(device)).squeeze(1)
                for i in range(0, len(offsets), CHUNK)
            ]
    finally:
        model.train(training)
    return torch.cat(parts).cpu().numpy()
