"""Read any table of images and scores: .csv, .tsv, .txt with a header, or .xlsx."""

from __future__ import annotations

import math
import os

from rankiqa.data.folders import stored_name
from rankiqa.data.text_files import number, read_table
from rankiqa.datasets import workbook
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet

DECIMALS, MOST_DECIMALS = 4, 12  # decimals of a label: default, largest number
MEASURES = {"better": "MOS", "worse": "DMOS"}  # meaning of a higher score: the measure with that direction


def read(
    folder: str,
    table: str,
    *,
    image: str,
    score: str,
    higher: str,
    reference: str | None = None,
    kind: str | None = None,
    sheet: str | None = None,
) -> RatedSet:
    """Read a table of rated images.

    Args:
        folder: The folder that the image paths start from.
        table: The file.
        image: The column of the image paths; backslashes are read as slashes.
        score: The column of the scores.
        higher: The meaning of a higher score: "better" or "worse".
        reference: The column of the reference image; None: there are no references.
        kind: The column of the distortion type.
        sheet: The sheet of a workbook; None: the first sheet.

    Returns:
        The images in the order of the table. The range of the labels is that of the scores.

    Raises:
        ValueError: The file is no table or lacks a column, or a row has no image or no score.
    """
    book = table.lower().endswith((".xlsx", ".xlsm"))
    if sheet is not None and not book:
        raise ValueError(f"--sheet: expected a workbook (.xlsx) with sheets, got {table}")
    columns, rows = workbook.table(table, sheet) if book else read_table(table)
    for option, column in (("image", image), ("score", score), ("reference", reference), ("type", kind)):
        if column is not None and column not in columns:
            raise ValueError(f"{table}: expected a column {column!r} (--{option}), got {', '.join(columns) or 'none'}")
    items, missing = [], []
    for where, row in rows:
        path, label = row[image].replace("\\", "/"), number(row[score], where)
        path = _below(folder, path)
        if not path:
            raise ValueError(f"{where}: expected an image in the column {image!r}, got an empty cell")
        origin = row[reference] if reference else path
        if not origin:
            raise ValueError(f"{where}: expected a reference in the column {reference!r}, got an empty cell")
        if os.path.isfile(os.path.join(folder, path)):
            items.append(Rated(path, label, origin, row[kind] if kind else ""))
        else:
            missing.append(path)
    if not rows:
        raise ValueError(f"{table}: expected a row for each image, got none")
    labels = [item.label for item in items] or [0.0]
    dataset = DataSet(
        name="csv",
        title=os.path.basename(table),
        home=table,
        layout=f"images by the column {image!r} below {folder}",
        measure=MEASURES[higher],
        low=min(labels),
        high=max(labels),
        images=len(rows),
        references=len({item.reference for item in items}),
        decimals=_decimals(max(labels) - min(labels)),
        by_image=reference is None,
    )
    return RatedSet(dataset, items, missing, [f"labels: {table}, column {score}"])


def _below(folder: str, path: str) -> str:
    """Return a path below the folder, normalised and with accents as stored. An absolute path stays absolute."""
    if not path:
        return ""
    path = os.path.normpath(path)
    stored = stored_name(os.path.join(folder, path))
    return stored if os.path.isabs(path) else os.path.relpath(stored, folder) if not path.isascii() else path


def _decimals(spread: float) -> int:
    """Return enough decimals for four digits of the labels: with 4 decimals, scores of 0..0.001 would become 0.0000."""
    return DECIMALS if spread <= 0 else min(MOST_DECIMALS, max(DECIMALS, 4 - math.floor(math.log10(spread))))
