"""Photographs with made-up opinions and distortion types, as a list."""

import shutil
from pathlib import Path

NAMES = ["cat", "coffee", "castle", "bison", "canyon", "dogs", "hens", "moose"]
LABELS = [10.0, 20.5, 12.0, 44.0, 31.0, 5.0, 27.0, 60.0]
TYPES = ["GB", "GN"]


def make(folder, photographs):
    """GB/GB1/.., GN/GN1/..: four photographs each, and their list.txt."""
    lines = []
    for i, (name, label) in enumerate(zip(NAMES, LABELS, strict=True)):
        path = Path(TYPES[i % 2], f"{TYPES[i % 2]}1", f"{name}.jpg")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photographs / f"{name}.jpg", folder / path)
        lines.append(f"{path} {label}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder
