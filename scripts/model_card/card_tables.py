"""Read and write the card's tables; the default folders of its data."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rankiqa.data.atomic_files import replacing

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("RANKIQA_REAL") or ROOT.parent / "shared" / "real")
README = ROOT / "README.md"
WORK = ROOT / "results" / "card"


def write(path: Path, columns: Sequence[str], rows: Iterable[dict]) -> None:
    """Write rows as CSV, atomically."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file; [] if it does not exist."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
