"""Which files of a folder are images: one rule for every command that takes a folder.

- a file whose suffix is one of `images.SUFFIXES` (in any case) is an image, and so is a link to one
- a link with such a suffix that leads nowhere is also given as an image, so that reading it reports it by name
- hidden entries (a name that starts with a dot, such as macOS's ._photo.jpg) are skipped without a word
- all else is passed over: counted by kind, the first few by name
"""

from __future__ import annotations

import enum
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.images import SUFFIXES, ImageError

SHOWN = 5  # names of each kind that a message gives


class Kind(enum.Enum):
    """What an entry of a folder is; the value is the plural in messages."""

    IMAGE = "images"
    FOLDER = "folders"
    UNREADABLE = "folders that cannot be read"
    DANGLING = "links to nothing"
    SPECIAL = "special files"  # a device, a socket, a pipe
    OTHER = "other files"


@dataclass
class PassedOver:
    """The entries of a folder that are no images.

    Attributes:
        counts: How many of each kind.
        first: The first SHOWN names of each kind, as they were met.
    """

    counts: dict[Kind, int] = field(default_factory=dict)
    first: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, name: str) -> None:
        """Count an entry."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        names = self.first.setdefault(kind, [])
        if len(names) < SHOWN:
            names.append(name)

    def total(self) -> int:
        """How many entries were passed over."""
        return sum(self.counts.values())

    def by_kind(self) -> dict[str, int]:
        """{kind: count} with names for JSON (folders, dangling, ..), kinds that did not occur included."""
        return {kind.name.lower(): self.counts.get(kind, 0) for kind in Kind if kind is not Kind.IMAGE}

    def text(self) -> str:
        """One line: `2 folders (a, b), 7 other files (notes.txt, .. and 2 more)`."""
        return ", ".join(
            f"{count} {kind.value if count > 1 else _SINGULAR[kind]} ({self._names(kind)})"
            for kind, count in self.counts.items()
        )

    def _names(self, kind: Kind) -> str:
        names, more = sorted(self.first[kind]), self.counts[kind] - len(self.first[kind])
        return ", ".join(names) + (f" and {more} more" if more else "")


_SINGULAR = {
    Kind.FOLDER: "folder",
    Kind.UNREADABLE: "folder that cannot be read",
    Kind.DANGLING: "link to nothing",
    Kind.SPECIAL: "special file",
    Kind.OTHER: "other file",
}


def stored_name(path: str) -> str:
    """A path as it is stored: macOS and its archives take accents apart (NFD), where lists have them whole (NFC)."""
    if path.isascii() or os.path.lexists(path):
        return path
    forms = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    return next((form for form in forms if os.path.lexists(form)), path)


def is_image_name(name: str) -> bool:
    """Whether a file's name is an image's: a known suffix, not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def scan(folder: str | os.PathLike, *, recursive: bool = False) -> Iterator[tuple[str, Kind]]:
    """The entries of a folder, one at a time and in no order.

    Args:
        folder: The folder.
        recursive: Whether folders inside are read, too; each once, however many links lead to it.

    Yields:
        (path below the folder with "/" between folders, kind). Hidden entries are left out, and so are the folders
        themselves where `recursive` reads them.

    Raises:
        OSError: When the folder itself cannot be listed.
    """
    top = os.fspath(folder)
    inside, seen = [""], {_identity(top)} if recursive else set()
    while inside:
        place = inside.pop()
        try:
            entries = os.scandir(os.path.join(top, place) if place else top)
        except OSError:
            if not place:
                raise
            yield place, Kind.UNREADABLE
            continue
        with entries as opened:
            for entry in opened:
                if entry.name.startswith("."):
                    continue
                path, kind = f"{place}/{entry.name}" if place else entry.name, _kind(entry)
                if not recursive or kind is not Kind.FOLDER:
                    yield path, kind
                elif (identity := _identity(entry.path)) not in seen:
                    seen.add(identity)
                    inside.append(path)


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _kind(entry: os.DirEntry) -> Kind:
    try:  # neither asks the file system but for links
        if entry.is_file():
            return Kind.IMAGE if is_image_name(entry.name) else Kind.OTHER
        if entry.is_dir():
            return Kind.FOLDER
        dangling = entry.is_symlink() and not os.path.exists(entry.path)
    except OSError:  # a link to itself
        dangling = True
    if dangling:
        return Kind.IMAGE if is_image_name(entry.name) else Kind.DANGLING
    return Kind.SPECIAL


def list_folder(folder: str | os.PathLike, *, recursive: bool = False) -> tuple[list[str], PassedOver]:
    """The images of a folder, sorted by name; those of a folder before those of the folders inside it.

    Args:
        folder: The folder.
        recursive: Whether folders inside are read, too.

    Returns:
        The images' paths below the folder, and what was passed over.

    Raises:
        OSError: When the folder cannot be listed.
    """
    images, passed_over = [], PassedOver()
    for path, kind in sorted(scan(folder, recursive=recursive)):
        if kind is Kind.IMAGE:
            images.append(path)
        else:
            passed_over.add(kind, path)
    return sorted(images, key=lambda path: (path.split("/")[:-1], path)), passed_over


def find_images(paths: list[str | os.PathLike], *, recursive: bool = False) -> tuple[list[Path], dict[str, PassedOver]]:
    """The images of files and folders.

    Args:
        paths: Files, which are taken as they are (whether they exist or not), and folders.
        recursive: Whether folders inside the folders are read, too.

    Returns:
        The images in the order of `paths`, a folder's sorted by name; and {folder: what was passed over} for the
        folders where something was.

    Raises:
        ImageError: For a folder without images, or one that cannot be listed.
    """
    images: list[Path] = []
    passed_over: dict[str, PassedOver] = {}
    for path in paths:
        if not os.path.isdir(path):
            images.append(Path(path))
            continue
        try:
            inside, others = list_folder(path, recursive=recursive)
        except OSError as error:
            raise ImageError(f"{path}: expected a readable folder, got: {error.strerror}") from None
        if not inside:
            got = f"none but {others.text()}" if others.total() else "none"
            if Kind.FOLDER in others.counts:
                got += "; --recursive reads the folders inside"
            raise ImageError(f"{path}: expected a folder with images ({' '.join(sorted(SUFFIXES))}), got {got}")
        images += [Path(path, name) for name in inside]
        if others.total():
            passed_over[os.fspath(path)] = others
    return images, passed_over
