"""LIVE In the Wild (CLIVE): 1,162 photographs from phones and cameras, without references; MOS 0..100."""

from __future__ import annotations

import numpy as np

from rankiqa.datasets import mat
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet
from rankiqa.datasets.label_files import Names, find, join, locate

SET = DataSet(
    name="clive",
    title="LIVE In the Wild",
    home="https://live.ece.utexas.edu/research/ChallengeDB/index.html",
    layout="Images/ with 3.bmp .. 1164.bmp, and Data/ with AllImages_release.mat and AllMOS_release.mat",
    measure="MOS",
    low=0,
    high=100,
    images=1162,
    references=1162,
    by_image=True,
)
NAMES, SCORES = "AllImages_release.mat", "AllMOS_release.mat"
TRAINING = 7  # t1.bmp .. t7.bmp, at the start of both files, were used to train the raters
RATED = SET.images + TRAINING


def read(folder: str) -> RatedSet:
    """Read LIVE In the Wild.

    Args:
        folder: The folder of the data set, with Images/ and Data/.

    Returns:
        The photographs in the order of AllImages_release.mat, without the 7 images of the training of the raters. Paths
        start in `folder`; each photograph is its own reference.

    Raises:
        ValueError: For another layout, or names and scores that do not fit together.
    """
    place = locate(folder, "Images")
    root = folder if not place else join(folder, place)
    images = None if place is None else find(root, "Images")
    if place is None or images is None:
        raise SET.wrong(folder, "a folder Images", "none")
    names = _load(root, NAMES, "AllImages_release")
    scores = _load(root, SCORES, "AllMOS_release")
    if not isinstance(names, list) or not isinstance(scores, np.ndarray) or not len(names) == scores.size == RATED:
        raise SET.wrong(root, f"{RATED} names in {NAMES} and as many scores in {SCORES}", "others")
    stored, inside = Names(images), join(place, images.rsplit("/", 1)[-1])
    rated_set = RatedSet(SET, [], remarks=[f"{TRAINING} images for the training of the raters are left out"])
    for name, label in list(zip(names, scores.ravel()))[TRAINING:]:
        file = stored.find(name)
        if file is None:
            rated_set.missing.append(name)
        else:
            rated_set.items.append(Rated(join(inside, file), float(label), name))
    return rated_set


def _load(root: str, name: str, variable: str):
    """Load a variable of a file in Data/ or beside it."""
    data = find(root, "Data")
    path = find(data, name) if data else None
    path = path or find(root, name)
    if path is None:
        raise SET.wrong(root, f"Data/{name}", "no such file")
    return mat.load(path).get(variable)
