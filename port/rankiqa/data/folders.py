"""Find the image files of a folder. All commands that take a folder use these rules.

- A file whose suffix is one of `images.SUFFIXES` (in any case) is an image, and so is a link to one.
- A broken link with such a suffix also counts as an image, so that reading it reports it by name.
- Hidden entries (names that start with a dot, such as macOS's ._photo.jpg) are skipped silently.
- Everything else is skipped too, but counted by kind, and the first few names are recorded.
"""

from __future__ import annotations

import enum
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.images import SUFFIXES, ImageError

SHOWN = 5  # maximum number of names per kind in a message


class Kind(enum.Enum):
    """The kinds of folder entries. The values are the plurals used in messages."""

    IMAGE = "images"
    FOLDER = "folders"
    UNREADABLE = "folders that cannot be read"
    DANGLING = "links to nothing"
    SPECIAL = "special files"  # a device, a socket, a pipe
    OTHER = "other files"


@dataclass
class Ignored:
    """The entries of a folder that are not images.

    Attributes:
        counts: The number of entries of each kind.
        first: The first SHOWN names of each kind, in the order in which they were added.
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
        """Return the number of skipped entries."""
        return sum(self.counts.values())

    def by_kind(self) -> dict[str, int]:
        """Return {kind: count} with names for JSON (folder, dangling, ..), including kinds with count 0."""
        return {kind.name.lower(): self.counts.get(kind, 0) for kind in Kind if kind is not Kind.IMAGE}

    def text(self) -> str:
        """Return a summary in one line: `2 folders (a, b), 7 other files (notes.txt, .. and 2 more)`."""
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
    """Return a path with its accents encoded as on disk.

    macOS and its archives decompose accented letters (NFD), while lists usually contain composed ones (NFC).
    """
    if path.isascii() or os.path.lexists(path):
        return path
    forms = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    return next((form for form in forms if os.path.lexists(form)), path)


def is_image_name(name: str) -> bool:
    """Return whether a file name is that of an image: it has a known suffix and is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def scan(folder: str | os.PathLike, *, recursive: bool = False) -> Iterator[tuple[str, Kind]]:
    """Yield the entries of a folder in arbitrary order.

    Args:
        folder: The folder.
        recursive: Whether to read subfolders too. Each is read once, even if several links lead to it.

    Yields:
        (path relative to the folder with "/" as separator, kind). Hidden entries are skipped, and so are the subfolders
        themselves if `recursive` reads them.

    Raises:
        OSError: If the folder itself cannot be listed.
    """
    top = os.fspath(folder)
    pending, seen = [""], {_identity(top)} if recursive else set()
    while pending:
        subfolder = pending.pop()
        try:
            entries = os.scandir(os.path.join(top, subfolder) if subfolder else top)
        except OSError:
            if not subfolder:
                raise
            yield subfolder, Kind.UNREADABLE
            continue
        with entries as opened:
            for entry in opened:
                if entry.name.startswith("."):
                    continue
                path, kind = f"{subfolder}/{entry.name}" if subfolder else entry.name, _kind(entry)
                if not recursive or kind is not Kind.FOLDER:
                    yield path, kind
                elif (identity := _identity(entry.path)) not in seen:
                    seen.add(identity)
                    pending.append(path)


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _kind(entry: os.DirEntry) -> Kind:
    try:  # is_file and is_dir access the file system only for links
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


def list_folder(folder: str | os.PathLike, *, recursive: bool = False) -> tuple[list[str], Ignored]:
    """List the images of a folder, sorted by name. A folder's own images come before those of its subfolders.

    Args:
        folder: The folder.
        recursive: Whether to read subfolders too.

    Returns:
        The images' paths relative to the folder, and the skipped entries.

    Raises:
        OSError: If the folder cannot be listed.
    """
    images, ignored = [], Ignored()
    for path, kind in sorted(scan(folder, recursive=recursive)):
        if kind is Kind.IMAGE:
            images.append(path)
        else:
            ignored.add(kind, path)
    return sorted(images, key=lambda path: (path.split("/")[:-1], path)), ignored


def find_images(paths: list[str | os.PathLike], *, recursive: bool = False) -> tuple[list[Path], dict[str, Ignored]]:
    """Find the images of files and folders.

    Args:
        paths: Files, which are returned unchecked even if they do not exist, and folders.
        recursive: Whether to read subfolders too.

    Returns:
        The images in the order of `paths`, those of a folder sorted by name; and {folder: skipped entries} for the
        folders with skipped entries.

    Raises:
        ImageError: If a folder contains no images or cannot be listed.
    """
    images: list[Path] = []
    ignored: dict[str, Ignored] = {}
    for path in paths:
        if not os.path.isdir(path):
            images.append(Path(path))
            continue
        try:
            inside, others = list_folder(path, recursive=recursive)
        except OSError as error:
            raise ImageError(f"{path}: expected a readable folder, got: {error.strerror}") from None
        if not inside:
            got = f"no image, only {others.text()}" if others.total() else "none"
            if Kind.FOLDER in others.counts:
                got += "; --recursive reads the folders inside"
            raise ImageError(f"{path}: expected a folder with images ({' '.join(sorted(SUFFIXES))}), got {got}")
        images += [Path(path, name) for name in inside]
        if others.total():
            ignored[os.fspath(path)] = others
    return images, ignored
