"""SPAQ: 11,125 photographs from smartphones, without references; MOS 0..100 in a workbook."""

from __future__ import annotations

from rankiqa.data.text_files import read_table
from rankiqa.datasets import workbook
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, join, locate, located

SET = DataSet(
    name="spaq",
    title="SPAQ",
    home="https://github.com/h4nwei/SPAQ",
    layout="TestImage/ with 00001.jpg .. 11125.jpg, and Annotations/ with `MOS and Image attribute scores.xlsx`",
    measure="MOS",
    low=0,
    high=100,
    images=11125,
    references=11125,
    by_image=True,
)
SCORES = "MOS and Image attribute scores.xlsx"
FOLDERS = ("TestImage", "512x384", "SPAQ resized")
NAME, LABEL = "Image name", "MOS"


def read(folder: str, labels: str | None = None) -> RatedSet:
    """Read SPAQ.

    Args:
        folder: The folder of the data set, with TestImage/ and Annotations/.
        labels: The workbook, or the same table as a .csv; None: SCORES in the folder, or in Annotations/.

    Returns:
        The photographs in the order of the table. Paths start in `folder`; each photograph is its own reference.

    Raises:
        ValueError: For another layout or table.
    """
    place = locate(folder, *FOLDERS)
    if place is None:
        raise SET.wrong(folder, f"a folder {' or '.join(FOLDERS)}", "none")
    images = located(join(folder, place) if place else folder, *FOLDERS)
    path = labels or _labels(folder)
    columns, rows = workbook.table(path) if path.lower().endswith(".xlsx") else read_table(path)
    if not {NAME, LABEL} <= set(columns):
        raise SET.wrong(path, f"the columns `{NAME}` and {LABEL}", ", ".join(columns) or "none")
    names, inside = Names(images), join(place, images.rsplit("/", 1)[-1])
    rated_set = RatedSet(SET, [], remarks=[f"labels: {path}"])
    for where, row in rows:
        stored = names.find(row[NAME]) if row[NAME] else None
        label = SET.number(row[LABEL], where)
        if stored is None:
            rated_set.missing.append(row[NAME] or where)
        else:
            rated_set.items.append(Rated(join(inside, stored), label, row[NAME]))
    return rated_set


def _labels(folder: str) -> str:
    place = locate(folder, SCORES)
    if place is None:
        raise SET.wrong(folder, f"`{SCORES}` (or --labels FILE)", "no such file")
    return located(join(folder, place) if place else folder, SCORES)
