"""A row of results: what is known of an image's score, without torch."""

from __future__ import annotations

from typing import Any

COLUMNS: tuple[str, ...] = ("path", "score", "median", "crops", "seed", "error", "note", "mode")
Row = dict[str, Any]


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
