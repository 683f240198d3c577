"""The sets of real opinions that the card measures on, where their folders are."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import scipy.io


@dataclass(frozen=True)
class Opinion:
    """An image with people's opinion. set: the row of the card; label: as the set has it."""

    set: str
    path: str
    label: float
    lower_is_better: bool
    type: str = ""
    reference: str = ""


def live(folder: Path) -> list[Opinion]:
    """Images of LIVE release 2 with both of its opinions, from scores.csv (image, type, reference, dmos_..)."""
    with open(folder / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Opinion(f"LIVE {len(rows)}, {column}", str(folder / row["image"]), float(row[column]), True, row["type"],
                row["reference"])
        for column in ("dmos_realigned", "dmos_authors")
        for row in rows
    ]  # fmt: skip


def clive(folder: Path) -> list[Opinion]:
    """LIVE In the Wild: all of its images that are there, and those at odd and even places of AllImages_release.

    Places count from 0. The seven images of its training session are left out. Where only some images are there, the
    set's name says so.
    """
    names, opinions = (scipy.io.loadmat(folder / "Data" / f"{name}.mat")[name].ravel() for name in (
        "AllImages_release", "AllMOS_release"))  # fmt: skip
    rows = [(place, str(name.item()), float(mos)) for place, (name, mos) in enumerate(zip(names, opinions))][7:]
    there = [row for row in rows if (folder / "Images" / row[1]).is_file()]
    some = "" if len(there) == len(rows) else f" of {len(rows)}"
    sides = {
        "odd": [row for row in there if row[0] % 2],
        "even": [row for row in there if row[0] % 2 == 0],
        "all": there,
    }
    return [
        Opinion(f"LIVE In the Wild, {side} {len(chosen)}{some if side == 'all' else ''}",
                str(folder / "Images" / name), mos, False, Path(name).suffix[1:].upper())
        for side, chosen in sides.items()
        for _, name, mos in chosen
    ]  # fmt: skip
