"""Find the distortion type and the reference of each image in a list, from a table, a pattern or the path."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from rankiqa.data.text_files import read_table
from rankiqa.datasets.data_set import some

AUTO, TID2013, FOLDER, NONE = "auto", "tid2013", "folder", "none"
SOURCES = (AUTO, TID2013, FOLDER, NONE)
_TID2013_NAME = re.compile(r"i(?P<reference>\d\d)_(?P<type>\d\d)_\d\.\w+", re.IGNORECASE)
_LEVEL = re.compile(r"(.+?)_?\d+")  # the folder of a level, as in GB/GB3
_PATH_COLUMNS = ("path", "image", "name", "dst_img", "image_name")

Origin = tuple[str, str]  # (distortion type, reference image), "" if unknown


def origins(paths: Sequence[str], source: str = AUTO) -> list[Origin]:
    """Return the distortion type and the reference of each image.

    Args:
        paths: The image paths.
        source: "tid2013" (names like i04_11_1.bmp), "folder" (the folder's name; GB for GB/GB3), "none", "auto" (the
            first of the first two that fits every path), the path of a .csv with the columns path (or image), type and,
            optionally, reference, or a regular expression with the groups `type` and, optionally, `reference`, which is
            searched in each path.

    Returns:
        (type, reference) of each image, "" if unknown.

    Raises:
        ValueError: The source does not fit every path. The message names some that it does not fit.
    """
    if source == NONE:
        return [("", "")] * len(paths)
    if source == AUTO:
        names = [_TID2013_NAME.fullmatch(os.path.basename(path)) for path in paths]
        return [_groups(match) for match in names if match] if all(names) else _folders(paths)
    if source == TID2013:
        return _matched(paths, [_TID2013_NAME.fullmatch(os.path.basename(path)) for path in paths], "i04_11_1.bmp")
    if source == FOLDER:
        return _folders(paths)
    if os.path.isfile(source):
        return _from_table(paths, source)
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise ValueError(f"types: expected a file or a regular expression, got {source!r} ({error})") from None
    if "type" not in pattern.groupindex:
        raise ValueError(
            f"types: expected {', '.join(SOURCES)}, a .csv file or a pattern with a group (?P<type>..), got {source!r}"
        )
    return _matched(paths, [pattern.search(path) for path in paths], source)


def _matched(paths: Sequence[str], matches: Sequence[re.Match | None], expected: str) -> list[Origin]:
    missing = [path for path, match in zip(paths, matches, strict=True) if match is None]
    if missing:
        raise ValueError(f"types: expected paths that fit {expected}, got {some(missing)}")
    return [_groups(match) for match in matches if match]


def _groups(match: re.Match) -> Origin:
    parts = match.groupdict()
    return parts["type"] or "", parts.get("reference") or ""


def _folders(paths: Sequence[str]) -> list[Origin]:
    """Take the folder as the type. If all images are in one folder, there are no types."""
    types = [_folder(path) for path in paths]
    return [("" if len(set(types)) == 1 else name, "") for name in types]


def _folder(path: str) -> str:
    above, inner = os.path.split(os.path.dirname(path))
    outer = os.path.basename(above)
    level = _LEVEL.fullmatch(inner)
    return outer if level and level.group(1) == outer else inner


def _from_table(paths: Sequence[str], file: str) -> list[Origin]:
    columns, rows = read_table(file)
    named = next((column for column in _PATH_COLUMNS if column in columns), None)
    if named is None or "type" not in columns:
        raise ValueError(f"{file}: expected the columns path (or image) and type, got {', '.join(columns) or 'none'}")
    table: dict[tuple[str, ...], Origin] = {}
    for where, row in rows:
        key = _parts(row.get(named, ""))
        origin = row.get("type", "").strip(), row.get("reference", "").strip()
        if table.setdefault(key, origin) != origin:
            raise ValueError(f"{where}: expected one row for each image, got another of {row.get(named)}")
    looked_up = [_look_up(table, _parts(path)) for path in paths]
    missing = [path for path, origin in zip(paths, looked_up, strict=True) if origin is None]
    if missing:
        raise ValueError(f"{file}: expected a row for each image, got none for {some(missing)}")
    return [origin for origin in looked_up if origin is not None]


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace(os.sep, "/").split("/") if part not in ("", "."))


def _look_up(table: dict[tuple[str, ...], Origin], parts: tuple[str, ...]) -> Origin | None:
    """Return the row whose path is the longest suffix of this path; None if there is none."""
    return next((table[parts[i:]] for i in range(len(parts)) if parts[i:] in table), None)
