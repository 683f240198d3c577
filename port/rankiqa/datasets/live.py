"""LIVE, release 2: 29 references, five types, DMOS 0..100; the references are rated images too, with 0.

Source: upstream data/generate_ft_txt_live.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankiqa.datasets import mat
from rankiqa.datasets.base import DataSet, Found, Rated, read_text
from rankiqa.datasets.label_files import Names, find, join, locate

FOLDERS = {"gblur": 174, "wn": 174, "jpeg": 233, "jp2k": 227, "fastfading": 174}  # in upstream's order
SET = DataSet(
    name="ft-live",
    title="LIVE release 2",
    home="https://live.ece.utexas.edu/research/quality/subjective.htm",
    layout="gblur/ wn/ jpeg/ jp2k/ fastfading/ with img1.bmp .. and info.txt; dmos.mat or upstream's LIVE2_labels.mat",
    measure="DMOS",
    low=0,
    high=100,
    images=sum(FOLDERS.values()),
    references=29,
    decimals=2,
    train=23,
)
COPIES = 203  # rated images that are the references themselves
LABELS = ("LIVE2_labels.mat", "dmos.mat")
_JOINED = ("jp2k", "jpeg", "wn", "gblur", "fastfading")  # the order of LIVE's own arrays of 982
_REALIGNED = (-10, 120)  # dmos_realigned.mat is not cut to 0..100
REFERENCES = (  # UPSTREAM: in the order of data/ref.txt, which the seed permutes
    "manfishing", "building2", "flowersonih35", "lighthouse", "parrots", "sailing1", "dancers", "plane", "sailing2",
    "churchandcapitol", "sailing3", "woman", "statue", "carnivaldolls", "stream", "cemetry", "lighthouse2",
    "studentsculpture", "monarch", "womanhat", "bikes", "paintedhouse", "ocean", "coinsinfountain", "sailing4",
    "house", "caps", "rapids", "buildings",
)  # fmt: skip
# UPSTREAM: the split of the committed lists (data/ft_live_{train,test}.txt), 779 and 203 lines, in their order; which
# image was made from which reference is told by LIVE's own refnames_all.mat
_AUTHORS_ORDER = (
    7, 18, 1, 8, 17, 24, 25, 21, 13, 26, 22, 28, 15, 6, 0, 9, 19, 23, 4, 16, 2, 20, 27,
    12, 14, 11, 10, 3, 5,
)  # fmt: skip
AUTHORS = {
    "train": [REFERENCES[i] for i in _AUTHORS_ORDER[:23]],
    "test": [REFERENCES[i] for i in _AUTHORS_ORDER[23:]],
}
_NUMBER = re.compile(r"img(\d{1,3})\.bmp", re.IGNORECASE)


def read(folder: str, labels: str | None = None, by_position: bool = False) -> Found:
    """The images, folder by folder, in the order of info.txt; paths are below `folder`.

    labels: a .mat file (None: the first of LABELS in the folder or the one above it). by_position: upstream's way to
    find the n-th image, the n-th name of the folder, which is right only after its rename_image_names.py.
    Raises ValueError for another layout, or files that do not fit together.
    """
    place = locate(folder, "gblur")
    if place is None:
        raise SET.wrong(folder, f"the folders {' '.join(FOLDERS)}", "none of them")
    root = join(folder, place) if place else folder
    path = labels or find(root, *LABELS) or find(join(root, ".."), *LABELS)
    if path is None:
        raise SET.wrong(folder, f"{' or '.join(LABELS)} (or --labels FILE)", "neither")
    values, copies, dataset = _labels(path)
    found = Found(dataset, [], remarks=[f"labels: {path}"])
    for kind, count in FOLDERS.items():
        images = find(root, kind)
        if images is None:
            raise SET.wrong(root, f"a folder {kind}", "none")
        if len(values[kind]) != count:
            raise SET.wrong(path, f"{count} labels of {kind}", str(len(values[kind])))
        inside, names = join(place, images.rsplit("/", 1)[-1]), Names(images)
        stored = _by_position(images) if by_position else _by_number(names, count)
        rated = _info(images, kind, count) if names.find("info.txt") else _refnames(root, kind)
        for reference, n in rated:
            if n not in stored:
                found.missing.append(f"{kind}/img{n}.bmp")
                continue
            label, copy = float(values[kind][n - 1]), bool(copies[kind][n - 1])
            found.items.append(Rated(join(inside, stored[n]), label, reference, kind, copy=copy))
    return found


def check_copies(found: Found) -> None:
    """As many images are references as should be, and they have the best labels. Raises ValueError."""
    copies = [item.label for item in found.items if item.copy]
    if len(copies) != COPIES:
        expected = f"a DMOS, lower is better, with 0 for the {COPIES} images that are references"
        raise SET.wrong(found.remarks[0], expected, f"{len(copies)} of them")
    if np.mean(copies) >= np.mean([item.label for item in found.items if not item.copy]):
        raise SET.wrong(found.remarks[0], "a DMOS, lower is better", "higher labels for the references than for others")


def without_copies(found: Found) -> Found:
    """The same without the images that are references."""
    left = [item for item in found.items if not item.copy]
    said = [f"{len(found.items) - len(left)} references among the images are left out"]
    return Found(found.dataset, left, found.missing, found.remarks + said)


def _labels(path: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], DataSet]:
    """{folder: labels by image number}, {folder: which are references}, from upstream's file or one of LIVE's own."""
    variables = {name: value.ravel() for name, value in mat.load(path).items() if isinstance(value, np.ndarray)}
    if set(FOLDERS) <= set(variables):
        labels = {kind: variables[kind] for kind in FOLDERS}
        return labels, {kind: values == 0 for kind, values in labels.items()}, SET
    dataset, joined, copies = SET, variables.get("dmos"), variables.get("orgs")
    if "dmos_new" in variables:
        joined, dataset = variables["dmos_new"], replace(SET, low=_REALIGNED[0], high=_REALIGNED[1])
    if any(values is None or len(values) != SET.images for values in (joined, copies)):
        expected = f"labels by folder, or {SET.images} `dmos` or `dmos_new` with `orgs`"
        raise SET.wrong(path, expected, ", ".join(variables) or "no numbers")
    return _by_folder(joined), _by_folder(copies), dataset


def _by_folder(joined: Sequence) -> dict[str, Sequence]:
    """LIVE's arrays of all images, cut into those of each folder."""
    found, start = {}, 0
    for kind in _JOINED:
        found[kind] = joined[start : start + FOLDERS[kind]]
        start += FOLDERS[kind]
    return found


