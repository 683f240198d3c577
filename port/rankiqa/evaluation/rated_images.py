"""Read the images of an evaluation, with opinions, distortion types and references, from a list or its JSON summary."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rankiqa.data.image_lists import read_list
from rankiqa.data.json_text import parse_json
from rankiqa.evaluation.distortion_types import AUTO, Origin, origins

SIDES = ("test", "all", "validation", "train")  # in order of preference when no side is given


@dataclass(frozen=True)
class RatedImage:
    """An image with people's opinion.

    Attributes:
        path: The file.
        label: The opinion (MOS, DMOS or a position in a ranking).
        type: The distortion type; "" if unknown.
        reference: The reference image; "" if unknown.
    """

    path: str
    label: float
    type: str = ""
    reference: str = ""


@dataclass(frozen=True)
class RatedImages:
    """The images of a list.

    Attributes:
        name: The file of the list.
        images: The images in the order of the list.
        sha256: The SHA-256 of the list's text, hex.
        side: The side of the split ("test", "all", ..); None for a plain list.
        lower_is_better: Whether a lower label means better quality; None if unknown.
    """

    name: str
    images: tuple[RatedImage, ...]
    sha256: str
    side: str | None = None
    lower_is_better: bool | None = None


def read(
    path: str | os.PathLike, root: str | os.PathLike = "", side: str | None = None, types: str = AUTO
) -> RatedImages:
    """Read the images of a list with `path label` lines, or of a NAME_lists.json that `rankiqa lists` wrote.

    Args:
        path: The list or the JSON file. If a list is beside its JSON file, types and references come from that.
        root: The folder that relative image paths start from.
        side: For a JSON file: which of its lists; None: test if it exists, else all.
        types: The source of types and references, see `distortion_types.origins`; "auto" prefers the JSON file.

    Returns:
        The images.

    Raises:
        ValueError: The file has another form or lacks the side, or the types do not fit.
    """
    path = Path(path)
    summary: dict = {}
    if path.suffix.lower() == ".json":
        summary = _summary(path)
        path, side = _list_of(summary, path, side)
    elif side is not None:
        raise ValueError(f"side: expected a NAME_lists.json with sides, got the list {path}")
    else:
        summary, side = _beside(path)
    chosen = read_list(path, root)
    listed = _listed(summary, side, len(chosen.paths)) if types == AUTO else None
    named = origins(chosen.paths, types) if listed is None or not any(kind for kind, _ in listed) else listed
    if listed is not None and named is not listed:  # the data set names references, but no types
        named = [(name, reference) for (name, _), (_, reference) in zip(named, listed, strict=True)]
    images = [
        RatedImage(image, float(label), *origin)
        for image, label, origin in zip(chosen.paths, chosen.labels, named, strict=True)
    ]
    direction = {"lower is better": True, "higher is better": False}.get(str(summary.get("direction")))
    return RatedImages(str(path), tuple(images), chosen.sha256, side, direction)


def _summary(path: Path) -> dict:
    """Read a NAME_lists.json and check its form."""
    try:
        summary = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a NAME_lists.json of `rankiqa lists`, got: {error}") from None
    files = summary.get("files") if isinstance(summary, dict) else None
    lines = summary.get("lines", {}) if isinstance(summary, dict) else {}
    if (
        not isinstance(files, dict)
        or not all(isinstance(file, dict) and isinstance(file.get("path"), str) for file in files.values())
        or not isinstance(lines, dict)
        or not all(isinstance(entry, dict) for entry in lines.values())
        or not all(isinstance(column, list | None) for entry in lines.values() for column in entry.values())
    ):
        raise ValueError(f"{path}: expected a NAME_lists.json of `rankiqa lists`, got another JSON file")
    return summary


def _list_of(summary: dict, path: Path, side: str | None) -> tuple[Path, str]:
    """Return (list of a side, side). If the folder was moved, the list is found beside the JSON file."""
    files = summary["files"]
    if side is None:
        side = next((name for name in SIDES if name in files), "")
    if side not in files:
        raise ValueError(f"{path}: expected a side of {', '.join(files) or 'none'}, got {side or 'none'}")
    recorded = Path(files[side]["path"])
    beside = path.parent / recorded.name
    return (beside if beside.exists() else recorded), side


def _beside(path: Path) -> tuple[dict, str | None]:
    """Return (summary, side) if the JSON file of this list is beside it, else ({}, None)."""
    for side in SIDES:
        name = path.stem.removesuffix(f"_{side}")
        summary = path.with_name(f"{name}_lists.json")
        if name != path.stem and summary.is_file():
            return _summary(summary), side
    return {}, None


def _listed(summary: dict, side: str | None, lines: int) -> list[Origin] | None:
    """Return type and reference of each line from the summary; None if it does not contain them."""
    entry = summary.get("lines", {}).get(side, {}) if summary else {}
    columns = [entry.get(key) for key in ("types", "references")]
    if not any(columns):
        return None
    types, references = ([""] * lines if column is None else [str(value) for value in column] for column in columns)
    if len(types) != lines or len(references) != lines:
        raise ValueError(
            f"{summary['files'][side]['path']}: expected a type and a reference for each of {lines} lines, "
            f"got {len(types)} and {len(references)}"
        )
    return list(zip(types, references, strict=True))
