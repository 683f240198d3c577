"""KADID-10k: 81 references, 25 types, 5 levels, scores 1..5."""

from __future__ import annotations

import re

from rankiqa.data.text_files import read_table
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, find, join, locate, parent

SET = DataSet(
    name="kadid10k",
    title="KADID-10k",
    home="https://database.mmsp-kn.de/kadid-10k-database.html",
    layout="dmos.csv (dist_img,ref_img,dmos,var) and images/ with I01_01_01.png .. I81_25_05.png",
    measure="MOS",  # although its file calls them dmos: 5 is as good as the reference
    low=1,
    high=5,
    images=10125,
    references=81,
)
SCORES = "dmos.csv"
_COLUMNS = ("dist_img", "ref_img", "dmos")
_NAME = re.compile(r"(i\d\d)_(\d\d)_(\d\d)\.\w+", re.IGNORECASE)


def read(folder: str) -> RatedSet:
    """Read KADID-10k.

    Args:
        folder: The folder of the data set, or its images/ beside dmos.csv.

    Returns:
        The images in the order of dmos.csv. Paths start in `folder`.

    Raises:
        ValueError: For another layout or file.
    """
    place = locate(folder, SCORES)
    if place is None:  # `folder` is the folder of the images
        root, images, inside = parent(folder), folder, ""
    else:
        root = join(folder, place) if place else folder
        images = find(root, "images") or root
        inside = place if images == root else join(place, images.rsplit("/", 1)[-1])
    path, names = find(root, SCORES), Names(images)
    if path is None:
        raise SET.wrong(folder, SCORES, "no such file")
    columns, rows = read_table(path)
    if not set(_COLUMNS) <= set(columns):
        raise SET.wrong(path, f"the columns {', '.join(_COLUMNS)}", ", ".join(columns) or "none")
    rated_set = RatedSet(SET, [])
    for where, row in rows:
        match = _NAME.fullmatch(row["dist_img"].strip())
        reference = row["ref_img"].strip().rsplit(".", 1)[0].lower()
        if not match or match[1].lower() != reference:
            raise SET.wrong(where, "an image such as I01_01_01.png and its reference I01.png", str(list(row.values())))
        stored = names.find(match[0])
        if stored is None:
            rated_set.missing.append(match[0])
            continue
        label = SET.number(row["dmos"], where)
        rated_set.items.append(Rated(join(inside, stored), label, match[1].upper(), match[2], int(match[3])))
    return rated_set
