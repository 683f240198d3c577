"""The photographs of a folder, a few thousand names at a time; each with the name of what is made from it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rankiqa.data.images import SUFFIXES

AT_ONCE = 16384  # names held in memory, some 5 MB
SHOWN = 20
LONGEST = 240  # bytes of a name: file systems allow 255, and a suffix follows


def output_name(file: str) -> str:
    """What the files made from a photograph are called, without suffix."""
    # UPSTREAM: its lists are split at white space, and sorted with the suffix, so that "a.c.bmp" stands behind "a.bmp"
    # but "a.c.jpg" before "a.jpg"
    return re.sub(r"[\s.]", "_", os.path.splitext(file)[0])


def is_photograph(entry: os.DirEntry) -> bool:
    """Whether a folder's entry is a file with an image's suffix; hidden ones (macOS leaves ._a.jpg) are not."""
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # a broken link: refused by name


@dataclass
class Count:
    """every: photographs of the folder; shard: those of the shard; others: other files, the first few by name."""

    every: int = 0
    shard: int = 0
    others: int = 0
    first: list[str] = field(default_factory=list)


def count(folder: Path, shard: tuple[int, int]) -> Count:
    """What is in the folder, not counting folders inside and hidden files. Raises OSError."""
    found = Count()
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_photograph(entry):
                found.every += 1
                found.shard += _place(output_name(entry.name)) % shard[1] == shard[0] - 1
            elif not entry.name.startswith(".") and entry.is_file():
                found.others += 1
                if len(found.first) < SHOWN:
                    found.first.append(entry.name)
    return found


def photographs(folder: Path, shard: tuple[int, int], expected: int, at_once: int = AT_ONCE) -> Iterator:
    """(name, the files that have it) for each name of the shard, in an order that depends on the names alone.

    shard: (i, n), 1 <= i <= n; a name's shard is its digest modulo n, so photographs that come later move none.
    expected: about how many the shard has. More than one file has a name when they differ in the suffix alone.
    """
    # The folder is read once a round, and a round holds the names whose digests fall into it
    rounds = -(-expected // at_once) or 1
    for number in range(rounds):
        found: dict[str, list[str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                name = output_name(entry.name)
                round_of, shard_of = divmod(_place(name), shard[1])
                if shard_of == shard[0] - 1 and round_of % rounds == number and is_photograph(entry):
                    found.setdefault(name, []).append(entry.name)
        for name in sorted(found):
            yield name, sorted(found[name])


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
