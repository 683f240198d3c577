"""Read the data sets with real opinion scores that the card measures on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import scipy.io


@dataclass(frozen=True)
class Opinion:
    """An image with an opinion score.

    Attributes:
        set: The name of the set in the card.
        path: The image file.
        label: The opinion score in the data set.
        lower_is_better: Whether a lower label is better.
        type: The type of distortion, or the file format.
        reference: The reference image; "" if there is none.
    """

    set: str
    path: str
    label: float
    lower_is_better: bool
    type: str = ""
    reference: str = ""


def live(folder: Path) -> list[Opinion]:
    """Read the images of LIVE release 2 with both kinds of DMOS, from scores.csv (image, type, reference, dmos_..)."""
    with open(folder / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Opinion(f"LIVE {len(rows)}, {column}", str(folder / row["image"]), float(row[column]), True, row["type"],
                row["reference"])
        for column in ("dmos_realigned", "dmos_authors")
        for row in rows
    ]  # fmt: skip


def clive(folder: Path) -> list[Opinion]:
    """Read LIVE In the Wild: all existing images, and those with odd and even indices in AllImages_release.

    Indices start at 0. The seven images of its training session are not used. If images are missing, the set's name
    states how many exist.
    """
    names, opinions = (scipy.io.loadmat(folder / "Data" / f"{name}.mat")[name].ravel() for name in (
        "AllImages_release", "AllMOS_release"))  # fmt: skip
    rows = [(index, str(name.item()), float(mos)) for index, (name, mos) in enumerate(zip(names, opinions))][7:]
    existing = [row for row in rows if (folder / "Images" / row[1]).is_file()]
    some = "" if len(existing) == len(rows) else f" of {len(rows)}"
    sides = {
        "odd": [row for row in existing if row[0] % 2],
        "even": [row for row in existing if row[0] % 2 == 0],
        "all": existing,
    }
    return [
        Opinion(f"LIVE In the Wild, {side} {len(chosen)}{some if side == 'all' else ''}",
                str(folder / "Images" / name), mos, False, Path(name).suffix[1:].upper())
        for side, chosen in sides.items()
        for _, name, mos in chosen
    ]  # fmt: skip
