"""Entry points of torch.hub.

The hub's folder is port/ of a checkout, whose hubconf.py imports them:
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
    """`rankiqa.metric`: a module from RGB images (N, 3, H, W) in 0..1 to scores (N,)."""
    return metric(path, **options)


def rankiqa_network(arch: str = "vgg16", path: str | os.PathLike | None = None) -> nn.Module:
    """A network: of a weights file, or with fresh weights of an architecture (`rankiqa.build`)."""
    return build(arch) if path is None else load(path)
