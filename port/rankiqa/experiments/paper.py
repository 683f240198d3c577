"""Values that the paper's authors published, to compare with ours."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

CURVES = "siamese curves (S, figures 2 and 3)"
ABLATION = "ablation, TID2013, LCC (S)"


@cache
def published() -> dict[str, Any]:
    """Return the content of paper_figures.json; its entry "about" names the sources."""
    return json.loads(resources.files("rankiqa.experiments").joinpath("paper_figures.json").read_text("utf-8"))
