"""What Octave answers, live or as it was recorded: enough of it to tell whether a picture is the same in every pixel.

A recording holds, for each picture, the SHA-256 of its pixels and SAMPLE of their values, how many random numbers the
original's code took, and of a JPEG file the quantisation tables and the sampling.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from caffe_client import Difference, sample_places
from lib import recordings
from lib.recordings import NotRecorded
from rankiqa.data.atomic_files import replacing

RECORDED = recordings.FOLDER / "octave"
SAMPLE = 64  # values kept of a picture
AGAIN = "RANKIQA_UPSTREAM=PATH scripts/test --record -m upstream -k octave"


def pixels_of(file):
    """The bytes of a picture's file as uint8 (H, W, 3), RGB."""
    with Image.open(io.BytesIO(file)) as image:
        return np.array(image.convert("RGB"))


def digest(pixels):
    """SHA-256 of a picture: its shape and its values."""
    return hashlib.sha256(f"{pixels.shape}\n".encode() + np.ascontiguousarray(pixels).tobytes()).digest()


def sample(pixels):
    at = sample_places(pixels.size)
    return pixels.reshape(-1)[at[:: max(1, at.size // SAMPLE)][:SAMPLE]]


def jpeg_header(file):
    """Two quantisation tables and the sampling factors of three components, one uint8 array; empty for other files."""
    with Image.open(io.BytesIO(file)) as image:
        if image.format != "JPEG":
            return np.zeros(0, np.uint8)
        tables = [image.quantization[number] for number in sorted(image.quantization)]
        sampling = [component[1:3] for component in image.layer]
    return np.array([*tables[0], *tables[-1], *(n for pair in sampling for n in pair)], np.uint8)


@dataclass(frozen=True)
class Answer:
    """One picture of Octave's. pixels: uint8 (H, W, 3), or None where only a recording is there."""

    digest: bytes
    sample: np.ndarray
    used: int
    jpeg: np.ndarray
    pixels: object = None

    @classmethod
    def of(cls, made):
        pixels = pixels_of(made.file)
        return cls(digest(pixels), sample(pixels), made.used, jpeg_header(made.file), pixels)

    def error(self, ours):
        """The largest difference in grey levels as a Difference; 0 means that every pixel is the same."""
        if digest(ours) == self.digest:
            return Difference(0.0, "every pixel is the same")
        if self.pixels is None:
            apart = np.abs(sample(ours).astype(int) - self.sample)
            return Difference(max(1, apart.max()), f"{np.count_nonzero(apart)} of {apart.size} recorded values differ")
        if ours.shape != self.pixels.shape:
            return Difference(np.inf, f"expected Octave's shape {self.pixels.shape}, got {ours.shape}")
        apart = np.abs(ours.astype(int) - self.pixels)
        where = tuple(int(n) for n in np.unravel_index(np.argmax(apart), apart.shape))
        detail = f"{np.count_nonzero(apart)} of {apart.size} values differ, most at {where}: ours {ours[where]}, "
        return Difference(apart.max(), detail + f"Octave {self.pixels[where]}")


def question_digest(jobs):
    """SHA-256 over everything that determines the answers."""
    found = hashlib.sha256()
    for job in jobs:
        found.update(f"{job.call} {job.type} {job.level} {job.seed} {job.image.shape}\n".encode() + job.image.tobytes())
        found.update(b"own" if job.numbers is None else np.asarray(job.numbers, np.float64).tobytes())
    return found.hexdigest()


def save_recording(path, jobs, answers, versions):
    """Keep answers (a temporary file, then renamed)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            question=np.array(question_digest(jobs)),
            versions=np.array([f"{name} {number}" for name, number in sorted(versions.items())]),
            digests=np.stack([np.frombuffer(one.digest, np.uint8) for one in answers]),
            samples=np.stack([one.sample for one in answers]),
            used=np.array([one.used for one in answers], np.int32),
            jpeg=np.stack([one.jpeg for one in answers]),
        )


def load_recording(path, jobs):
    """The recorded answers to these very jobs, or NotRecorded."""
    if not path.exists():
        raise NotRecorded(f"{path.stem}: Octave's answer was never recorded; {AGAIN}")
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["question"]) != question_digest(jobs):
            raise NotRecorded(f"{path.stem}: what was recorded answers another question; {AGAIN}")
        rows = zip(kept["digests"], kept["samples"], kept["used"], kept["jpeg"], strict=True)
        return [Answer(found.tobytes(), values, int(used), jpeg) for found, values, used, jpeg in rows]


class Recorded:
    """What Octave answered when the recordings were made."""

    name = "octave recorded"

    def ask(self, case, jobs):
        """-> an Answer for each job; raises NotRecorded."""
        return load_recording(RECORDED / f"{case}.npz", jobs)


class Live:
    """Octave, asked now; what it says is held to the recording, or kept as the new one."""

    name = "octave live"

    def __init__(self, octave, keep=False):
        self.octave, self.keep, self.asked = octave, keep, {}

    def ask(self, case, jobs):
        """-> an Answer for each job; AssertionError where a recording says otherwise. A question is asked once."""
        if case not in self.asked:
            self.asked[case] = self._ask(case, jobs)
        return self.asked[case]

    def _ask(self, case, jobs):
        answers = [Answer.of(made) for made in self.octave.ask(jobs)]
        path = Path(RECORDED / f"{case}.npz")
        if self.keep:
            save_recording(path, jobs, answers, self.octave.versions)
            return answers
        for number, (now, then) in enumerate(zip(answers, load_recording(path, jobs), strict=True)):
            same = now.digest == then.digest and now.used == then.used and np.array_equal(now.jpeg, then.jpeg)
            assert same, f"{case}: Octave no longer says what was recorded of picture {number}; {AGAIN}"
        return answers
