"""The images that `rankiqa score` reads from its arguments."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rankiqa.data.image_sources import ImageSource

STDIN = "-"


class Inputs:
    """An iterable over the images of files, folders, globs, archives and a list on standard input.

    Folders and globs are listed at once, so that a run does not begin if one of them has no image. Archives and
    standard input are read only when their images are needed.

    Args:
        paths: The paths of the command line.
        recursive: Whether to read subfolders, too.
        shard: (i, n): every n-th image, from the i-th.
        twice: Whether the images are iterated over twice. Standard input is then read to its end first.

    Attributes:
        notes: Messages for the user: what the folders contain besides images.
        total: The number of images; None if it is unknown until all have been read.

    Raises:
        ValueError: For a folder without images, a glob that matches none, or a closed standard input.
    """

    def __init__(self, paths: list[str], *, recursive: bool, shard: tuple[int, int], twice: bool = False):
        from rankiqa.data.folders import Ignored
        from rankiqa.data.image_sources import files_of, is_archive

        self.recursive, self.shard = recursive, shard
        ignored: dict[str, Ignored] = {}
        self.parts = [None if path == STDIN else files_of(path, recursive=recursive, ignored=ignored) for path in paths]
        self.notes = [f"{folder}: ignored {others.text()}" for folder, others in ignored.items()]
        files = list(self.files())
        self.total: int | None = None
        if STDIN not in paths and not any(map(is_archive, files)):
            self.total = len(range(shard[0] - 1, len(files), shard[1]))
        if STDIN in paths and sys.stdin is None:
            raise ValueError("-: expected a list on standard input, got a closed one")
        if STDIN in paths and isinstance(sys.stdin, io.TextIOWrapper):  # file names may not be valid text
            sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors())
        self.lines = list(sys.stdin) if twice and STDIN in paths else None

    def files(self) -> Iterator[str]:
        """Return the files and archives that are known without reading standard input."""
        return (name for part in self.parts for name in part or ())

    def __iter__(self) -> Iterator[ImageSource]:
        """Return the images of the shard, in the order of the paths."""
        return itertools.islice(self._all(), self.shard[0] - 1, None, self.shard[1])

    def _all(self) -> Iterator[ImageSource]:
        """Return the images of all shards."""
        from rankiqa.data.image_sources import paths_of_lines, sources_of, sources_of_all

        for part in self.parts:
            if part is None:
                lines = sys.stdin if self.lines is None else self.lines
                yield from sources_of_all(paths_of_lines(lines), recursive=self.recursive)
            else:
                yield from sources_of(part)
