"""What computes a network's outputs: PyTorch, the reference, or another engine beside it.

Shapes: N crops, H x W pixels, H' x W' the map of dense scores.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rankiqa.models.scorer import Scorer
from rankiqa.scoring.blocked_layout import SameBits, can_block
from rankiqa.scoring.dense import DenseScore, score_dense
from rankiqa.scoring.modes import evaluating, full_float32

ENGINES = ("torch", "onnxruntime", "openvino")
PRECISIONS = ("fp32", "bf16")


class Engine(Protocol):
    """What computes scores with a network's weights.

    Attributes:
        model: The network.
    """

    model: Scorer

    def scores(self, crops: Tensor) -> Tensor:
        """Outputs (N,) float32 for the crops (N, 3, crop, crop) of one forward pass; perhaps still being computed."""
        ...

    def dense(self, image: np.ndarray) -> DenseScore:
        """The dense scores of an image, uint8 (H, W, 3) RGB."""
        ...


def engine_named(name: str, model: Scorer, *, precision: str = "fp32") -> Engine:
    """An engine.

    Args:
        name: One of ENGINES.
        model: From `rankiqa.load`, on the device where torch is to run it.
        precision: One of PRECISIONS.

    Raises:
        ValueError: For another name or precision, one that the engine does not have, or a missing extra.
    """
    if not isinstance(model, Scorer):
        raise ValueError(f"model: expected a network from rankiqa.load, got {type(model).__name__}")
    if name not in ENGINES:
        raise ValueError(f"engine: expected {', '.join(ENGINES)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {' or '.join(PRECISIONS)}, got {precision!r}")
    return TorchEngine(model)


class TorchEngine:
    """PyTorch in float32: the bits of `rankiqa.score`.

    Args:
        model: The network, on the device where it runs.
    """

    def __init__(self, model: Scorer):
        self.model = model
        self.device = next(model.parameters()).device
        self.forward = SameBits(model) if can_block(model) else model

    def scores(self, crops: Tensor) -> Tensor:
        """Outputs (N,) for crops (N, 3, crop, crop)."""
        with torch.inference_mode(), evaluating(self.model), full_float32():
            return self.forward(crops.to(self.device)).squeeze(1)

    def dense(self, image: np.ndarray) -> DenseScore:
        """The dense scores of an image, uint8 (H, W, 3) RGB."""
        return score_dense(self.model, image)  # pyright: ignore[reportArgumentType]  it says what it takes
