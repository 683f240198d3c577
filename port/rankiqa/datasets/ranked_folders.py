"""Read ranked sets: the folders <T>/<T><level> that `rankiqa distort` makes, and the pristine images.

A list consists of blocks: for each type and each level, all images in the same order. The label is the index of the
block in its type. The data layers use the order of the lines as the ranking: what comes first scores higher.
Source: upstream data/generate_rank_txt_{live,tid2013}.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rankiqa.data.folders import Kind, list_folder
from rankiqa.datasets.data_set import some
from rankiqa.datasets.label_files import join, listing
from rankiqa.ranked_sets.names import PRISTINE


@dataclass
class Blocks:
    """The images of a ranked set.

    Attributes:
        names: The names of the images without suffix, sorted.
        blocks: (label, {name: path}), in the order of the list.
        remarks: Remarks for the summary.
    """

    names: list[str]
    blocks: list[tuple[int, dict[str, str]]]
    remarks: list[str] = field(default_factory=list)


def read(
    folder: str,
    types: Sequence[str],
    levels: int,
    worst_first: bool,
    *,
    prefix: str,
    pristine: str | None = None,
    level_names_from: str | None = None,
    partial: bool = False,
) -> Blocks:
    """Read the folders of a ranked set: T/TL/ for each type T and level L, and the pristine images.

    Args:
        folder: The folder of the ranked set.
        types: The names of the types' folders, in the order of the list.
        levels: The number of levels of each type.
        worst_first: Whether the list begins with the strongest level.
        prefix: The text before each path in the list.
        pristine: The folder of the pristine images; None: PRISTINE in `folder`.
        level_names_from: The folder whose T/ gives the names of the levels (for TID2013, upstream uses the current
            folder).
        partial: Whether to leave out images that lack a level, instead of raising an error.

    Returns:
        The images of each level, by the names of the pristine images.

    Raises:
        ValueError: For another layout, or levels with different images.
    """
    if len(set(types)) < len(types):
        raise ValueError(f"--types: expected each once, got {' '.join(types)}")
    inside = pristine is None
    where = join(folder, PRISTINE) if inside else pristine
    remarks: list[str] = []
    names = _images(where, join(prefix, PRISTINE) if inside else pristine, remarks, partial)
    ranked = Blocks(sorted(names, key=lambda name: os.path.basename(names[name])), [], remarks)
    for kind in types:
        chosen = _levels(folder, kind, levels, worst_first, level_names_from, ranked.remarks)
        blocks = [
            _images(join(folder, f"{kind}/{level}"), join(prefix, f"{kind}/{level}"), remarks, partial)
            for level in chosen
        ]
        blocks = [*blocks, names] if worst_first else [names, *blocks]
        ranked.blocks += enumerate(blocks)
    return _aligned(ranked, partial)


def _levels(folder, kind, levels, worst_first, level_names_from, remarks) -> list[str]:
    """Return the names of a type's level folders in the order of the list."""
    place = join(folder, kind)
    if not os.path.isdir(place):
        got = "no such folder (`rankiqa distort` makes it; choose other types by --types)"
        raise ValueError(f"{place}: expected the levels {kind}1..{kind}{levels}, got {got}")
    shown = [entry.name for entry in listing(join(level_names_from or folder, kind)) if entry.is_dir()]
    by_number = sorted(shown, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    if by_number != shown:  # UPSTREAM: sorts names as text, where 10 comes before 2
        raise ValueError(f"{place}: expected level folders whose names sort as their numbers, got {some(shown)}")
    # UPSTREAM: takes the first levels in its order. With too many, LIVE leaves out the mildest and TID2013 the
    # strongest.
    order = shown[::-1] if worst_first else shown
    if len(order) < levels:
        got = some(order) or "none"
        raise ValueError(f"{place}: expected {levels} level folders {kind}1..{kind}{levels}, got {got} (--levels)")
    if len(order) > levels:
        remarks.append(f"{kind}: left out {some(order[levels:])}")
    return order[:levels]


def _images(folder: str, prefix: str, remarks: list[str], partial: bool) -> dict[str, str]:
    """Return {name without suffix: path in the list} of a folder's images.

    Args:
        folder: The folder.
        prefix: The text before each name in the list.
        remarks: A remark on other entries is appended.
        partial: Whether to leave out dangling links, instead of raising an error.

    Raises:
        ValueError: The folder has no images, two images of the same name, or a dangling link.
    """
    try:
        names, others = list_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder}: expected a folder, got: {error.strerror}") from None
    dangling = [name for name in names if not os.path.exists(join(folder, name))]
    if dangling and not partial:
        got = f"dangling links: {some(dangling)}; --allow-partial leaves them out"
        raise ValueError(f"{folder}: expected images, got {got}")
    for name in dangling:
        others.add(Kind.DANGLING, name)
    paths: dict[str, str] = {}
    for name in names:
        stem = os.path.splitext(name)[0]
        if name in dangling:
            continue
        if stem in paths:
            raise ValueError(f"{folder}: expected one image {stem}, got {os.path.basename(paths[stem])} and {name}")
        paths[stem] = join(prefix, name)
    if not paths:
        raise ValueError(f"{folder}: expected images, got none")
    if others.total():
        remarks.append(f"{folder}: ignored {others.text()}")
    return paths


def _aligned(ranked: Blocks, partial: bool) -> Blocks:
    """Check that all blocks have the same images, and leave out incomplete ones.

    (Upstream pairs them by position only.)
    """
    common = set(ranked.names).intersection(*(block for _, block in ranked.blocks))
    for _, block in ranked.blocks:
        lacking, more = [name for name in ranked.names if name not in block], sorted(set(block) - set(ranked.names))
        place = os.path.dirname(next(iter(block.values())))
        if more:
            raise ValueError(f"{place}: expected the images of {PRISTINE} only, got also {some(more)}")
        if lacking and not partial:
            got = f"{len(block)}, without {some(lacking)}; --allow-partial leaves them out"
            raise ValueError(f"{place}: expected all {len(ranked.names)} images of {PRISTINE}, got {got}")
    left_out = [name for name in ranked.names if name not in common]
    if left_out:
        ranked.remarks.append(f"{len(left_out)} images lack a level and are left out: {some(left_out)}")
    ranked.names = [name for name in ranked.names if name in common]
    return ranked


def lines(ranked: Blocks, sides: dict[str, list[str]]) -> dict[str, list[tuple[str, float]]]:
    """Return {side: (path, label) of each block's images in the order of the split}."""
    return {
        side: [(block[name], label) for label, block in ranked.blocks for name in chosen]
        for side, chosen in sides.items()
    }
