"""Entry points for torch.hub.

torch.hub reads the folder port/ of a checkout, whose hubconf.py imports these functions:
`torch.hub.load("CHECKOUT/port", "rankiqa", path="W.safetensors", source="local")`.
"""

from __future__ import annotations

import os

from torch import nn

from rankiqa.models.registry import build
from rankiqa.models.weights import load
from rankiqa.scoring.metric import Metric, metric

__all__ = ["dependencies", "rankiqa", "rankiqa_network"]

dependencies = ["torch", "numpy", "safetensors", "cv2"]


def rankiqa(path: str | os.PathLike | None = None, **options) -> Metric:
    """Return a module that maps RGB images (N, 3, H, W) in 0..1 to scores (N,); see `rankiqa.metric`.

    Args:
        path: A weights file, or None for the model that is part of the package.
        options: Keyword arguments of `rankiqa.metric`.

    Raises:
        ValueError: See `rankiqa.metric`.
    """
    return metric(path, **options)


def rankiqa_network(arch: str | None = None, path: str | os.PathLike | None = None) -> nn.Module:
    """Load a network from a weights file, or build one with new weights.

    Args:
        arch: The architecture to build (see `rankiqa.build`; None: vgg16), or the expected architecture of the file.
        path: A weights file, or None for new weights.

    Raises:
        ValueError: See `rankiqa.load` and `rankiqa.build`; also if the file has another network than `arch`.
    """
    if path is None:
        return build(arch or "vgg16")
    model = load(path)
    if arch not in (None, model.arch):
        raise ValueError(f"{os.fspath(path)}: expected {arch}, got {model.arch}")
    return model
