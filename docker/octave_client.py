"""The host's side of GNU Octave: questions to the original's MATLAB distortions, and how long they take.

    octave = Octave(upstream)                      # a folder of the original's files (caffe_ref/get_upstream.py)
    files = octave.ask([Job("tid2013", 8, 1, image)])      # what its generator writes, as bytes

Octave is this machine's `octave-cli` with the image package (Debian: octave, octave-image), or else runs in Docker.
"""

import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe_client import CaffeError, Live
from rankiqa.distortions import DATASETS

DRIVER = Path(__file__).resolve().parent / "octave_driver"
OCTAVE = ("octave-cli", "--quiet", "--no-init-file", "--no-site-file", "--no-history")
IMAGE = "rankiqa_octave"
PICTURES = shutil.ignore_patterns("pristine_images")
MATLAB_FOLDERS = ("data/data_generator", "data/rank_tid2013")
HOW_TO = "expected octave-cli with its image package (Debian: apt-get install octave octave-image), or a Docker engine"
TIMEOUT = 1800  # seconds for one question
# multithresh, rgb2ind with a size, imwrite's CompressionRatio and CBM3D's compiled parts are MATLAB's alone
MATLAB_ONLY = {"QN", "CQD", "JP2K", "ID"}
# (data set, type) of every type of upstream's that Octave runs
ROWS = [
    (dataset, row.name)
    for dataset, table in DATASETS.items()
    for row in table.values()
    if row.origin in ("upstream", "listed") and row.name not in MATLAB_ONLY
]


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


class Here:
    """octave-cli of this machine."""

    @staticmethod
    @functools.cache
    def works():
        """Is it there, with the image package?"""
        if shutil.which(OCTAVE[0]) is None:
            return False
        asked = subprocess.run([*OCTAVE, "--eval", "pkg load image"], capture_output=True, stdin=subprocess.DEVNULL)
        return asked.returncode == 0

    def run(self, script, folder):
        """Run a script of the folder in Octave on question.mat and answer.mat. Raises OctaveError."""
        done = subprocess.run(
            [*OCTAVE, *arguments(script)],
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
        if done.returncode:
            said = done.stderr.splitlines()
            said = [line for line in said if line.startswith("error:")] or said
            raise OctaveError("\n".join(said[:12]) or f"octave-cli ended with status {done.returncode}")


class InDocker:
    """The image of docker/octave.Dockerfile, which is built first."""

    def __init__(self, client):
        import build

        build.build(client, upstream=build.WITHOUT, image=IMAGE)
        self.live = Live(client, image=IMAGE)

    def run(self, script, folder):
        """As Here.run."""
        try:
            self.live.run([*OCTAVE, *arguments(script)], folder)
        except CaffeError as error:
            raise OctaveError(str(error)) from None


def find():
    """Here or InDocker, whichever there is. Raises OctaveError."""
    if Here.works():
        return Here()
    import engine

    try:
        client = engine.answering()
    except engine.NoEngine as error:
        raise OctaveError(str(error)) from None
    if client is None:
        raise OctaveError(HOW_TO)
    return InDocker(client)


def arguments(script):
    return [f"driver/{script}", "question.mat", "answer.mat", "upstream"]


def cell(values):
    """A MATLAB cell of dictionaries or arrays, for savemat."""
    objects = np.empty((1, len(values)), object)
    objects[0, :] = values
    return objects


class Octave:
    """The original's files in Octave. upstream: a folder of them; where: Here or InDocker (None: find())."""

    def __init__(self, upstream, where=None):
        self.upstream, self.where = Path(upstream), where or find()
        self.versions = None  # "octave", "image": known after the first question

    def ask(self, jobs):
        """-> a Made for each job. Raises OctaveError."""
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
        answer = self._run("ask.m", {"jobs": cell(asked)})
        self.versions = answer["versions"]
        answers = answer["answers"] if len(jobs) > 1 else [answer["answers"]]
        return [
            Made(
                np.atleast_1d(row["file"]).astype(np.uint8).tobytes(),
                int(row["used"]),
                np.atleast_1d(row["redrawn"]).astype(np.float64),
            )
            for row in answers
        ]

    def seconds(self, image, types, shortest):
        """How long an image takes, for each of types, {name: the values of its levels}. Raises OctaveError.

        shortest: seconds that each type is repeated at least.
        """
        asked = [{"name": name, "values": np.array(values, np.float64)} for name, values in types.items()]
        answer = self._run("time.m", {"image": image, "types": cell(asked), "shortest": float(shortest)})
        return dict(zip(types, np.atleast_1d(answer["seconds"]).tolist(), strict=True))

    def _run(self, script, question):
        from scipy.io import loadmat, savemat

        with tempfile.TemporaryDirectory(prefix="rankiqa-octave-") as folder:
            shutil.copytree(DRIVER, Path(folder, "driver"))
            for name in MATLAB_FOLDERS:
                shutil.copytree(self.upstream / name, Path(folder, "upstream", name), ignore=PICTURES)
            savemat(Path(folder, "question.mat"), question)
            self.where.run(script, folder)
            return loadmat(Path(folder, "answer.mat"), simplify_cells=True)
