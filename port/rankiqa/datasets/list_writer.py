"""Write lists: `path label` lines that both engines read, and a JSON file that describes them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence

from rankiqa.data.atomic_files import replacing, temporary_name

SIDES = ("train", "validation", "test", "all")


def write(
    out: str, name: str, sides: dict[str, Sequence[tuple[str, float]]], decimals: int, summary: dict, link: bool
) -> dict:
    """Write OUT/NAME_SIDE.txt for each side and OUT/NAME_lists.json. Each file is written atomically.

    NAME_lists.json describes the lists: `measure`, `direction` ("lower is better" or "higher is better"), `scale`
    (smallest and largest label that the data set allows), `range` (those in the lists), `split`, `settings`, `files`
    ({side: path, lines, sha256}) and `lines` ({side: {"types": [..], "references": [..]}}). The last one has the
    distortion type and the reference of each line, in the order of the list; an entry is "", or a list is absent, if
    the data set does not name them. With it, `rankiqa evaluate` gives measures by type and splits by reference.

    Args:
        out: The folder.
        name: The name of the lists.
        sides: {side: (path, label) of each line}.
        decimals: The decimals of a label.
        summary: The content of NAME_lists.json besides the files.
        link: Whether to replace folders with white space in their names by a symbolic link OUT/NAME_images/N, since
            Caffe's data layers split a line at white space.

    Returns:
        The summary with the files.

    Raises:
        ValueError: The name is no file name, a list cannot contain a path, or the folder cannot be written.
    """
    if not name or name != os.path.basename(name):
        raise ValueError(f"--name: expected a file name, got {name!r}")
    links = _Links(os.path.join(out, f"{name}_images")) if link else None
    texts = {}
    for side, lines in sides.items():
        # UPSTREAM: '%s %6.2f', four columns before the decimals
        shown = [f"{_plain(path, links)} {label:{decimals + 4}.{decimals}f}\n" for path, label in lines]
        texts[side] = "".join(shown)
    try:
        os.makedirs(out, exist_ok=True)
        if links:
            links.make()
        _remove_older(out, name, keep=texts)
        written = {}
        for side, text in texts.items():
            path = os.path.join(out, f"{name}_{side}.txt")
            _replace(path, text)
            written[side] = {
                "path": path,
                "lines": len(sides[side]),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
        summary = {"name": name, "files": written, **summary}
        if links and links.made:
            summary["links"] = {link: target for target, link in links.made.items()}
        _replace(os.path.join(out, f"{name}_lists.json"), json.dumps(summary, indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"{out}: expected a folder to write to, got: {error.strerror}") from None
    return summary


def _remove_older(out: str, name: str, keep: dict) -> None:
    """Remove lists of an earlier run (by its NAME_lists.json) for sides that this run does not write."""
    try:
        with open(os.path.join(out, f"{name}_lists.json"), encoding="utf-8") as file:
            sides = set(json.load(file)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    for side in sides.intersection(SIDES) - set(keep):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(out, f"{name}_{side}.txt"))


def _replace(path: str, text: str) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _has_space(text: str) -> bool:
    return any(character.isspace() for character in text)


def _plain(path: str, links: _Links | None) -> str:
    """Return the path in a form that a list can contain."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path!r}: expected a name in UTF-8, the encoding of the lists, got other bytes") from None
    folder, name = os.path.split(path)
    if _has_space(folder) and links:
        path = os.path.join(links.to(folder), name)
    if _has_space(path):
        raise ValueError(f"{path!r}: expected a path without white space (Caffe splits lines there); rename it")
    return path


class _Links:
    """Symbolic links without white space to folders with it. `made` is {folder: link}."""

    def __init__(self, place: str):
        self.place = place
        self.made: dict[str, str] = {}

    def to(self, folder: str) -> str:
        return self.made.setdefault(folder, os.path.join(self.place, str(len(self.made) + 1)))

    def make(self) -> None:
        for folder, link in self.made.items():
            os.makedirs(self.place, exist_ok=True)
            temporary = temporary_name(link)
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(os.path.abspath(folder), temporary)
            os.replace(temporary, link)
