"""List the photographs of a folder, a few thousand names at a time, with the names of their output files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.folders import Ignored, Kind, scan

PRISTINE = "pristine_images"  # the folder of the undistorted images in a ranked set
AT_ONCE = 16384  # names in memory at a time, about 5 MB
SHOWN = 20  # number of skipped photographs that a message lists
LONGEST = 240  # bytes of a name: file systems allow 255, including a suffix


@dataclass(frozen=True)
class Photograph:
    """A photograph. `file` is its name in its folder, `name` that of its output files without suffix."""

    file: str
    name: str


def output_name(file: str) -> str:
    """Return the name of a photograph's output files, without suffix: a_b for a/b.jpg."""
    # UPSTREAM: lists are split at white space and sorted with the suffix: "a.c.bmp" comes after "a.bmp", but "a.c.jpg"
    # before "a.jpg".
    return re.sub(r"[\s./]", "_", os.path.splitext(file)[0])


@dataclass
class FolderCount:
    """The numbers of files in a folder.

    Attributes:
        photographs: All photographs.
        shard: The photographs of the shard.
        ignored: The entries that are not photographs.
    """

    photographs: int = 0
    shard: int = 0
    ignored: Ignored = field(default_factory=Ignored)


def count(folder: Path, shard: tuple[int, int], *, recursive: bool = False) -> FolderCount:
    """Count the photographs of a folder; `rankiqa.data.folders` defines which entries are photographs.

    Args:
        folder: The folder of photographs.
        shard: (i, n), 1 <= i <= n.
        recursive: Whether to read subfolders, too.

    Returns:
        The counts.

    Raises:
        OSError: The folder cannot be read.
    """
    counts = FolderCount()
    for path, kind in scan(folder, recursive=recursive):
        if kind is Kind.IMAGE:
            counts.photographs += 1
            counts.shard += _hash(output_name(path)) % shard[1] == shard[0] - 1
        else:
            counts.ignored.add(kind, path)
    return counts


def photographs(
    folder: Path, shard: tuple[int, int], expected: int, at_once: int = AT_ONCE, *, recursive: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Yield the photographs of a shard, in an order that depends only on their names.

    Args:
        folder: The folder of photographs.
        shard: (i, n), 1 <= i <= n. The hash of a name modulo n decides, so new photographs do not move others to
            another shard.
        expected: The approximate number of photographs in the shard.
        at_once: The approximate largest number of names in memory.
        recursive: Whether to read subfolders, too.

    Yields:
        (name, files): more than one file if they differ only in the suffix.
    """
    # Each round reads the folder once and takes the names whose hashes belong to the round.
    rounds = -(-expected // at_once) or 1
    for number in range(rounds):
        files: dict[str, list[str]] = {}
        for path, kind in scan(folder, recursive=recursive):
            name = output_name(path)
            round_of_name, shard_of_name = divmod(_hash(name), shard[1])
            if shard_of_name == shard[0] - 1 and round_of_name % rounds == number and kind is Kind.IMAGE:
                files.setdefault(name, []).append(path)
        for name in sorted(files):
            yield name, sorted(files[name])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
