"""KonIQ-10k: 10,073 photographs without references; MOS 0..100, or 1..5 in one of its files."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from rankiqa.data.text_files import read_table
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, find, join, listing, locate, located, parent

SET = DataSet(
    name="koniq10k",
    title="KonIQ-10k",
    home="https://database.mmsp-kn.de/koniq-10k-database.html",
    layout="1024x768/ or 512x384/ with 10004473376.jpg .., and koniq10k_distributions_sets.csv (with the official "
    "split) or koniq10k_scores_and_distributions.csv",
    measure="MOS",
    low=0,
    high=100,
    images=10073,
    references=10073,
    by_image=True,
)
LABELS = ("koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv")
FOLDERS = ("1024x768", "512x384")
SIDES = {"training": "train", "validation": "validation", "test": "test"}
OFFICIAL = {"train": 7058, "validation": 1000, "test": 2015}
_PHOTOGRAPH = re.compile(r"\d{5,}\.jpe?g", re.IGNORECASE)
_RATINGS = tuple(f"c{k}" for k in range(1, 6))  # numbers or shares of ratings from 1 (bad) to 5 (excellent)


def read(folder: str, labels: str | None = None, column: str | None = None, images: str | None = None) -> RatedSet:
    """Read KonIQ-10k.

    Args:
        folder: The folder of the data set, or of its images; then the labels are in it or in the folder above.
        labels: A .csv file; None: the first of LABELS.
        column: The column of the label; None: MOS_zscore if it exists, else MOS.
        images: The folder of the images; None: the first of FOLDERS.

    Returns:
        The photographs in the order of the labels' file. Paths start in `folder`; each photograph is its own reference.

    Raises:
        ValueError: For another layout or file.
    """
    wanted = (images,) if images else FOLDERS
    place = locate(folder, *wanted)
    path = labels or _labels(folder)
    if place is None:
        if images or not any(_PHOTOGRAPH.fullmatch(entry.name) for entry in listing(folder)):
            raise SET.wrong(folder, f"a folder {' or '.join(wanted)}", "none")
        inside, names = "", Names(folder)  # `folder` is the folder of the images
    else:
        pictures = located(join(folder, place) if place else folder, *wanted)
        inside, names = join(place, pictures.rsplit("/", 1)[-1]), Names(pictures)
    columns, rows = read_table(path)
    column = column or ("MOS_zscore" if "MOS_zscore" in columns else "MOS")
    if "image_name" not in columns or column not in columns:
        raise SET.wrong(path, f"the columns image_name and {column}", ", ".join(columns) or "none")
    five = column == "MOS" and "MOS_zscore" in columns  # the MOS of this file is the mean of ratings 1..5
    rated_set = RatedSet(replace(SET, low=1, high=5) if five else SET, [], remarks=[f"labels: {path}, column {column}"])
    split: dict[str, str] = {}
    ratings = []
    for where, row in rows:
        name = row["image_name"].strip()
        stored = names.find(name) if name else None
        if "set" in columns:
            if row["set"] not in SIDES:
                raise SET.wrong(where, f"a set of {', '.join(SIDES)}", repr(row["set"]))
            split[name] = SIDES[row["set"]]
        if stored is None:
            rated_set.missing.append(name)
            continue
        label = SET.number(row[column], where)
        rated_set.items.append(Rated(join(inside, stored), label, name))
        if set(_RATINGS) <= set(columns):
            shares = [SET.number(row[column_name], where) for column_name in _RATINGS]
            ratings.append((sum(k * share for k, share in enumerate(shares, 1)) / (sum(shares) or 1), label))
    rated_set.official = split or None
    _check_direction(path, ratings)
    return rated_set


def _labels(folder: str) -> str:
    place = locate(folder, *LABELS)
    if place is not None:
        return located(join(folder, place) if place else folder, *LABELS)
    above = find(parent(folder), *LABELS)
    if above is None:
        raise SET.wrong(folder, f"{' or '.join(LABELS)} (or --labels FILE)", "neither")
    return above


def _check_direction(path: str, ratings: list[tuple[float, float]]) -> None:
    """Check that the MOS rises with the mean rating. `ratings` are (mean of the ratings, label) of each photograph."""
    if len(ratings) < 20 or np.ptp([label for _, label in ratings]) == 0:
        return
    if np.corrcoef(np.array(ratings).T)[0, 1] < -0.5:
        raise SET.wrong(path, "a MOS, higher is better", "labels that fall with the mean of the ratings c1..c5")
