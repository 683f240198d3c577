"""TID2013: 25 references, 24 types, 5 levels, MOS 0..9.

Source: upstream data/generate_ft_txt_tid2013.py.
"""

from __future__ import annotations

import re

from rankiqa.data.text_files import read_lines
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, find, join, locate, located

SET = DataSet(
    name="ft-tid2013",
    title="TID2013",
    home="http://www.ponomarenko.info/tid2013.htm",
    layout="mos_with_names.txt and distorted_images/ with i01_01_1.bmp .. i25_24_5.bmp, in any case",
    measure="MOS",
    low=0,
    high=9,
    images=3000,
    references=25,
    decimals=2,
    train=19,
)
SCORES = "mos_with_names.txt"
SYNTHETIC = "25"  # the only reference that is not a photograph
# UPSTREAM: the split of the committed lists (data/ft_tid2013_{train,test}.txt): 2280 and 600 lines.
_AUTHORS_TEST = (4, 11, 13, 17, 19)
AUTHORS = {
    "train": [str(n) for n in range(1, 25) if n not in _AUTHORS_TEST],
    "test": [str(n) for n in _AUTHORS_TEST],
}
_NAME = re.compile(r"i(\d\d)_(\d\d)_(\d)\.\w+", re.IGNORECASE)


def read(folder: str) -> RatedSet:
    """Read TID2013.

    Args:
        folder: The folder of the data set.

    Returns:
        The images in the order of mos_with_names.txt. Paths start in `folder`, with the names that the files have.

    Raises:
        ValueError: For another layout or a line that is not `mos name`.
    """
    place = locate(folder, SCORES)
    images = None if place is None else find(join(folder, place) if place else folder, "distorted_images")
    if place is None or images is None:
        raise SET.wrong(folder, f"{SCORES} and distorted_images/", "no such pair")
    text = located(join(folder, place) if place else folder, SCORES)
    names, inside = Names(images), join(place, images.rsplit("/", 1)[-1])
    rated_set = RatedSet(SET, [])
    for line in read_lines(text):
        where, parts = line.where, re.split(r"[\s,;]+", line.text)
        match = _NAME.fullmatch(parts[1]) if len(parts) == 2 else None
        if not match:
            raise SET.wrong(where, "`mos name` with a name such as i04_11_1.bmp", repr(line.text))
        name = names.find(parts[1])
        if name is None:
            rated_set.missing.append(parts[1])
            continue
        reference, kind, level = (int(part) for part in match.groups())
        label = SET.number(parts[0], where)
        rated_set.items.append(Rated(join(inside, name), label, str(reference), f"{kind:02}", level))
    return rated_set


def references(rated_set: RatedSet, synthetic: bool = False) -> list[str]:
    """Return the references that have images, in upstream's order; with `synthetic`, reference 25, too."""
    # UPSTREAM: draws references from 1..24, so 25 is on neither side (generate_ft_txt_tid2013.py).
    present = {item.reference for item in rated_set.items} - (set() if synthetic else {SYNTHETIC})
    return sorted(present, key=int)


def arranged(sides: dict[str, list[str]], rated_set: RatedSet, random) -> dict[str, list[Rated]]:
    """Return the lines of each side, in one random order of all images (25's, too), drawn after the references."""
    order = random.permutation(len(rated_set.items))
    return {
        side: [rated_set.items[i] for i in order if rated_set.items[i].reference in set(chosen)]
        for side, chosen in sides.items()
    }
