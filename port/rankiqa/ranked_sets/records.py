"""What was made from a photograph, so that a later run can tell what is there and right."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

HIDDEN = ".rankiqa"
RECORDS = "records"
CHUNK = 1 << 20


@dataclass
class Record:
    """settings: their digest. photograph: the SHA-256 of its file. files: {path in OUT: (size, SHA-256)}."""

    settings: str
    photograph: str
    height: int
    width: int
    files: dict[str, list] = field(default_factory=dict)

    def fits(self, settings: str, photograph: str) -> bool:
        """Whether it was made with these settings from this photograph."""
        return (self.settings, self.photograph) == (settings, photograph)

    def holds(self, out: Path, path: str, quick: bool) -> bool:
        """Whether a file is there and right. quick: by its size alone."""
        if path not in self.files:
            return False
        size, digest = self.files[path]
        try:
            return os.path.getsize(out / path) == size and (quick or file_digest(out / path) == digest)
        except OSError:
            return False


def record_path(out: Path, name: str) -> Path:
    """Where the record of a name stands."""
    return out / HIDDEN / RECORDS / f"{name}.json"


def read_record(out: Path, name: str) -> Record | None:
    """The record of a name; None when there is none, or it cannot be read."""
    try:
        return Record(**json.loads(record_path(out, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def record_bytes(record: Record) -> bytes:
    """A record as its file holds it; the same whatever order the files were made in."""
    return (json.dumps(asdict(record), sort_keys=True, indent=0) + "\n").encode()


def forget(out: Path, name: str, record: Record | None) -> None:
    """Remove what a record names, then the record."""
    for path in [*(record.files if record else ()), record_path(out, name)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out / path)


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file, read a piece at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
