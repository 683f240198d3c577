"""Import optional packages, which only some commands need and which pyproject.toml lists as extras."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtra(ValueError):
    """An optional package is missing. The message names the package, its use and the command that installs it."""


def need(package: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: The package or one of its modules: "openpyxl", "onnx.helper".
        extra: The extra of pyproject.toml that installs it.
        purpose: The feature that needs it; the error message begins with it.

    Returns:
        The imported module.

    Raises:
        MissingExtra: If the package is missing or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            got = " ".join(str(error).split())  # the package is installed, but one of its dependencies is missing
        else:
            got = "no such package"
    except (ImportError, OSError) as error:  # OSError: its shared library does not work on this machine
        got = " ".join(str(error).split())
    name = package.split(".")[0]
    raise MissingExtra(f"{purpose}: expected the package {name} (pip install 'rankiqa[{extra}]'), got: {got}")
