"""Upstream's six evaluations: which list and network each takes, and the result files that it writes.

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
        each: Whether each of TID2013's 24 types is evaluated alone.
        net: "rank" (output fc8_m) or "ft" (output fc8).
        tag: How the result files' names begin.
    """

    dataset: str
    each: bool
    net: str
    tag: str

    @property
    def list(self) -> str:
        """The list that upstream's script reads, from the current folder."""
        return f"data/ft_{self.dataset}_test.txt"

    def check_head(self, head: str) -> None:
        """Raise ValueError for a network whose output layer is not that of the preset's net.

        Upstream's script would load such a file by layer names and leave its output layer at random.
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
    """One of upstream's six. Raises ValueError for a combination that upstream lacks."""
    for preset in PRESETS:
        if (preset.dataset, preset.each, preset.net) == (dataset, each, net):
            return preset
    raise ValueError(f"--preset {dataset} {'--each' if each else '--all'} --{net}: upstream has no such evaluation")


def write_results(chosen: Preset, images: Sequence[ScoredImage], folder: str | os.PathLike) -> list[str]:
    """Write FOLDER/DATASET/TAG_srocc.txt and TAG_lcc.txt, a line for each evaluation; returns their paths.

    With `each`, line n is TID2013's type n; a type without images, or with one, is `nan`, as scipy says.

    Raises:
        ValueError: For a path without TID2013's two digits of the type, or a folder that cannot be written.
    """
    rows = [_row(group) for group in (_by_type(images) if chosen.each else [list(images)])]
    place = Path(folder) / chosen.dataset
    written = []
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("srocc", "lcc"):
            path = place / f"{chosen.tag}_{name}.txt"
            values = (float("nan") if row is None or row.values[name] is None else row.values[name] for row in rows)
            with replacing(path) as temporary:
                temporary.write_text("".join(f"{value:6.3f}\n" for value in values), encoding="ascii")
            written.append(str(path))
    except OSError as error:
        raise ValueError(f"{place}: expected a folder to write to, got: {error.strerror}") from None
    return written


def _row(images: Sequence[ScoredImage]) -> Agreement | None:
    return measure(*arrays(images)) if images else None


def _by_type(images: Sequence[ScoredImage]) -> list[list[ScoredImage]]:
    groups: dict[int, list[ScoredImage]] = {number: [] for number in TID2013_TYPES}
    for image in images:
        digits = image.path[-8:-6]  # UPSTREAM: the type is these two characters of the path (i04_11_1.bmp)
        if not digits.isdecimal():
            raise ValueError(f"{image.path}: expected a name like i04_11_1.bmp, got {digits!r} in the type's place")
        groups.get(int(digits), []).append(image)
    return list(groups.values())
