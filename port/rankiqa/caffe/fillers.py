"""Settings of Caffe's fillers, which initialise parameters. This module does not import torch.

Source: Caffe 1.0 filler.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filler:
    """One of Caffe's fillers with its settings.

    Attributes:
        type: "xavier" (uniform, with a bound computed from fan_in), "gaussian" (mean 0) or "constant".
        std: Standard deviation, for "gaussian".
        value: The value, for "constant".
    """

    type: str
    std: float = 0.0
    value: float = 0.0


XAVIER = Filler("xavier")
