"""Types of options that several commands share."""

from __future__ import annotations

import argparse
import importlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def int_in_range(least: int, most: float = math.inf) -> Callable[[str], int]:
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


SEED = int_in_range(0, 2**32 - 1)


def processes(least: int) -> Callable[[str], int]:
    """An argparse type: how many processes work; more than the cores gain nothing and may stop a machine."""
    return int_in_range(least, max(32, os.cpu_count() or 1))


def shard(text: str) -> tuple[int, int]:
    """An argparse type: i/n, the i-th of n parts."""
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        i = n = 0
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"expected i/n with 1 <= i <= n, got {text!r}")
    return i, n


def usable_device(name: str, dtype: str = "float32") -> torch.device:
    """The device of --device. Raises ValueError for one that PyTorch cannot compute on here.

    Args:
        name: As torch writes devices.
        dtype: What it must be able to add up: trainings sum the ranking loss in float64, which mps lacks.
    """
    import torch  # late, so that --help and a wrong option answer at once

    try:
        device = torch.device(name)
        torch.ones(1, device=device, dtype=getattr(torch, dtype)).sum().item()
    except Exception as error:  # each kind of device has its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        here = ", cuda" if torch.cuda.is_available() else "; this PyTorch has no CUDA device"
        raise ValueError(
            f"--device {name}: expected a device that PyTorch can use, cpu{here}; got: {lines[0]}"
        ) from None
    return device


def check_results_file(path: str, inputs: Iterable[str | os.PathLike] = (), *, makes_folder: bool = False) -> None:
    """Look whether a command can write its results to a file, before the work begins.

    Args:
        path: The file.
        inputs: The files that the command reads, none of which it may be.
        makes_folder: Whether a missing folder is made later.

    Raises:
        ValueError: As `check_target`, and for an image that is there.
    """
    from rankiqa.data.atomic_files import check_target
    from rankiqa.data.folders import is_image_name

    if is_image_name(os.path.basename(path)) and os.path.isfile(path):
        raise ValueError(f"{path}: expected a file of results to write, got an image")
    if not makes_folder or os.path.lexists(path):
        check_target(path, inputs)


class Lazy:
    """An option's default or choices that are imported when they are used: `rankiqa --help` starts without numpy.

    Args:
        module: The module's name.
        name: A number or a collection of names in it.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    @property
    def value(self) -> Any:
        """The object."""
        return getattr(importlib.import_module(self.module), self.name)

    def __str__(self) -> str:
        return str(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __iter__(self) -> Iterator:
        return iter(self.value)

    def __contains__(self, key: object) -> bool:
        return key in self.value


def add_photograph_limits(parser: argparse.ArgumentParser) -> None:
    """Add --min-side and --max-pixels; `int()` of an option is its value."""
    parser.add_argument(
        "--min-side",
        type=int_in_range(1),
        default=Lazy("rankiqa.data.photographs", "MIN_SIDE"),
        metavar="N",
        help="pixels; smaller images are refused (default %(default)s: a crop)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int_in_range(1),
        default=Lazy("rankiqa.data.photographs", "MAX_PIXELS"),
        metavar="N",
        help="larger images are refused (default %(default)s)",
    )
