"""Run the original's MATLAB distortions in GNU Octave, and measure their time.

    octave = Octave(upstream)                      # a folder of the original's files (caffe_ref/get_upstream.py)
    files = octave.ask([Job("tid2013", 8, 1, image)])      # the files that its generator writes, as bytes

Octave is this machine's `octave-cli` with the image package (Debian: octave, octave-image) or, without that, runs in
Docker.
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
TIMEOUT = 1800  # seconds for one request
# only MATLAB has multithresh, rgb2ind with a size, imwrite's CompressionRatio and CBM3D's compiled parts
MATLAB_ONLY = {"QN", "CQD", "JP2K", "ID"}
# (data set, type) of all of upstream's distortion types that Octave can run
ROWS = [
    (dataset, row.name)
    for dataset, table in DATASETS.items()
    for row in table.values()
    if row.origin in ("upstream", "listed") and row.name not in MATLAB_ONLY
]


class OctaveError(RuntimeError):
    """Octave is missing or has failed; the message is Octave's."""


@dataclass(frozen=True)
class Job:
    """One image to distort.

    Attributes:
        call: "live" or "tid2013" (upstream's generator of that set), or the name of one of upstream's functions
            (image, ..).
        type: The generator's number of the distortion; for a function, its arguments after the image.
        level: The level, from 1.
        image: uint8 (H, W, 3), RGB.
        numbers: The numbers that rand, randn and randi return, in MATLAB's order (column by column); None: Octave's own
            generators, seeded with `seed`.
        seed: The seed of Octave's generators.
        redraw: Rows [kind, a, b, c] of numbers to draw again; ask.m describes them.
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
    """The result of a job.

    Attributes:
        file: The content of the written file.
        used: How many of the job's numbers were used.
        redrawn: The numbers that were drawn again.
    """

    file: bytes
    used: int
    redrawn: np.ndarray


class Here:
    """The octave-cli of this machine."""

    @staticmethod
    @functools.cache
    def works():
        """Return whether octave-cli and its image package are installed."""
        if shutil.which(OCTAVE[0]) is None:
            return False
        done = subprocess.run([*OCTAVE, "--eval", "pkg load image"], capture_output=True, stdin=subprocess.DEVNULL)
        return done.returncode == 0

    def run(self, script, folder):
        """Run a script of the driver on question.mat in a folder; it writes answer.mat.

        Raises:
            OctaveError: If the script fails.
        """
        done = subprocess.run(
            [*OCTAVE, *arguments(script)],
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
        if done.returncode:
            lines = done.stderr.splitlines()
            lines = [line for line in lines if line.startswith("error:")] or lines
            raise OctaveError("\n".join(lines[:12]) or f"octave-cli ended with status {done.returncode}")


class InDocker:
    """Octave in the image of docker/octave.Dockerfile."""

    def __init__(self, client):
        """Build the image if necessary; `client` is a Docker SDK client."""
        import build

        build.build(client, upstream=build.WITHOUT, image=IMAGE)
        self.live = Live(client, image=IMAGE)

    def run(self, script, folder):
        """Do the same as Here.run."""
        try:
            self.live.run([*OCTAVE, *arguments(script)], folder)
        except CaffeError as error:
            raise OctaveError(str(error)) from None


def find():
    """Return Here if Octave is installed, otherwise InDocker.

    Raises:
        OctaveError: If there is neither Octave nor a Docker engine.
    """
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
    """Return the arguments of octave-cli for a script of the driver."""
    return [f"driver/{script}", "question.mat", "answer.mat", "upstream"]


def cell(values):
    """Return a MATLAB cell of dictionaries or arrays, for savemat."""
    objects = np.empty((1, len(values)), object)
    objects[0, :] = values
    return objects


class Octave:
    """The original's files in Octave.

    Args:
        upstream: A folder of the original's files.
        where: Here or InDocker; None: find().
    """

    def __init__(self, upstream, where=None):
        self.upstream, self.where = Path(upstream), where or find()
        self.versions = None  # {"octave", "image"}, known after the first request

    def ask(self, jobs):
        """Run jobs in Octave.

        Args:
            jobs: A list of Job.

        Returns:
            A Made for each job.

        Raises:
            OctaveError: If Octave fails.
        """
        question = [
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
        answer = self._run("ask.m", {"jobs": cell(question)})
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
        """Measure how long distorting an image takes.

        Args:
            image: uint8 (H, W, 3), RGB.
            types: {distortion: the values of its levels}.
            shortest: The minimum time in seconds for which each type is repeated.

        Returns:
            {distortion: seconds per image}.

        Raises:
            OctaveError: If Octave fails.
        """
        question = [{"name": name, "values": np.array(values, np.float64)} for name, values in types.items()]
        answer = self._run("time.m", {"image": image, "types": cell(question), "shortest": float(shortest)})
        return dict(zip(types, np.atleast_1d(answer["seconds"]).tolist(), strict=True))

    def _run(self, script, question):
        """Run a script of the driver on a question and return its answer, both as {variable: value}."""
        from scipy.io import loadmat, savemat

        with tempfile.TemporaryDirectory(prefix="rankiqa-octave-") as folder:
            shutil.copytree(DRIVER, Path(folder, "driver"))
            for name in MATLAB_FOLDERS:
                shutil.copytree(self.upstream / name, Path(folder, "upstream", name), ignore=PICTURES)
            savemat(Path(folder, "question.mat"), question)
            self.where.run(script, folder)
            return loadmat(Path(folder, "answer.mat"), simplify_cells=True)
