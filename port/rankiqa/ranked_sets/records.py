"""The record of what was made from a photograph: a later run finds out from it which files are valid."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rankiqa.data.json_text import parse_json

HIDDEN = ".rankiqa"
RECORDS = "records"
CHUNK = 1 << 20


@dataclass
class Record:
    """What was made from a photograph.

    Attributes:
        settings: The digest of the settings.
        photograph: The SHA-256 of its file.
        height: Of the photograph, pixels.
        width: Of the photograph, pixels.
        files: {path below OUT: [size, SHA-256]}.
    """

    settings: str
    photograph: str
    height: int
    width: int
    files: dict[str, list] = field(default_factory=dict)

    def matches(self, settings: str, photograph: str) -> bool:
        """Whether it was written with these settings for this photograph (digests)."""
        return (self.settings, self.photograph) == (settings, photograph)

    def is_valid(self, out: Path, path: str, quick: bool) -> bool:
        """Whether a file is the one that was made.

        Args:
            out: The set's folder.
            path: The file below it.
            quick: Whether only the size is compared.
        """
        if path not in self.files:
            return False
        size, digest = self.files[path]
        try:
            return os.path.getsize(out / path) == size and (quick or file_digest(out / path) == digest)
        except OSError:
            return False


def record_path(out: Path, name: str) -> Path:
    """The path of the record of a name."""
    return out / HIDDEN / RECORDS / f"{name}.json"


def read_record(out: Path, name: str) -> Record | None:
    """The record of a name; None when there is none, or it cannot be read."""
    try:
        record = Record(**parse_json(record_path(out, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return record if _is_whole(record) else None


def _is_whole(record: Record) -> bool:
    """Whether every entry is of its type: a damaged file may be JSON, too."""
    entries = record.files.values() if isinstance(record.files, dict) else [None]
    return (
        isinstance(record.settings, str)
        and isinstance(record.photograph, str)
        and type(record.height) is type(record.width) is int
        and all(isinstance(entry, list) and [type(value) for value in entry] == [int, str] for entry in entries)
    )


def record_bytes(record: Record) -> bytes:
    """The bytes of a record's file; the same whatever order the files were made in."""
    return (json.dumps(asdict(record), sort_keys=True, indent=0) + "\n").encode()


def remove_files(out: Path, name: str, record: Record | None) -> None:
    """Remove the files that a record names, then the record."""
    for path in [*(record.files if record else ()), record_path(out, name)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out / path)


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
