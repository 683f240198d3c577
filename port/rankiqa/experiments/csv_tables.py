"""Read and write the CSV files of an experiment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rankiqa.data.atomic_files import replacing


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict]) -> None:
    """Write a table atomically. Raise OSError if that fails."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table written by `write_csv`; [] if the file does not exist."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))
