"""The photographs of a folder, a few thousand names at a time; each with the name of what is made from it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.images import SUFFIXES

PRISTINE = "pristine_images"  # the folder of the undistorted images in a ranked set
AT_ONCE = 16384  # names held in memory, some 5 MB
SHOWN = 20
LONGEST = 240  # bytes of a name: file systems allow 255, and a suffix follows


@dataclass(frozen=True)
class Photograph:
    """file: its name in its folder. name: of what is made from it, without suffix."""

    file: str
    name: str


def output_name(file: str) -> str:
    """The name of the files that are made from a photograph, without suffix."""
    # UPSTREAM: its lists are split at white space, and sorted with the suffix: "a.c.bmp" comes after "a.bmp", but
    # "a.c.jpg" before "a.jpg"
    return re.sub(r"[\s.]", "_", os.path.splitext(file)[0])


def is_photograph(entry: os.DirEntry) -> bool:
    """Whether an entry of a folder is a file with the suffix of an image.

    Hidden files (macOS leaves ._a.jpg) are not. A broken link is, so that it is refused by name.
    """
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


@dataclass
class FolderCount:
    """How many files a folder has.

    Attributes:
        photographs: All photographs.
        shard: Those of the shard.
        others: Other files.
        other_names: The first few of them.
    """

    photographs: int = 0
    shard: int = 0
    others: int = 0
    other_names: list[str] = field(default_factory=list)


def count(folder: Path, shard: tuple[int, int]) -> FolderCount:
    """Count the files of a folder, without the folders inside and hidden files.

    Args:
        folder: Of photographs.
        shard: (i, n), 1 <= i <= n.

    Raises:
        OSError: The folder cannot be read.
    """
    counts = FolderCount()
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_photograph(entry):
                counts.photographs += 1
                counts.shard += _hash(output_name(entry.name)) % shard[1] == shard[0] - 1
            elif not entry.name.startswith(".") and entry.is_file():
                counts.others += 1
                if len(counts.other_names) < SHOWN:
                    counts.other_names.append(entry.name)
    return counts


def photographs(
    folder: Path, shard: tuple[int, int], expected: int, at_once: int = AT_ONCE
) -> Iterator[tuple[str, list[str]]]:
    """The photographs of a shard, in an order that depends on their names alone.

    Args:
        folder: Of photographs.
        shard: (i, n), 1 <= i <= n. The hash of a name modulo n decides, so photographs that are added later move none.
        expected: About how many the shard has.
        at_once: The most names held in memory, about.

    Yields:
        (name, files): more than one file when they differ in the suffix alone.
    """
    # The folder is read once a round, and a round takes the names whose hashes fall into it
    rounds = -(-expected // at_once) or 1
    for number in range(rounds):
        files: dict[str, list[str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                name = output_name(entry.name)
                round_of_name, shard_of_name = divmod(_hash(name), shard[1])
                if shard_of_name == shard[0] - 1 and round_of_name % rounds == number and is_photograph(entry):
                    files.setdefault(name, []).append(entry.name)
        for name in sorted(files):
            yield name, sorted(files[name])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
