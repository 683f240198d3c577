"""CSIQ: 30 references, six types of four or five levels, DMOS 0..1."""

from __future__ import annotations

import re

from rankiqa.data.text_files import read_lines
from rankiqa.datasets import workbook
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import images_below, join, locate, located

SET = DataSet(
    name="csiq",
    title="CSIQ",
    home="https://s2.smu.edu/~eclarson/csiq.html",
    layout="dst_imgs/ with awgn/1600.AWGN.1.png .. (or all in one folder), and csiq.DMOS.xlsx or csiq_label.txt",
    measure="DMOS",
    low=0,
    high=1,
    images=866,
    references=30,
)
LABELS = ("csiq.DMOS.xlsx", "csiq_label.txt")
IMAGES = ("dst_imgs", "dst_imgs_all", "awgn")
SHEET = "all_by_image"
_COLUMNS = ("image", "dst_type", "dst_lev", "dmos")
_TYPES = {"noise": "awgn", "jpeg 2000": "jpeg2000"}  # the workbook's word: that of the files; other words are the same
_NAME = re.compile(r"(.+)\.(awgn|blur|contrast|fnoise|jpeg|jpeg2000)\.(\d)(\.png)?", re.IGNORECASE)


def read(folder: str, labels: str | None = None) -> RatedSet:
    """Read CSIQ.

    Args:
        folder: The folder of the data set.
        labels: The workbook, or a text with `name dmos` lines; None: the first of LABELS in the folder.

    Returns:
        The images in the order of the labels' file. Paths start in `folder`.

    Raises:
        ValueError: For another layout, or labels in another form.
    """
    place = locate(folder, *(IMAGES if labels else LABELS))
    if place is None and labels is None:
        raise SET.wrong(folder, f"{' or '.join(LABELS)} (or --labels FILE)", "neither")
    root = join(folder, place) if place else folder
    path = labels or located(root, *LABELS)
    rated = _from_workbook(path) if path.lower().endswith(".xlsx") else _from_text(path)
    stored = images_below(root, _NAME)
    rated_set = RatedSet(SET, [], remarks=[f"labels: {path}"])
    for reference, kind, level, label in rated:
        name = f"{reference}.{kind}.{level}.png"
        if name.lower() not in stored:
            rated_set.missing.append(name)
            continue
        rated_set.items.append(Rated(join(place or "", stored[name.lower()]), label, reference.lower(), kind, level))
    return rated_set


def _from_workbook(path: str) -> list[tuple[str, str, int, float]]:
    """Return (reference, type, level, DMOS) of each row below the row with the column names."""
    rows = [[workbook.text(cell) for cell in row] for row in workbook.rows(path, SHEET)]
    start = next((n for n, row in enumerate(rows) if set(_COLUMNS) <= set(row)), None)
    if start is None:
        raise SET.wrong(path, f"a row that names the columns {', '.join(_COLUMNS)}", "none")
    columns = [rows[start].index(name) for name in _COLUMNS]  # the first column of each name
    labels = []
    for n, row in enumerate(rows[start + 1 :], start + 2):
        image, kind, level, dmos = cells = [row[column] if column < len(row) else "" for column in columns]
        if not image and not dmos:
            continue  # an empty row
        where = f"{path} {SHEET} row {n}"
        if "" in cells:
            raise SET.wrong(where, f"{', '.join(_COLUMNS)}", str(cells))
        kind = kind.lower()
        labels.append((image, _TYPES.get(kind, kind), int(SET.number(level, where)), SET.number(dmos, where)))
    return labels


def _from_text(path: str) -> list[tuple[str, str, int, float]]:
    """Return the same from lines like `1600.AWGN.1.png 0.062`."""
    rows = []
    for line in read_lines(path):
        parts = line.text.replace(",", " ").replace(";", " ").split()
        match = _NAME.fullmatch(parts[0]) if parts else None
        if not match or len(parts) < 2:
            raise SET.wrong(line.where, "`name dmos` with a name such as 1600.AWGN.1.png", repr(line.text))
        rows.append((match[1], match[2].lower(), int(match[3]), SET.number(parts[1], line.where)))
    return rows
