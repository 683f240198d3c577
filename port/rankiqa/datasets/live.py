"""LIVE, release 2: 29 references, five types, DMOS 0..100. The references are also rated images, with DMOS 0.

Source: upstream data/generate_ft_txt_live.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankiqa.data.text_files import read_lines
from rankiqa.datasets import live_labels, mat
from rankiqa.datasets.data_set import DataSet, Rated, RatedSet, some
from rankiqa.datasets.label_files import Names, find, join, locate
from rankiqa.datasets.live_labels import FOLDERS

SET = DataSet(
    name="ft-live",
    title="LIVE release 2",
    home="https://live.ece.utexas.edu/research/quality/subjective.htm",
    layout="gblur/ wn/ jpeg/ jp2k/ fastfading/ with img1.bmp .. and info.txt; dmos.mat dmos_realigned.mat or "
    "upstream's LIVE2_labels.mat",
    measure="DMOS",
    low=0,
    high=100,
    images=sum(FOLDERS.values()),
    references=29,
    decimals=2,
    train=23,
)
COPIES = 203  # rated images that are copies of the references
REFERENCES = (  # UPSTREAM: in the order of data/ref.txt, which the seed permutes
    "manfishing", "building2", "flowersonih35", "lighthouse", "parrots", "sailing1", "dancers", "plane", "sailing2",
    "churchandcapitol", "sailing3", "woman", "statue", "carnivaldolls", "stream", "cemetry", "lighthouse2",
    "studentsculpture", "monarch", "womanhat", "bikes", "paintedhouse", "ocean", "coinsinfountain", "sailing4",
    "house", "caps", "rapids", "buildings",
)  # fmt: skip
# UPSTREAM: the split of the committed lists (data/ft_live_{train,test}.txt), 779 and 203 lines, in their order. LIVE's
# own refnames_all.mat gives the reference of each image.
_AUTHORS_ORDER = (
    7, 18, 1, 8, 17, 24, 25, 21, 13, 26, 22, 28, 15, 6, 0, 9, 19, 23, 4, 16, 2, 20, 27,
    12, 14, 11, 10, 3, 5,
)  # fmt: skip
AUTHORS = {
    "train": [REFERENCES[i] for i in _AUTHORS_ORDER[:23]],
    "test": [REFERENCES[i] for i in _AUTHORS_ORDER[23:]],
}
_NUMBER = re.compile(r"img(\d{1,3})\.bmp", re.IGNORECASE)


def read(
    folder: str,
    labels: str | None = None,
    by_position: bool = False,
    *,
    authors_list: Sequence[str] | None = None,
    partial: bool = False,
) -> RatedSet:
    """Read LIVE.

    Args:
        folder: The folder of the data set.
        labels: authors, dmos, realigned or a file, see `live_labels.read`.
        by_position: Whether to take the n-th name of a folder as image n, as upstream does. This is right only after
            its rename_image_names.py.
        authors_list: The authors' lists, for the labels "authors".
        partial: Whether to accept missing folders, lines of info.txt and labels. Images without a label are left out:
            sets of labels are never mixed.

    Returns:
        The images, folder by folder, in the order of info.txt. Paths start in `folder`.

    Raises:
        ValueError: For another layout, or files that do not fit together.
    """
    place = locate(folder, "gblur") if not partial else locate(folder, *FOLDERS)
    if place is None:
        raise SET.wrong(folder, f"the folders {' '.join(FOLDERS)}", "none")
    root = join(folder, place) if place else folder
    rated = live_labels.read(root, SET, labels, authors_list)
    rated_set = RatedSet(
        rated.dataset, [], remarks=[rated.remark], labels={"files": rated.files, "values": rated.scale}
    )
    without_label: list[str] = []
    for kind, count in FOLDERS.items():
        images = find(root, kind)
        if images is None and partial:
            rated_set.remarks.append(f"no folder {kind}")
            continue
        if images is None:
            raise SET.wrong(root, f"a folder {kind}", "none; --allow-partial does without it")
        inside, names = join(place, images.rsplit("/", 1)[-1]), Names(images)
        stored = _by_position(images) if by_position else _by_number(names, count)
        listed = _info(images, kind, count, partial) if names.find("info.txt") else _refnames(root, kind)
        for reference, n in listed:
            if n not in stored:
                rated_set.missing.append(f"{kind}/img{n}.bmp")
            elif (kind, n) not in rated.values:
                without_label.append(f"{kind}/img{n}.bmp")
            else:
                label, copy = rated.values[kind, n], (kind, n) in rated.copies
                rated_set.items.append(Rated(join(inside, stored[n]), label, reference, kind, copy=copy))
        if unnamed := sorted(set(stored) - {n for _, n in listed}) if partial and not by_position else []:
            left_out = some(f"{kind}/img{n}.bmp" for n in unnamed)
            rated_set.remarks.append(f"{len(unnamed)} images that info.txt does not name are left out: {left_out}")
    if without_label and not partial:
        got = f"none for {len(without_label)}: {some(without_label)}; --allow-partial leaves them out"
        raise SET.wrong(", ".join(rated.files), "a label of each image", got)
    if without_label:
        rated_set.remarks.append(f"{len(without_label)} images without a label are left out: {some(without_label)}")
    return rated_set


def check_copies(rated_set: RatedSet) -> None:
    """Raise ValueError unless the expected number of images are references and these have the best labels."""
    copies = [item.label for item in rated_set.items if item.copy]
    if len(copies) != COPIES:
        expected = f"a DMOS, lower is better, with 0 for the {COPIES} images that are references"
        raise SET.wrong(_files(rated_set), expected, f"{len(copies)} of them")
    if np.mean(copies) >= np.mean([item.label for item in rated_set.items if not item.copy]):
        raise SET.wrong(
            _files(rated_set), "a DMOS, lower is better", "higher labels for the references than for others"
        )


def _files(rated_set: RatedSet) -> str:
    return ", ".join(rated_set.labels["files"]) if rated_set.labels else SET.title


def without_copies(rated_set: RatedSet) -> RatedSet:
    """Return a copy of the set without the images that are references."""
    left = [item for item in rated_set.items if not item.copy]
    more = [f"{len(rated_set.items) - len(left)} references among the images are left out"]
    return replace(rated_set, items=left, remarks=rated_set.remarks + more)


def _info(images: str, kind: str, count: int, partial: bool) -> list[tuple[str, int]]:
    """Return (reference, image number) of each line of info.txt: `reference.bmp imgN.bmp value`."""
    path, lines = join(images, "info.txt"), []
    for line in read_lines(path):
        parts = re.split(r"[\s,;]+", line.text)
        match = _NUMBER.fullmatch(parts[1]) if len(parts) > 1 else None
        reference = parts[0].lower().removesuffix(".bmp")
        if not match or reference not in REFERENCES or not 1 <= int(match[1]) <= count:
            raise SET.wrong(line.where, f"`reference.bmp imgN.bmp value`, N 1..{count}", repr(line.text))
        lines.append((reference, int(match[1])))
    numbers = [n for _, n in lines]
    if len(set(numbers)) < len(numbers) or not (partial or len(numbers) == count):
        got = f"{len(lines)} lines" + ("" if partial else "; --allow-partial accepts it")
        raise SET.wrong(path, f"each of the {count} images of {kind} once", got)
    return lines


def _refnames(root: str, kind: str) -> list[tuple[str, int]]:
    """Return (reference, image number) from refnames_all.mat, for copies of LIVE without info.txt."""
    path = find(root, "refnames_all.mat")
    if path is None:
        raise SET.wrong(join(root, kind), "info.txt, or refnames_all.mat above it", "neither")
    names = mat.load(path).get("refnames_all")
    if not isinstance(names, list) or len(names) != SET.images:
        raise SET.wrong(path, f"{SET.images} names in refnames_all", "others")
    named = [
        (name.lower().removesuffix(".bmp"), n) for n, name in enumerate(live_labels.by_folder(names)[kind], start=1)
    ]
    unknown = sorted({name for name, _ in named} - set(REFERENCES))
    if unknown:
        raise SET.wrong(path, "names of LIVE's references", unknown[0])
    return named


def _by_number(names: Names, count: int) -> dict[int, str]:
    """Return {image number: file name}: img7.bmp as in LIVE, or img007.bmp as upstream renames it."""
    files = {}
    for n in range(1, count + 1):
        for name in (f"img{n}.bmp", f"img{n:03}.bmp"):
            if stored := names.find(name):
                files[n] = stored
    return files


def _by_position(images: str) -> dict[int, str]:
    """Return {n: n-th file name}."""
    # UPSTREAM: the n-th of all sorted names, whatever they are (generate_ft_txt_live.py).
    return dict(enumerate(sorted(os.listdir(images)), start=1))


def references(rated_set: RatedSet) -> list[str]:
    """Return the references that have images, in upstream's order."""
    present = {item.reference for item in rated_set.items}
    return [name for name in REFERENCES if name in present]


def arranged(sides: dict[str, list[str]], rated_set: RatedSet, random) -> dict[str, list[Rated]]:
    """Return the lines of each side: by folder, then by reference in the order of the split, then as in info.txt."""
    kinds = list(FOLDERS)
    return {
        side: sorted(
            (item for item in rated_set.items if item.reference in set(chosen)),
            key=lambda item, chosen=chosen: (kinds.index(item.kind), chosen.index(item.reference)),
        )
        for side, chosen in sides.items()
    }
