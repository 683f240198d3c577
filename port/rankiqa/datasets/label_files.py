"""Where the files of a data set are: names in any case, folders one or two below the one that is given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from rankiqa.datasets.base import some

DEEPEST = 2  # folders that archives put round a data set


def join(folder: str, name: str) -> str:
    """folder/name, or an absolute name alone; folder keeps its text ("./data" stays so, as upstream writes it)."""
    if name.startswith("/"):
        return name
    return name if not folder else folder + name if folder.endswith("/") else f"{folder}/{name}"


def listing(folder: str) -> list[os.DirEntry]:
    """What a folder holds, sorted by name, hidden files left out. Raises ValueError where it cannot be listed."""
    try:
        with os.scandir(folder or ".") as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder}: expected a folder, got: {error.strerror}") from None


def parent(folder: str) -> str:
    """The folder above one."""
    return os.path.dirname(os.path.abspath(folder))


def is_file(entry: os.DirEntry) -> bool:
    """Whether an entry is a file, or a link to one; a link to itself is none."""
    try:
        return entry.is_file()
    except OSError:
        return False


class Names:
    """The files of a folder, found by name in any case."""

    def __init__(self, folder: str):
        self.folder = folder
        self.exact = {entry.name for entry in listing(folder) if is_file(entry)}
        self.any_case: dict[str, list[str]] = {}
        for name in sorted(self.exact):
            self.any_case.setdefault(name.lower(), []).append(name)

    def find(self, name: str) -> str | None:
        """The file's own name, or None. Raises ValueError where several differ in their case alone."""
        if name in self.exact:
            return name
        spellings = self.any_case.get(name.lower(), [])
        if len(spellings) > 1:
            raise ValueError(f"{self.folder}: expected one {name}, got {some(spellings)}")
        return spellings[0] if spellings else None


def find(folder: str, *names: str) -> str | None:
    """The first of some files or folders, in any case, in a folder; or None."""
    there = {entry.name.lower(): entry.name for entry in reversed(listing(folder))}
    for name in names:
        if name.lower() in there:
            return join(folder, there[name.lower()])
    return None


def located(folder: str, *names: str) -> str:
    """What `find` gives, of names that `locate` has seen there. Raises ValueError where they have gone since."""
    path = find(folder, *names)
    if path is None:
        raise ValueError(f"{folder}: expected {' or '.join(names)}, got none")
    return path


def below(folder: str) -> Iterator[list[str]]:
    """The folders below one, by depth: [""] for itself, those in it, and so on; unreadable ones are passed over."""
    level = [""]
    listing(folder)  # this one must be there
    for _ in range(DEEPEST + 1):
        yield level
        level = [join(place, name) for place in level for name in _folders(join(folder, place) if place else folder)]


def _folders(folder: str) -> list[str]:
    try:
        return [entry.name for entry in listing(folder) if entry.is_dir() and os.access(entry.path, os.R_OK | os.X_OK)]
    except ValueError:
        return []


def locate(folder: str, *names: str) -> str | None:
    """The nearest folder, below `folder` ("" for itself), that holds one of these names, in any case; or None.

    Raises ValueError where several are as near.
    """
    for level in below(folder):
        places = [place for place in level if find(join(folder, place) if place else folder, *names)]
        if len(places) > 1:
            raise ValueError(f"{folder}: expected one folder with {' or '.join(names)}, got {some(places)}")
        if places:
            return places[0]
    return None


def images_below(folder: str, pattern: re.Pattern) -> dict[str, str]:
    """{name in lower case: path below folder} of the files whose whole name matches; of several the nearest."""
    images: dict[str, str] = {}
    for level in below(folder):
        for place in level:
            for entry in listing(join(folder, place) if place else folder):
                if pattern.fullmatch(entry.name) and is_file(entry):
                    images.setdefault(entry.name.lower(), join(place, entry.name))
    return images
