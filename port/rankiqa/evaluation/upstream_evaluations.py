"""Upstream's six evaluations: the list and the network of each, and the result files that it writes.

Source: upstream src/eval/{Rank,FT}_eval_{each,all}_{live,tid2013}.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankiqa.data.atomic_files import replacing
from rankiqa.evaluation.agreement import Agreement, measure
from rankiqa.evaluation.evaluation import arrays
from rankiqa.evaluation.scored_images import ScoredImage
from rankiqa.models.architectures import SUFFIX

RANK, FT = "rank", "ft"
TID2013_TYPES = range(1, 25)


@dataclass(frozen=True)
class Preset:
    """One of upstream's evaluations.

    Attributes:
        dataset: "live" or "tid2013".
        each: Whether each of TID2013's 24 types is evaluated separately.
        net: "rank" (output fc8_m) or "ft" (output fc8).
        tag: The prefix of the result files' names.
    """

    dataset: str
    each: bool
    net: str
    tag: str

    @property
    def list(self) -> str:
        """Return the list that upstream's script reads, relative to the current folder."""
        return f"data/ft_{self.dataset}_test.txt"

    def check_head(self, head: str) -> None:
        """Raise ValueError if the output layer of a network is not that of the preset's net.

        Upstream's script would load such a file by layer names and leave the output layer at random values.

        Args:
            head: The name of the network's output layer.
        """
        if head.endswith(SUFFIX) != (self.net == RANK):
            name = head.removesuffix(SUFFIX) + (SUFFIX if self.net == RANK else "")
            raise ValueError(f"--{self.net}: expected weights whose output layer is {name}, got {head}")


PRESETS = (
    Preset("live", False, FT, "FT_all"),
    Preset("live", False, RANK, "FT_all"),  # UPSTREAM: Rank_eval_all_live.py has FT's tag and overwrites its files
    Preset("tid2013", False, FT, "FT_all"),
    Preset("tid2013", False, RANK, "Rank_all"),
    Preset("tid2013", True, FT, "FT_each"),
    Preset("tid2013", True, RANK, "Rank_each"),
)


def preset(dataset: str, each: bool, net: str) -> Preset:
    """Return one of upstream's six evaluations.

    Args:
        dataset: "live" or "tid2013".
        each: Whether each distortion type is evaluated separately.
        net: RANK or FT.

    Raises:
        ValueError: Upstream has no such evaluation.
    """
    for preset in PRESETS:
        if (preset.dataset, preset.each, preset.net) == (dataset, each, net):
            return preset
    raise ValueError(f"--preset {dataset} {'--each' if each else '--all'} --{net}: upstream has no such evaluation")


def write_results(chosen: Preset, images: Sequence[ScoredImage], folder: str | os.PathLike) -> list[str]:
    """Write FOLDER/DATASET/TAG_srocc.txt and TAG_lcc.txt with one line per evaluation.

    With `each`, line n is for TID2013's type n. For a type with no image or one image it is `nan`, as from scipy.

    Args:
        chosen: The preset.
        images: Images with scores.
        folder: The folder of the results.

    Returns:
        The paths of the files.

    Raises:
        ValueError: A path lacks TID2013's two digits of the type, or the folder cannot be written.
    """
    rows = [_row(group) for group in (_by_type(images) if chosen.each else [list(images)])]
    target = Path(folder) / chosen.dataset
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in ("srocc", "lcc"):
            path = target / f"{chosen.tag}_{name}.txt"
            values = (float("nan") if row is None or row.values[name] is None else row.values[name] for row in rows)
            with replacing(path) as temporary:
                temporary.write_text("".join(f"{value:6.3f}\n" for value in values), encoding="ascii")
            written.append(str(path))
    except OSError as error:
        raise ValueError(f"{target}: expected a folder to write to, got: {error.strerror}") from None
    return written


def _row(images: Sequence[ScoredImage]) -> Agreement | None:
    return measure(*arrays(images)) if images else None


def _by_type(images: Sequence[ScoredImage]) -> list[list[ScoredImage]]:
    """Group the images by TID2013's type, in the order of TID2013_TYPES."""
    groups: dict[int, list[ScoredImage]] = {number: [] for number in TID2013_TYPES}
    for image in images:
        digits = image.path[-8:-6]  # UPSTREAM: the type is these two characters of the path (i04_11_1.bmp)
        if not digits.isdecimal():
            raise ValueError(
                f"{image.path}: expected a name like i04_11_1.bmp, got {digits!r} at the position of the type"
            )
        groups.get(int(digits), []).append(image)
    return list(groups.values())
