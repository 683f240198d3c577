"""Pixels that the reference's cv2.imread reads from image files: in its container, or recorded.

A recording holds, for each file, 16 bytes of the file's SHA-256 and 16 bytes of that of its pixels. Another release of
Pillow or OpenCV writes the same kinds of files with other bytes; a recorded answer omits files that were not recorded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from caffe_client import Live
from lib import recordings
from rankiqa.data.atomic_files import replacing

RECORDING = recordings.FOLDER / "readers" / "pixels.npz"
INSIDE = Path(__file__).resolve().parents[2] / "caffe_ref" / "read_images.py"
_KEPT = 16
_NONE = bytes(_KEPT)  # the reference cannot read the file


def digest(bgr: np.ndarray) -> bytes:
    """Return a digest of 16 bytes of pixels, uint8 (H, W, 3) BGR, and their shape."""
    return _of(list(bgr.shape), hashlib.sha256(np.ascontiguousarray(bgr)).hexdigest())


def _of(shape: list[int], pixels: str) -> bytes:
    return hashlib.sha256(f"{shape} {pixels}".encode()).digest()[:_KEPT]


def read(caffe, files: dict[str, bytes]) -> dict[str, bytes | None]:
    """Return {name: `digest` of the pixels, or None if the reference cannot read the file} of the known files."""
    keys = {name: hashlib.sha256(data).digest()[:_KEPT] for name, data in files.items()}
    known = _ask(caffe, files, keys) if isinstance(caffe, Live) else _recorded()
    answers = {name: known[key] for name, key in keys.items() if key in known}
    return {name: None if answer == _NONE else answer for name, answer in answers.items()}


def _ask(caffe: Live, files: dict[str, bytes], keys: dict[str, bytes]) -> dict[bytes, bytes]:
    names = {f"{i:05d}": name for i, name in enumerate(files)}
    with tempfile.TemporaryDirectory(prefix="rankiqa-") as folder:
        shutil.copyfile(INSIDE, Path(folder, INSIDE.name))
        Path(folder, "images").mkdir()
        for short, name in names.items():
            Path(folder, "images", short).write_bytes(files[name])
        caffe.run(["python3", INSIDE.name, "images", "answer.json"], folder)
        answers = json.loads(Path(folder, "answer.json").read_text())
    live = {keys[names[short]]: _NONE if answer is None else _of(*answer) for short, answer in answers.items()}
    if caffe.keep:
        RECORDING.parent.mkdir(exist_ok=True)
        with replacing(RECORDING) as temporary, open(temporary, "wb") as file:
            rows = [np.frombuffer(b"".join(part), np.uint8).reshape(-1, _KEPT) for part in zip(*sorted(live.items()))]
            np.savez(file, files=rows[0], pixels=rows[1])
    elif caffe.verify:
        recorded = _recorded()
        stale = [name for name, key in keys.items() if key in recorded and recorded[key] != live[key]]
        if stale:
            raise AssertionError(f"readers: the reference's pixels differ from the recording for {stale[:10]}")
    return live


def _recorded() -> dict[bytes, bytes]:
    with np.load(RECORDING, allow_pickle=False) as kept:
        return {bytes(file): bytes(pixels) for file, pixels in zip(kept["files"], kept["pixels"], strict=True)}
