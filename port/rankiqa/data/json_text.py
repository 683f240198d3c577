"""JSON from files and options that anyone may have written."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for any other text, one that is nested too deep included."""
    try:
        return json.loads(text)
    except RecursionError:  # json's own for brackets in brackets, thousands of them
        raise ValueError("expected JSON, got one that is nested too deep") from None
