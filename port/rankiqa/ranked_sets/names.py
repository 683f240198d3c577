"""The photographs of a folder, a few thousand names at a time; each with the name of what is made from it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.folders import Kind, PassedOver, scan

PRISTINE = "pristine_images"  # the folder of the undistorted images in a ranked set
AT_ONCE = 16384  # names held in memory, some 5 MB
SHOWN = 20  # names of skipped photographs that a message gives
LONGEST = 240  # bytes of a name: file systems allow 255, and a suffix follows


@dataclass(frozen=True)
class Photograph:
    """file: its name in its folder. name: of what is made from it, without suffix."""

    file: str
    name: str


def output_name(file: str) -> str:
    """The name of the files that are made from a photograph, without suffix: a_b for a/b.jpg."""
    # UPSTREAM: its lists are split at white space, and sorted with the suffix: "a.c.bmp" comes after "a.bmp", but
    # "a.c.jpg" before "a.jpg"
    return re.sub(r"[\s./]", "_", os.path.splitext(file)[0])


@dataclass
class FolderCount:
    """How many files a folder has.

    Attributes:
        photographs: All photographs.
        shard: Those of the shard.
        passed_over: The entries that are no photographs.
    """

    photographs: int = 0
    shard: int = 0
    passed_over: PassedOver = field(default_factory=PassedOver)


def count(folder: Path, shard: tuple[int, int], *, recursive: bool = False) -> FolderCount:
    """Count the photographs of a folder; `rankiqa.data.folders` says which entries those are.

    Args:
        folder: Of photographs.
        shard: (i, n), 1 <= i <= n.
        recursive: Whether folders inside are read, too.

    Raises:
        OSError: The folder cannot be read.
    """
    counts = FolderCount()
    for path, kind in scan(folder, recursive=recursive):
        if kind is Kind.IMAGE:
            counts.photographs += 1
            counts.shard += _hash(output_name(path)) % shard[1] == shard[0] - 1
        else:
            counts.passed_over.add(kind, path)
    return counts


def photographs(
    folder: Path, shard: tuple[int, int], expected: int, at_once: int = AT_ONCE, *, recursive: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """The photographs of a shard, in an order that depends on their names alone.

    Args:
        folder: Of photographs.
        shard: (i, n), 1 <= i <= n. The hash of a name modulo n decides, so photographs that are added later move none.
        expected: About how many the shard has.
        at_once: The most names held in memory, about.
        recursive: Whether folders inside are read, too.

    Yields:
        (name, files): more than one file when they differ in the suffix alone.
    """
    # The folder is read once a round, and a round takes the names whose hashes fall into it
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
