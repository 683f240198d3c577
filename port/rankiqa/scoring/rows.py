"""The row of an image in the results. This module does not import torch."""

from __future__ import annotations

from typing import Any

COLUMNS: tuple[str, ...] = ("path", "score", "median", "crops", "seed", "error", "note", "mode")
Row = dict[str, Any]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class if it has no text."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
