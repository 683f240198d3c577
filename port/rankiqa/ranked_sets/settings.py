"""The description of a ranked set's folder, and its preparation for a run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

import rankiqa
from rankiqa import __version__
from rankiqa.data.json_text import parse_json
from rankiqa.ranked_sets.records import HIDDEN, RECORDS

FILE = "settings.json"
LIBRARIES = ("numpy", "pillow", "scipy")  # not bm3d, which may come later, for ID alone


def settings(dataset: str, seed: int, table: dict) -> dict:
    """The content of OUT/settings.json: all that the bytes depend on beside the photographs.

    Args:
        dataset: A key of DATASETS.
        seed: Of what is random.
        table: DATASETS[dataset].
    """
    versions = {"rankiqa": __version__, "code": _code(), "opencv": cv2.__version__}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    types = {
        row.name: {"title": row.title, "origin": row.origin, "parameter": row.parameter, "levels": list(row.levels)}
        for row in table.values()
    }
    return {"command": "distort", "set": dataset, "seed": seed, "versions": versions, "types": types}


def _code() -> str:
    """The digest of the code that the bytes depend on: a checkout changes more often than its version."""
    package = Path(rankiqa.__file__).parent
    sources = [
        package / "data" / "photographs.py",
        package / "ranked_sets" / "make_files.py",
        *package.glob("distortions/*.py"),
    ]
    text = b"".join(path.read_bytes() for path in sorted(sources))
    return hashlib.sha256(text).hexdigest()[:16]


def digest(settings: dict) -> str:
    """The digest in the records: of the set and the seed, without which a record means nothing."""
    return hashlib.sha256(json.dumps([settings["set"], settings["seed"]]).encode()).hexdigest()


def claim(out: Path, settings: dict, ours: list[str], folders: list[str]) -> None:
    """Create OUT and its folders, or check that OUT belongs to runs with the same settings.

    Args:
        out: The folder of the ranked set.
        settings: Of this run.
        ours: Names in OUT that only this command may have made.
        folders: The folders that this run writes into, below OUT.

    Raises:
        ValueError: OUT belongs to something else.
        OSError: OUT cannot be read or written.
    """
    path = out / FILE
    settings = json.loads(json.dumps(settings))  # tuples as lists
    try:
        existing = parse_json(path.read_bytes())
    except FileNotFoundError:
        foreign = [name for name in ours if _occupied(out / name)]
        if foreign:
            raise ValueError(
                f"{out}: expected a folder of an earlier run, or one without {foreign[0]}, "
                f"got {foreign[0]} and no {FILE}"
            ) from None
        with temporary_folder(out) as temporary:  # before any other file, so that the next run knows OUT after a kill
            (temporary / FILE).write_text(json.dumps(settings, indent=1) + "\n")
            os.replace(temporary / FILE, path)
    except ValueError:
        raise ValueError(f"{path}: expected the settings of an earlier run, got another file") from None
    else:
        _compare(path, settings, existing)
    for folder in [f"{HIDDEN}/{RECORDS}", *folders]:
        (out / folder).mkdir(parents=True, exist_ok=True)


def _occupied(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _compare(path: Path, expected: object, existing: object, where: str = "") -> None:
    """Raise ValueError at the first difference."""
    if isinstance(expected, dict) and isinstance(existing, dict):
        for key in dict.fromkeys([*expected, *existing]):
            _compare(path, expected.get(key), existing.get(key), f"{where}.{key}" if where else key)
    elif expected != existing:
        texts = [json.dumps(value) for value in (expected, existing)]
        raise ValueError(f"{path}: {where}: expected {texts[0]} as this run has it, got {texts[1]}; another --out?")


@contextlib.contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """A folder for files that are being written, removed at the end.

    Those of killed runs are removed first. A run holds a lock on its folder that the system releases when the run
    dies, so the folders of runs that work beside this one, on another shard, are left alone.

    Raises:
        OSError: OUT cannot be written.
    """
    hidden = out / HIDDEN
    hidden.mkdir(parents=True, exist_ok=True)
    with open(hidden / "lock", "w") as gate:  # so that no other run sees this folder before it is locked
        fcntl.flock(gate, fcntl.LOCK_EX)
        for old in hidden.glob("run-*"):
            _remove_unless_locked(old)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=hidden))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_unless_locked(folder: Path) -> None:
    with contextlib.suppress(OSError):  # removed by another run, or locked by a run that works
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
