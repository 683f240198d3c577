"""Find the files of a data set: by name in any case, in the given folder or up to two levels below."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from rankiqa.datasets.data_set import some

DEEPEST = 2  # levels of folders that archives put around a data set


def join(folder: str, name: str) -> str:
    """Return folder/name, or the name alone if it is absolute.

    The folder's text is kept ("./data"), as upstream writes it.
    """
    if name.startswith("/"):
        return name
    return name if not folder else folder + name if folder.endswith("/") else f"{folder}/{name}"


def listing(folder: str) -> list[os.DirEntry]:
    """Return the entries of a folder, sorted by name, without hidden ones. Raise ValueError if it cannot be listed."""
    try:
        with os.scandir(folder or ".") as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder}: expected a folder, got: {error.strerror}") from None


def parent(folder: str) -> str:
    """Return the folder above a folder."""
    return os.path.dirname(os.path.abspath(folder))


def is_file(entry: os.DirEntry) -> bool:
    """Return whether an entry is a file or a link to one. A link to itself is not."""
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
        """Return the stored name of a file, or None. Raise ValueError if several names differ only in case."""
        if name in self.exact:
            return name
        spellings = self.any_case.get(name.lower(), [])
        if len(spellings) > 1:
            raise ValueError(f"{self.folder}: expected one {name}, got {some(spellings)}")
        return spellings[0] if spellings else None


def find(folder: str, *names: str) -> str | None:
    """Return the path of the first of these names that a folder contains, in any case; None if there is none."""
    stored = {entry.name.lower(): entry.name for entry in reversed(listing(folder))}
    for name in names:
        if name.lower() in stored:
            return join(folder, stored[name.lower()])
    return None


def located(folder: str, *names: str) -> str:
    """Return the result of `find` for names that `locate` has found.

    Raise ValueError if they have disappeared since.
    """
    path = find(folder, *names)
    if path is None:
        raise ValueError(f"{folder}: expected {' or '.join(names)}, got none")
    return path


def below(folder: str) -> Iterator[list[str]]:
    """Yield the folders below a folder by depth: [""] for itself, its subfolders, and so on. Skip unreadable ones."""
    level = [""]
    listing(folder)  # raise if the folder itself cannot be listed
    for _ in range(DEEPEST + 1):
        yield level
        level = [join(place, name) for place in level for name in _folders(join(folder, place) if place else folder)]


def _folders(folder: str) -> list[str]:
    try:
        return [entry.name for entry in listing(folder) if entry.is_dir() and os.access(entry.path, os.R_OK | os.X_OK)]
    except ValueError:
        return []


def locate(folder: str, *names: str) -> str | None:
    """Return the nearest folder below `folder` ("" for itself) that contains one of these names, in any case; None if
    none.

    Raises:
        ValueError: Several folders are equally near.
    """
    for level in below(folder):
        places = [place for place in level if find(join(folder, place) if place else folder, *names)]
        if len(places) > 1:
            raise ValueError(f"{folder}: expected one folder with {' or '.join(names)}, got {some(places)}")
        if places:
            return places[0]
    return None


def images_below(folder: str, pattern: re.Pattern) -> dict[str, str]:
    """Return {name in lower case: path below folder} of files whose whole name matches; the nearest of several."""
    images: dict[str, str] = {}
    for level in below(folder):
        for place in level:
            for entry in listing(join(folder, place) if place else folder):
                if pattern.fullmatch(entry.name) and is_file(entry):
                    images.setdefault(entry.name.lower(), join(place, entry.name))
    return images
