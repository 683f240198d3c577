"""Parse JSON from untrusted files and options."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text. Raises ValueError with a one-line message if it is invalid or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:  # raised by json for thousands of nested brackets
        raise ValueError("expected JSON, got one that is nested too deep") from None
    except ValueError:
        shown = repr(text[:40]) + (" .." if len(text) > 40 else "")
        raise ValueError(f"expected JSON, got {shown}") from None
