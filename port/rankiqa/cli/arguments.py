"""Option types and checks that several commands share."""

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
    """Return an argparse type for whole numbers in least..most.

    Args:
        least: The smallest number that is accepted.
        most: The largest number that is accepted.

    Returns:
        A function that parses a text and raises ArgumentTypeError for any other text.
    """

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
    """Return an argparse type for a number of processes. More processes than cores gain nothing and can exhaust a
    machine."""
    return int_in_range(least, max(32, os.cpu_count() or 1))


def shard(text: str) -> tuple[int, int]:
    """Parse i/n, the i-th of n parts (an argparse type)."""
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        i = n = 0
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"expected i/n with 1 <= i <= n, got {text!r}")
    return i, n


def usable_device(name: str, dtype: str = "float32") -> torch.device:
    """Return the device that --device names.

    Args:
        name: A device in torch's notation.
        dtype: The dtype that the device must be able to sum. Training sums the ranking loss in float64, which mps
            lacks.

    Returns:
        The device.

    Raises:
        ValueError: PyTorch cannot compute on this device here.
    """
    import torch  # imported late, so that --help and usage errors answer at once

    try:
        device = torch.device(name)
        torch.ones(1, device=device, dtype=getattr(torch, dtype)).sum().item()
    except Exception as error:  # the exception class depends on the type of device
        lines = str(error).strip().splitlines() or [type(error).__name__]
        here = ", cuda" if torch.cuda.is_available() else "; this PyTorch has no CUDA device"
        raise ValueError(
            f"--device {name}: expected a device that PyTorch can use, cpu{here}; got: {lines[0]}"
        ) from None
    return device


def check_results_file(path: str, inputs: Iterable[str | os.PathLike] = (), *, makes_folder: bool = False) -> None:
    """Check before the work begins that a command can write its results to a file.

    Args:
        path: The file of results.
        inputs: The files that the command reads. The file of results must be none of them.
        makes_folder: Whether the command creates a missing folder later.

    Raises:
        ValueError: The file cannot be written (see `check_target`), or it is an existing image.
    """
    from rankiqa.data.atomic_files import check_target
    from rankiqa.data.folders import is_image_name

    if is_image_name(os.path.basename(path)) and os.path.isfile(path):
        raise ValueError(f"{path}: expected a file for the results, got an image")
    if not makes_folder or os.path.lexists(path):
        check_target(path, inputs)


class Lazy:
    """The default or the choices of an option, imported at first use, so that `rankiqa --help` starts without numpy.

    Args:
        module: The name of the module.
        name: A number or a collection of names in that module.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    @property
    def value(self) -> Any:
        """Return the object."""
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
    """Add --min-side and --max-pixels. Convert their values by `int()`, since the defaults are `Lazy`."""
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
