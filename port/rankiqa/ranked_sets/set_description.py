"""Describe the folder of a ranked set, and prepare it for a run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import cv2

import rankiqa
from rankiqa import __version__
from rankiqa.data.json_text import parse_json
from rankiqa.ranked_sets.records import HIDDEN, RECORDS

FILE = "settings.json"
LIBRARIES = ("numpy", "pillow", "scipy")  # without bm3d, which may be installed later and is used only for ID


def settings(dataset: str, seed: int, table: dict) -> dict:
    """Return the content of OUT/settings.json: everything besides the photographs that the bytes depend on.

    Args:
        dataset: A key of DATASETS.
        seed: The seed of everything that is random.
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
    """Return a digest of the code that the bytes depend on, since a checkout changes more often than its version."""
    package = Path(rankiqa.__file__).parent
    sources = [
        package / "data" / "photographs.py",
        package / "ranked_sets" / "make_files.py",
        *package.glob("distortions/*.py"),
    ]
    text = "".join(word for path in sorted(sources) for word in _words(path.read_text(encoding="utf-8")))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _words(source: str) -> Iterator[str]:
    """Yield the words of Python code without comments, docstrings and layout, which do not change what it does."""
    signs = {tokenize.INDENT: "{", tokenize.DEDENT: "}", tokenize.NEWLINE: ";"}
    begins = True  # whether the word is the first of a statement
    for word in tokenize.generate_tokens(io.StringIO(source).readline):
        if word.type in (tokenize.COMMENT, tokenize.NL) or (begins and word.type == tokenize.STRING):
            continue
        yield signs.get(word.type, word.string)
        begins = word.type in signs


def digest(settings: dict) -> str:
    """Return the digest for the records: of the set and the seed, without which a record has no meaning."""
    return hashlib.sha256(json.dumps([settings["set"], settings["seed"]]).encode()).hexdigest()


def claim(out: Path, settings: dict, ours: list[str], folders: list[str]) -> None:
    """Create OUT and its folders, or check that OUT belongs to runs with the same settings.

    Args:
        out: The folder of the ranked set.
        settings: The settings of this run.
        ours: Names in OUT that only this command may have created.
        folders: The folders below OUT that this run writes to.

    Raises:
        ValueError: OUT belongs to something else.
        OSError: OUT cannot be read or written.
    """
    path = out / FILE
    settings = json.loads(json.dumps(settings))  # converts tuples to lists
    try:
        existing = parse_json(path.read_bytes())
    except FileNotFoundError:
        foreign = [name for name in ours if _occupied(out / name)]
        if foreign:
            raise ValueError(
                f"{out}: expected a folder of an earlier run, or one without {foreign[0]}, "
                f"got {foreign[0]} without {FILE}"
            ) from None
        with temporary_folder(out) as temporary:  # first, so that the next run recognises OUT after a kill
            (temporary / FILE).write_text(json.dumps(settings, indent=1) + "\n")
            os.replace(temporary / FILE, path)
    except ValueError:
        raise ValueError(f"{path}: expected the settings of an earlier run, got another file") from None
    else:
        _compare(path, settings, existing)
    for folder in [f"{HIDDEN}/{RECORDS}", *folders]:
        (out / folder).mkdir(parents=True, exist_ok=True)


def _occupied(path: Path) -> bool:
    """Return whether a path is a file or a folder that is not empty."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _compare(path: Path, expected: object, existing: object, where: str = "") -> None:
    """Raise ValueError for the first difference."""
    if isinstance(expected, dict) and isinstance(existing, dict):
        for key in dict.fromkeys([*expected, *existing]):
            _compare(path, expected.get(key), existing.get(key), f"{where}.{key}" if where else key)
    elif expected != existing:
        texts = [json.dumps(value) for value in (expected, existing)]
        raise ValueError(
            f"{path}: {where}: expected {texts[0]}, the value of this run, got {texts[1]}; use another --out"
        )


@contextlib.contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Yield a folder for files that are being written. It is removed at the end.

    The folders of killed runs are removed first. A run holds a lock on its folder, which the system releases when the
    run dies. So the folders of other active runs, for example on another shard, are kept.

    Raises:
        OSError: OUT cannot be written.
    """
    hidden = out / HIDDEN
    hidden.mkdir(parents=True, exist_ok=True)
    with open(hidden / "lock", "w") as gate:  # no other run may see this folder before it is locked
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
    with contextlib.suppress(OSError):  # removed by another run, or locked by an active run
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
