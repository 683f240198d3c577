"""Packages that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtra(ValueError):
    """An optional package is missing; the message names it, what needs it, and the line that installs it."""


def need(package: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: The module, or a module of the package: "openpyxl", "onnx.helper".
        extra: The extra of pyproject.toml that installs it.
        purpose: What needs it; the message begins with it.

    Raises:
        MissingExtra: Where the package is missing or does not load.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            got = " ".join(str(error).split())  # the package is there and lacks one of its own
        else:
            got = "no such package"
    except (ImportError, OSError) as error:  # OSError: its library is not made for this machine
        got = " ".join(str(error).split())
    name = package.split(".")[0]
    raise MissingExtra(f"{purpose}: expected the package {name} (pip install 'rankiqa[{extra}]'), got: {got}")