def _info(images: str, kind: str, count: int) -> list[tuple[str, int]]:
    """(reference, image number) of each line of info.txt: `reference.bmp imgN.bmp value`."""
    path, found = join(images, "info.txt"), []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        match = _NUMBER.fullmatch(parts[1]) if len(parts) > 1 else None
        reference = parts[0].lower().removesuffix(".bmp")
        if not match or reference not in REFERENCES or not 1 <= int(match[1]) <= count:
            raise SET.wrong(f"{path} line {row}", f"`reference.bmp imgN.bmp value`, N 1..{count}", repr(line))
        found.append((reference, int(match[1])))
    if sorted(n for _, n in found) != list(range(1, count + 1)):
        raise SET.wrong(path, f"each of the {count} images of {kind} once", f"{len(found)} lines")
    return found


def _refnames(root: str, kind: str) -> list[tuple[str, int]]:
    """(reference, image number) from refnames_all.mat, for copies of LIVE without info.txt."""
    path = find(root, "refnames_all.mat")
    if path is None:
        raise SET.wrong(join(root, kind), "info.txt, or refnames_all.mat above it", "neither")
    names = mat.load(path).get("refnames_all")
    if not isinstance(names, list) or len(names) != SET.images:
        raise SET.wrong(path, f"{SET.images} names in refnames_all", "others")
    found = [(name.lower().removesuffix(".bmp"), n) for n, name in enumerate(_by_folder(names)[kind], start=1)]
    unknown = sorted({name for name, _ in found} - set(REFERENCES))
    if unknown:
        raise SET.wrong(path, "names of LIVE's references", unknown[0])
    return found


def _by_number(names: Names, count: int) -> dict[int, str]:
    """{image number: file name}: img7.bmp as LIVE has it, or img007.bmp as upstream renames it."""
    found = {}
    for n in range(1, count + 1):
        for name in (f"img{n}.bmp", f"img{n:03}.bmp"):
            if stored := names.find(name):
                found[n] = stored
    return found


def _by_position(images: str) -> dict[int, str]:
    # UPSTREAM: the n-th of all sorted names, whatever they are (generate_ft_txt_live.py)
    return dict(enumerate(sorted(os.listdir(images)), start=1))


def references(found: Found) -> list[str]:
    """Those that have images, in upstream's order."""
    there = {item.reference for item in found.items}
    return [name for name in REFERENCES if name in there]


def arranged(sides: dict[str, list[str]], found: Found, random) -> dict[str, list[Rated]]:
    """The lines of each side: by folder, then by reference in the split's order, then as info.txt has them."""
    kinds = list(FOLDERS)
    return {
        side: sorted(
            (item for item in found.items if item.reference in set(chosen)),
            key=lambda item, chosen=chosen: (kinds.index(item.kind), chosen.index(item.reference)),
        )
        for side, chosen in sides.items()
    }
