"""How Caffe fills a parameter before training, without torch.

Source: Caffe 1.0 filler.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filler:
    """One of Caffe's fillers with its settings.

    Attributes:
        type: "xavier" (uniform, its bound from fan_in), "gaussian" (mean 0) or "constant".
        std: Standard deviation of "gaussian".
        value: The value of "constant".
    """

    type: str
    std: float = 0.0
    value: float = 0.0


XAVIER = Filler("xavier")
