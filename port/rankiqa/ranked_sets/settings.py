"""What a ranked set's folder is, and what a run needs in it before it begins."""

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
from rankiqa.ranked_sets.records import HIDDEN, RECORDS

FILE = "settings.json"
LIBRARIES = ("numpy", "pillow", "scipy")  # not bm3d, which may come later, for ID alone


def settings(dataset: str, seed: int, table: dict) -> dict:
    """What OUT/settings.json holds: all that the bytes depend on beside the photographs. table: DATASETS[dataset]."""
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
    """A digest of the code that decides the bytes: a checkout changes more often than its version."""
    package = Path(rankiqa.__file__).parent
    sources = [
        package / "data" / "photographs.py",
        package / "ranked_sets" / "make_files.py",
        *package.glob("distortions/*.py"),
    ]
    text = b"".join(path.read_bytes() for path in sorted(sources))
    return hashlib.sha256(text).hexdigest()[:16]


def digest(wanted: dict) -> str:
    """The digest that records carry: of the set and the seed, which a record never outlives."""
    return hashlib.sha256(json.dumps([wanted["set"], wanted["seed"]]).encode()).hexdigest()


def claim(out: Path, wanted: dict, own: list[str], folders: list[str]) -> None:
    """Make OUT and its folders, or check that OUT is what is wanted.

    own: what only this command may have made. folders: what is made. Raises ValueError, OSError.
    """
    path = out / FILE
    wanted = json.loads(json.dumps(wanted))  # tuples as lists
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        there = [name for name in own if _occupied(out / name)]
        if there:
            raise ValueError(
                f"{out}: expected a folder of an earlier run, or one without {there[0]}, got {there[0]} and no {FILE}"
            ) from None
        with temporary(out) as place:  # first of all, so that a killed run is known again
            (place / FILE).write_text(json.dumps(wanted, indent=1) + "\n")
            os.replace(place / FILE, path)
    except ValueError:
        raise ValueError(f"{path}: expected the settings of an earlier run, got another file") from None
    else:
        _compare(path, wanted, found)
    for folder in [f"{HIDDEN}/{RECORDS}", *folders]:
        (out / folder).mkdir(parents=True, exist_ok=True)


def _occupied(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _compare(path: Path, wanted: object, found: object, where: str = "") -> None:
    """Raise ValueError at the first difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            _compare(path, wanted.get(key), found.get(key), f"{where}.{key}" if where else key)
    elif wanted != found:
        wanted, found = json.dumps(wanted), json.dumps(found)
        raise ValueError(f"{path}: {where}: expected {wanted} as this run has it, got {found}; another --out?")


@contextlib.contextmanager
def temporary(out: Path) -> Iterator[Path]:
    """A folder for files that are being written, gone at the end; those of killed runs are removed first.

    A run holds a lock on its folder, which the system takes from it when it dies: so a killed run is told from one
    that works beside this one on another shard.
    """
    hidden = out / HIDDEN
    hidden.mkdir(parents=True, exist_ok=True)
    with open(hidden / "lock", "w") as gate:  # so that no run's folder is seen before it is locked
        fcntl.flock(gate, fcntl.LOCK_EX)
        for old in hidden.glob("run-*"):
            _remove_unless_locked(old)
        place = Path(tempfile.mkdtemp(prefix="run-", dir=hidden))
        lock = os.open(place, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _remove_unless_locked(folder: Path) -> None:
    with contextlib.suppress(OSError):  # gone, or locked by a run that works
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
