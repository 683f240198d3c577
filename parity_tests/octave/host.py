"""Questions to the original's distortions in GNU Octave.

    octave = Octave(upstream)                      # a folder of the original's files (caffe_ref/get_upstream.py)
    files = octave.ask([Job("tid2013", 8, 1, image)])      # what its generator writes, as bytes

Octave runs as `octave-cli` of this machine with the image package (Debian: octave, octave-image).
"""

import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DRIVER = Path(__file__).resolve().parent / "driver"
HOW_TO = "expected octave-cli with the image package (Debian: apt-get install octave octave-image)"
TIMEOUT = 1800  # seconds for one question


class OctaveError(RuntimeError):
    """Octave is missing, or refused; the message is its own."""


@dataclass(frozen=True)
class Job:
    """One image to distort.

    call: "live" or "tid2013" (upstream's generator of that set), or a function of upstream's (image, ..).
    type: the generator's number of the distortion; for a function what it takes besides. level: from 1.
    image: uint8 (H, W, 3), RGB. numbers: what rand, randn and randi give out, in MATLAB's order (column by column);
    None leaves Octave's own generator in place, seeded by `seed`. redraw: rows [kind, a, b, c] (ask.m).
    """

    call: str
    type: object
    level: int
    image: np.ndarray
    numbers: object = None
    seed: int = 1
    redraw: object = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass(frozen=True)
class Made:
    """What came of a job: the file that was written, how many numbers were taken, and the numbers drawn again."""

    file: bytes
    used: int
    redrawn: np.ndarray


@functools.cache
def command():
    """The words that start Octave with its image package, or None where there is none."""
    if shutil.which("octave-cli") is None:
        return None
    words = ("octave-cli", "--quiet", "--no-init-file", "--no-site-file", "--no-history")
    asked = subprocess.run([*words, "--eval", "pkg load image"], capture_output=True, stdin=subprocess.DEVNULL)
    return words if asked.returncode == 0 else None


def run(words, folder):
    """Run an .m file in Octave; returns its output, raises OctaveError with its last words."""
    if command() is None:
        raise OctaveError(HOW_TO)
    done = subprocess.run(
        [*command(), *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error:")] or done.stderr.splitlines()
        raise OctaveError("\n".join(said[:12]) or f"octave-cli ended with status {done.returncode}")
    return done.stdout


def cell(values):
    """A MATLAB cell of dictionaries or arrays, for savemat."""
    found = np.empty((1, len(values)), object)
    found[0, :] = values
    return found


class Octave:
    """The original's files in Octave on this machine."""

    def __init__(self, upstream):
        self.upstream = Path(upstream).resolve()
        self.versions = None  # "octave", "image": known after the first question

    def ask(self, jobs):
        """-> a Made for each job. Raises OctaveError."""
        from scipy.io import loadmat, savemat

        asked = [
            {
                "call": job.call,
                "type": np.atleast_1d(np.float64(job.type)),
                "level": float(job.level),
                "image": job.image,
                "numbers": np.zeros(0) if job.numbers is None else np.asarray(job.numbers, np.float64).reshape(-1, 1),
                "seed": float(job.seed),
                "redraw": np.asarray(job.redraw, np.float64).reshape(-1, 4),
            }
            for job in jobs
        ]
        with tempfile.TemporaryDirectory(prefix="rankiqa-octave-") as folder:
            question, answer = Path(folder, "question.mat"), Path(folder, "answer.mat")
            savemat(question, {"jobs": cell(asked)})
            run([DRIVER / "ask.m", question, answer, self.upstream], folder)
            found = loadmat(answer, simplify_cells=True)
        self.versions = found["versions"]
        answers = found["answers"] if len(jobs) > 1 else [found["answers"]]
        return [
            Made(
                np.atleast_1d(one["file"]).astype(np.uint8).tobytes(),
                int(one["used"]),
                np.atleast_1d(one["redrawn"]).astype(np.float64),
            )
            for one in answers
        ]
