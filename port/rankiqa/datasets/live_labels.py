"""The labels of LIVE release 2. There are three different sets, so each measurement has to name the one that it used.

- authors: the labels of RankIQA's own lists, from upstream's LIVE2_labels.mat (by folder) or from its lists
- dmos: LIVE's dmos.mat, 0..100
- realigned: LIVE's dmos_realigned.mat, which compares distortions better and is the usual choice; not limited to 0..100
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rankiqa.data.image_lists import read_list
from rankiqa.datasets import mat
from rankiqa.datasets.data_set import DataSet
from rankiqa.datasets.label_files import find, join

FOLDERS = {"gblur": 174, "wn": 174, "jpeg": 233, "jp2k": 227, "fastfading": 174}  # in upstream's order
FILES = {"authors": "LIVE2_labels.mat", "dmos": "dmos.mat", "realigned": "dmos_realigned.mat"}  # in order of preference
_TITLES = {
    "authors": "those of RankIQA's own lists", "dmos": "LIVE's own", "realigned": "LIVE's own, realigned",
}  # fmt: skip
_JOINED = ("jp2k", "jpeg", "wn", "gblur", "fastfading")  # the order in LIVE's own arrays of 982
_REALIGNED = (-10, 120)
_IMAGE = re.compile(r"(?:.*/)?([a-z0-9]+)/img0*(\d{1,3})\.bmp", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """The labels of LIVE's images.

    Attributes:
        files: The files that they were read from.
        scale: authors, dmos or realigned.
        values: {(folder, image number): label}.
        copies: The images that are the references themselves.
        dataset: The description of LIVE with the range of the scale.
        remark: A remark for the summary.
    """

    files: list[str]
    scale: str
    values: dict[tuple[str, int], float]
    copies: set[tuple[str, int]]
    dataset: DataSet
    remark: str


def read(root: str, dataset: DataSet, labels: str | None, lists: Sequence[str] | None) -> Labels:
    """Read the labels.

    Args:
        root: The folder with gblur/ ..; files are searched in it and in the folder above.
        dataset: The description of LIVE.
        labels: authors, dmos or realigned, or a .mat file or list; None: the first of FILES that exists.
        lists: For the labels "authors": the authors' lists (data/ft_live_train.txt and data/ft_live_test.txt of their
            repository), or their LIVE2_labels.mat.

    Returns:
        The labels.

    Raises:
        ValueError: There is no such file, or it has another content.
    """
    if lists and labels != "authors":
        raise ValueError(f"--authors-list: expected --labels authors with it, got {labels or 'none'}")
    existing = {scale: find(root, name) or find(join(root, ".."), name) for scale, name in FILES.items()}
    if labels is None:
        files: list[str] = [path for path in existing.values() if path][:1]
        wanted = f"{', '.join(FILES.values())} (or --labels FILE)"
    elif labels in FILES:
        files = list(lists or filter(None, [existing[labels]]))
        wanted = FILES[labels] + (" (or --authors-list FILE..)" if labels == "authors" else "")
    else:
        files, wanted = [labels], ""
    if not files:
        raise dataset.wrong(root, wanted, "none")
    if all(path.lower().endswith(".mat") for path in files) and len(files) == 1:
        scale, values, copies = _from_mat(files[0], dataset)
    else:
        scale, values, copies = _from_lists(files, dataset)
    if labels in FILES and scale != labels:
        raise dataset.wrong(files[0], f"the labels `{labels}`", f"those called `{scale}`")
    others = [other for other, path in existing.items() if path and other != scale and path not in files]
    remark = f"labels: {', '.join(files)}: {scale}, {_TITLES[scale]}; LIVE has three different sets"
    remark += f" (--labels {' or '.join(others)} for another)" if others else ""
    low, high = _REALIGNED if scale == "realigned" else (dataset.low, dataset.high)
    return Labels(files, scale, values, copies, replace(dataset, low=low, high=high), remark)


def by_folder(joined: Any) -> dict[str, Any]:
    """Split LIVE's arrays of all images by folder."""
    parts, start = {}, 0
    for kind in _JOINED:
        parts[kind] = joined[start : start + FOLDERS[kind]]
        start += FOLDERS[kind]
    return parts


def _numbered(arrays: Mapping[str, Sequence | np.ndarray]) -> dict[tuple[str, int], float]:
    return {(kind, n): value for kind, values in arrays.items() for n, value in enumerate(values, start=1)}


def _from_mat(path: str, dataset: DataSet) -> tuple[str, dict, set]:
    """Return (scale, labels, copies) from upstream's file or one of LIVE's own."""
    variables = {name: value.ravel() for name, value in mat.load(path).items() if isinstance(value, np.ndarray)}
    if FOLDERS.keys() & variables.keys():
        arrays = {kind: variables[kind] for kind in FOLDERS if kind in variables}
        for kind, values in arrays.items():
            if len(values) != FOLDERS[kind]:
                raise dataset.wrong(path, f"{FOLDERS[kind]} labels of {kind}", str(len(values)))
        values = {key: float(value) for key, value in _numbered(arrays).items()}
        return "authors", values, {key for key, value in values.items() if value == 0}
    scale = "realigned" if "dmos_new" in variables else "dmos"
    joined, copies = variables.get("dmos_new", variables.get("dmos")), variables.get("orgs")
    if joined is None or copies is None or not len(joined) == len(copies) == dataset.images:
        expected = f"labels by folder, or {dataset.images} `dmos` or `dmos_new` with `orgs`"
        raise dataset.wrong(path, expected, ", ".join(variables) or "no numbers")
    values = {key: float(value) for key, value in _numbered(by_folder(joined)).items()}
    return scale, values, {key for key, value in _numbered(by_folder(copies)).items() if value}


def _from_lists(paths: Sequence[str], dataset: DataSet) -> tuple[str, dict, set]:
    """Return the same from lists of `path label` lines in the authors' form."""
    values: dict[tuple[str, int], float] = {}
    for path in paths:
        images = read_list(path)
        for image, label in zip(images.paths, images.labels, strict=True):
            match = _IMAGE.fullmatch(image)
            kind, n = (match[1].lower(), int(match[2])) if match else ("", 0)
            if not 1 <= n <= FOLDERS.get(kind, 0):
                raise dataset.wrong(path, "paths that end like gblur/img005.bmp", repr(image))
            if values.setdefault((kind, n), float(label)) != label:
                raise dataset.wrong(path, f"one label for {kind}/img{n}.bmp", "two different ones")
    return "authors", values, {key for key, value in values.items() if value == 0}
