"""Octave's answers, live or recorded, which tell whether a picture is equal in every pixel.

For each picture a recording holds the SHA-256 of its pixels, SAMPLE of their values, the number of random numbers that
the original's code drew and, for JPEG files, the quantisation tables and the sampling.
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
SAMPLE = 64  # values recorded of each picture
AGAIN = "RANKIQA_UPSTREAM=PATH scripts/test --record -m upstream -k octave"


def pixels_of(file):
    """Decode a picture's file into uint8 (H, W, 3), RGB."""
    with Image.open(io.BytesIO(file)) as image:
        return np.array(image.convert("RGB"))


def digest(pixels):
    """Return the SHA-256 of a picture's shape and values."""
    return hashlib.sha256(f"{pixels.shape}\n".encode() + np.ascontiguousarray(pixels).tobytes()).digest()


def sample(pixels):
    """Return SAMPLE values of a picture, at places that depend only on its size."""
    at = sample_places(pixels.size)
    return pixels.reshape(-1)[at[:: max(1, at.size // SAMPLE)][:SAMPLE]]


def jpeg_header(file):
    """Return a JPEG's two quantisation tables and three components' sampling factors as one uint8 array.

    The array is empty for other files.
    """
    with Image.open(io.BytesIO(file)) as image:
        if image.format != "JPEG":
            return np.zeros(0, np.uint8)
        tables = [image.quantization[number] for number in sorted(image.quantization)]
        sampling = [component[1:3] for component in image.layer]
    return np.array([*tables[0], *tables[-1], *(n for pair in sampling for n in pair)], np.uint8)


@dataclass(frozen=True)
class Answer:
    """One picture that Octave made.

    Attributes:
        digest: SHA-256 of shape and pixels.
        sample: SAMPLE of its values.
        used: How many random numbers the original's code drew.
        jpeg: As `jpeg_header` returns it.
        pixels: uint8 (H, W, 3), RGB; None in a recorded answer.
    """

    digest: bytes
    sample: np.ndarray
    used: int
    jpeg: np.ndarray
    pixels: object = None

    @classmethod
    def of(cls, picture):
        """Make an Answer from a picture of octave_client."""
        pixels = pixels_of(picture.file)
        return cls(digest(pixels), sample(pixels), picture.used, jpeg_header(picture.file), pixels)

    def error(self, ours):
        """Return the largest difference in grey levels as a Difference; 0 means that all pixels are equal."""
        if digest(ours) == self.digest:
            return Difference(0.0, "all pixels are equal")
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
    """Return the SHA-256 of everything that determines the answers."""
    sha256 = hashlib.sha256()
    for job in jobs:
        sha256.update(
            f"{job.call} {job.type} {job.level} {job.seed} {job.image.shape}\n".encode() + job.image.tobytes()
        )
        sha256.update(b"own" if job.numbers is None else np.asarray(job.numbers, np.float64).tobytes())
    return sha256.hexdigest()


def save_recording(path, jobs, answers, versions):
    """Save answers as the recording at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            question=np.array(question_digest(jobs)),
            versions=np.array([f"{name} {number}" for name, number in sorted(versions.items())]),
            digests=np.stack([np.frombuffer(answer.digest, np.uint8) for answer in answers]),
            samples=np.stack([answer.sample for answer in answers]),
            used=np.array([answer.used for answer in answers], np.int32),
            jpeg=np.stack([answer.jpeg for answer in answers]),
        )


def load_recording(path, jobs):
    """Return the recorded answers to exactly these jobs; raise NotRecorded if there are none."""
    if not path.exists():
        raise NotRecorded(f"{path.stem}: Octave's answer was never recorded; {AGAIN}")
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["question"]) != question_digest(jobs):
            raise NotRecorded(f"{path.stem}: the recording answers another question; {AGAIN}")
        rows = zip(kept["digests"], kept["samples"], kept["used"], kept["jpeg"], strict=True)
        return [Answer(sha256.tobytes(), values, int(used), jpeg) for sha256, values, used, jpeg in rows]


class Recorded:
    """Octave's recorded answers."""

    name = "octave recorded"

    def ask(self, case, jobs):
        """Return an Answer for each job; raise NotRecorded if there is no recording."""
        return load_recording(RECORDED / f"{case}.npz", jobs)


class Live:
    """Octave's live answers, which are compared with the recording or, if `keep`, saved as the new one."""

    name = "octave live"

    def __init__(self, octave, keep=False):
        self.octave, self.keep, self.asked = octave, keep, {}

    def ask(self, case, jobs):
        """Return an Answer for each job, asking each question once; raise AssertionError if the recording differs."""
        if case not in self.asked:
            self.asked[case] = self._ask(case, jobs)
        return self.asked[case]

    def _ask(self, case, jobs):
        answers = [Answer.of(picture) for picture in self.octave.ask(jobs)]
        path = Path(RECORDED / f"{case}.npz")
        if self.keep:
            save_recording(path, jobs, answers, self.octave.versions)
            return answers
        for number, (now, then) in enumerate(zip(answers, load_recording(path, jobs), strict=True)):
            same = now.digest == then.digest and now.used == then.used and np.array_equal(now.jpeg, then.jpeg)
            assert same, f"{case}: Octave's picture {number} differs from the recording; {AGAIN}"
        return answers
