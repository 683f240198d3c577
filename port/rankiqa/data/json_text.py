"""JSON from files and options that anyone may have written."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, on one line, for another text or one that is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:  # json's own error for thousands of nested brackets
        raise ValueError("expected JSON, got one that is nested too deep") from None
    except ValueError:
        shown = repr(text[:40]) + (" .." if len(text) > 40 else "")
        raise ValueError(f"expected JSON, got {shown}") from None
