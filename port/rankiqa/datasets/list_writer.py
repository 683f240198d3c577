"""Lists on disk: `path label` lines that both engines read, and beside them what they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence

from rankiqa.data.atomic_files import replacing

SIDES = ("train", "validation", "test", "all")


def write(
    out: str, name: str, sides: dict[str, Sequence[tuple[str, float]]], decimals: int, summary: dict, link: bool
) -> dict:
    """Write OUT/NAME_SIDE.txt for each side and OUT/NAME_lists.json, each whole or not at all.

    NAME_lists.json holds what the lists are: `measure`, `direction` ("lower is better" or "higher is better"), `scale`
    (least and greatest label that the data set allows), `range` (those in the lists), `split`, `settings`, `files`
    ({side: path, lines, sha256}); and `lines` ({side: {"types": [..], "references": [..]}}), the distortion's type and
    the reference of each line, in the lists' order, "" or no such list where the data set does not name them. So
    `rankiqa evaluate` gives measures by type and splits by reference.

    Args:
        out: The folder.
        name: Of the lists.
        sides: {side: (path, label) of each line}.
        decimals: Of a label.
        summary: What NAME_lists.json holds beside the files.
        link: Whether paths whose folder's name has white space go through a symbolic link OUT/NAME_images/N, since
            Caffe's data layers split a line there.

    Returns:
        The summary with the files.

    Raises:
        ValueError: For a name that no list can hold, or a folder that cannot be written.
    """
    if not name or name != os.path.basename(name):
        raise ValueError(f"--name: expected a file's name, got {name!r}")
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
    """Remove lists of sides that an earlier run wrote and this one does not, as its NAME_lists.json says."""
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
    """The path as a list can hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path!r}: expected a name in UTF-8, as lists are, got other bytes") from None
    folder, name = os.path.split(path)
    if _has_space(folder) and links:
        path = os.path.join(links.to(folder), name)
    if _has_space(path):
        raise ValueError(f"{path!r}: expected a path without white space, where Caffe splits a line; rename it")
    return path


class _Links:
    """Symbolic links without white space to folders with it. made: {folder: link}."""

    def __init__(self, place: str):
        self.place = place
        self.made: dict[str, str] = {}

    def to(self, folder: str) -> str:
        return self.made.setdefault(folder, os.path.join(self.place, str(len(self.made) + 1)))

    def make(self) -> None:
        for folder, link in self.made.items():
            os.makedirs(self.place, exist_ok=True)
            temporary = f"{link}.tmp"
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(os.path.abspath(folder), temporary)
            os.replace(temporary, link)
