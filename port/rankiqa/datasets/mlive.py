"""LIVE Multiply Distorted: 15 references, blur then JPEG (part 1), blur then noise (part 2), DMOS 0..100."""

from __future__ import annotations

import numpy as np

from rankiqa.datasets import mat
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, find, join, locate, located

SET = DataSet(
    name="mlive",
    title="LIVE Multiply Distorted",
    home="https://live.ece.utexas.edu/research/Quality/live_multidistortedimage.html",
    layout="`Part 1` with blurjpeg/, Imagelists.mat and Scores.mat, and `Part 2` with blurnoise/ and its own two",
    measure="DMOS",
    low=0,
    high=100,
    images=450,
    references=15,
)
PARTS = {
    "blurjpeg": ("Part 1", "Part1", "Part_1"),
    "blurnoise": ("Part 2", "Part2", "Part_2"),
}
EACH = 225


def read(folder: str) -> RatedSet:
    """Read LIVE Multiply Distorted.

    Args:
        folder: The folder of the data set.

    Returns:
        The images of part 1 and part 2, in the order of Imagelists.mat. Paths start in `folder`.

    Raises:
        ValueError: For another layout, or lists and scores that do not fit together.
    """
    rated_set = RatedSet(SET, [])
    for kind, parts in PARTS.items():
        place = locate(folder, *parts)
        if place is None:
            raise SET.wrong(folder, f"a folder `{parts[0]}` with {kind}/", "none")
        part = located(join(folder, place) if place else folder, *parts)
        images = find(part, kind)
        if images is None:
            raise SET.wrong(folder, f"a folder `{parts[0]}` with {kind}/", "none")
        inside = join(join(place, part.rsplit("/", 1)[-1]), images.rsplit("/", 1)[-1])
        names = Names(images)
        for name, reference, label in _rated(part):
            stored = names.find(name)
            if stored is None:
                rated_set.missing.append(f"{parts[0]}/{kind}/{name}")
                continue
            rated_set.items.append(Rated(join(inside, stored), label, reference, kind))
    return rated_set


def _rated(part: str) -> list[tuple[str, str, float]]:
    """Return (image, reference, DMOS) of a part. The reference is the name of the picture, the same in both parts."""
    lists, scores = (_load(part, name) for name in ("Imagelists.mat", "Scores.mat"))
    images, references = lists.get("distimgs"), lists.get("refimgs")
    made_from, dmos = lists.get("ref4dist"), scores.get("DMOSscores")
    if not (
        isinstance(images, list) and isinstance(references, list)
        and isinstance(made_from, np.ndarray) and isinstance(dmos, np.ndarray)
        and len(images) == made_from.size == dmos.size == EACH and len(references) == SET.references
    ):  # fmt: skip
        expected = f"distimgs, ref4dist and DMOSscores of {EACH} images and refimgs of {SET.references}"
        raise SET.wrong(part, expected, f"{', '.join([*lists, *scores])} of other sizes or types")
    numbers = made_from.ravel().astype(int)  # MATLAB counts from 1
    if numbers.min() < 1 or numbers.max() > SET.references:
        raise SET.wrong(part, f"ref4dist of 1..{SET.references}", f"{numbers.min()}..{numbers.max()}")
    stems = [name.rsplit(".", 1)[0].lower() for name in references]
    return [(name, stems[n - 1], float(label)) for name, n, label in zip(images, numbers, dmos.ravel())]


def _load(part: str, name: str) -> dict:
    """Load a file of a part."""
    path = find(part, name)
    if path is None:
        raise SET.wrong(part, name, "no such file")
    return mat.load(path)
