"""`rankiqa experiment` on four photographs."""

import csv
import shutil
from pathlib import Path

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "photographs"


def rows_of(path):
    """The rows of a CSV file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def command(folder, experiment="levels", iterations=2, *more):
    """The command's words; FOLDER/photographs_given is made, OUT is FOLDER/EXPERIMENT."""
    photographs = folder / "photographs_given"
    if not photographs.exists():
        photographs.mkdir()
        for name in ("cat", "coffee", "dogs", "hens"):
            shutil.copy(PHOTOGRAPHS / f"{name}.jpg", photographs)
    line = ["experiment", experiment, "--photographs", photographs, "--out", folder / experiment]
    return [*map(str, line), "--iterations", str(iterations), *more]
