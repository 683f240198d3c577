"""Kinds of options that several commands share."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    import torch


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """An argparse type: a whole number in least..most; another text is a usage error that says so."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            limits = f"{least} or more" if math.isinf(most) else f"{least}..{most}"
            raise argparse.ArgumentTypeError(f"expected a whole number, {limits}, got {text!r}")
        return value

    return parse


SEED = whole(0, 2**32 - 1)


def processes(least: int) -> Callable[[str], int]:
    """An argparse type: how many processes work; more than the cores gain nothing and may stop a machine."""
    return whole(least, max(32, os.cpu_count() or 1))


def usable_device(name: str) -> torch.device:
    """The device of --device. Raises ValueError for one that PyTorch cannot compute on here."""
    import torch  # late, so that --help and a wrong option answer at once

    try:
        device = torch.device(name)
        torch.ones(1, device=device).sum().item()
    except Exception as error:  # each kind of device has its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        here = ", cuda" if torch.cuda.is_available() else "; this PyTorch has no CUDA device"
        raise ValueError(
            f"--device {name}: expected a device that PyTorch can use, cpu{here}; got: {lines[0]}"
        ) from None
    return device
