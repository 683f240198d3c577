"""The record of the files made from a photograph. A later run uses it to find out which files are valid."""

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
    """The files made from a photograph.

    Attributes:
        settings: The digest of the settings.
        photograph: The SHA-256 of the photograph's file.
        height: The height of the photograph in pixels.
        width: The width of the photograph in pixels.
        files: {path below OUT: [size, SHA-256]}.
    """

    settings: str
    photograph: str
    height: int
    width: int
    files: dict[str, list] = field(default_factory=dict)

    def matches(self, settings: str, photograph: str) -> bool:
        """Return whether the record was written with these settings for this photograph (both digests)."""
        return (self.settings, self.photograph) == (settings, photograph)

    def is_valid(self, out: Path, path: str, quick: bool) -> bool:
        """Return whether a file is unchanged since it was made.

        Args:
            out: The folder of the set.
            path: The path of the file below it.
            quick: Whether to compare only the size.
        """
        if path not in self.files:
            return False
        size, digest = self.files[path]
        try:
            return os.path.getsize(out / path) == size and (quick or file_digest(out / path) == digest)
        except OSError:
            return False


def record_path(out: Path, name: str) -> Path:
    """Return the path of the record for a name."""
    return out / HIDDEN / RECORDS / f"{name}.json"


def read_record(out: Path, name: str) -> Record | None:
    """Return the record for a name; None if it is missing or cannot be read."""
    try:
        record = Record(**parse_json(record_path(out, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return record if _is_whole(record) else None


def _is_whole(record: Record) -> bool:
    """Check that every entry has its type, since a damaged file may still be JSON."""
    entries = record.files.values() if isinstance(record.files, dict) else [None]
    return (
        isinstance(record.settings, str)
        and isinstance(record.photograph, str)
        and type(record.height) is type(record.width) is int
        and all(isinstance(entry, list) and [type(value) for value in entry] == [int, str] for entry in entries)
    )


def record_bytes(record: Record) -> bytes:
    """Return the content of a record's file. It does not depend on the order in which the files were made."""
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
