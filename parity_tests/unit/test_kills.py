"""`rankiqa train`, `score` and `convert` killed at random moments: no work is lost and no file is incomplete.

RANKIQA_KILLS=50 kills 50 times in all (some minutes), and as often in test_generation_kills.py. The default is six.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import rankiqa
from rankiqa.cli import main
from rankiqa.training import snapshots

TOTAL = int(os.environ.get("RANKIQA_KILLS", "6"))
KILLS = {"train": math.ceil(0.4 * TOTAL), "score": math.ceil(0.3 * TOTAL), "convert": math.ceil(0.3 * TOTAL)}
ITERATIONS = 40


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for n in range(5):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (230, 231, 3), np.uint8)).save(folder / f"{n}.bmp")
    (folder / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(5)))
    return folder


class Killer:
    """Kill a command between its first sign of work and the end of an undisturbed run."""

    def __init__(self, seed):
        self.random, self.killed, self.seconds = random.Random(seed), 0, None

    def run(self, line, sign=lambda: True):
        """Run the command, kill it, and return its exit status, which is negative if the kill came in time.

        The first run is not killed: it measures the time of an undisturbed one.
        """
        process = subprocess.Popen([sys.executable, "-m", "rankiqa", *map(str, line)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        start = time.monotonic()
        while process.poll() is None and not sign():
            time.sleep(0.001)
        if self.seconds is None:
            process.wait(timeout=120)
            self.seconds = time.monotonic() - start
            return process.returncode
        time.sleep(self.random.uniform(0, 0.1) if self.random.random() < 0.5 else self.random.uniform(0, self.seconds))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        self.killed += process.returncode == -signal.SIGKILL
        return process.returncode


def _whole(path):
    """Return every tensor of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.mark.slow
def test_train(images, tmp_path):
    """Training resumes after any kill, and no iteration that has a snapshot is lost."""

    def line(out):
        settings = {"batch": 2, "max_iter": ITERATIONS, "snapshot": 1, "display": 0, "test_interval": 0}
        return ["train", "live-ft", "--train", images / "list.txt", "--root", images, "--out", out, "--arch", "shallow",
                "--set=base_lr=1e-9", *(f"--set={name}={value}" for name, value in settings.items())]  # fmt: skip

    killer, out = Killer(1), tmp_path / "out"
    assert killer.run(line(tmp_path / "whole")) == 0
    runs = reached = 0
    while killer.killed < KILLS["train"]:
        before = snapshots.latest(out, "live-ft")
        if before is not None and snapshots.read(before)[1]["iteration"] == ITERATIONS:
            out, before, reached = tmp_path / f"out{killer.killed}", None, 0
        count = len(list(out.glob("*.safetensors")))
        resume = ["--resume"] * (before is not None)
        killer.run([*line(out), *resume], lambda out=out, count=count: len(list(out.glob("*"))) > count + 2)
        for path in out.glob("*.safetensors"):
            snapshots.read(path)  # read checks the digest
        last = snapshots.latest(out, "live-ft")
        iteration = snapshots.read(last)[1]["iteration"] if last else 0
        assert iteration >= reached
        reached = iteration
        if (out / "settings.json").exists():
            json.loads((out / "settings.json").read_text())
        runs += 1
        assert runs < 6 * KILLS["train"]
    resume = ["--resume"] * (snapshots.latest(out, "live-ft") is not None)
    assert main([str(word) for word in [*line(out), *resume]]) == 0
    ours, theirs = (load_file(snapshots.latest(folder, "live-ft")) for folder in (out, tmp_path / "whole"))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_convert(weights, tmp_path, write):
    """After a kill the target is the complete old or new file, and the next run is not affected."""
    model, out = tmp_path / "m.caffemodel", tmp_path / "out.safetensors"
    back = ["convert", weights, "--to", "caffemodel", "--like", "live-rank", "--out"]
    assert main([str(word) for word in [*back, model]]) == 0
    assert main(["convert", str(model), "--out", str(tmp_path / "whole.safetensors")]) == 0
    expected = (tmp_path / "whole.safetensors").read_bytes()
    killer = Killer(2)
    assert killer.run(["convert", model, "--out", out]) == 0
    old = write(tmp_path / "old.safetensors", note="old").read_bytes()
    runs = 0
    while killer.killed < KILLS["convert"]:
        out.write_bytes(old)
        status = killer.run(["convert", model, "--out", out], lambda: bool(list(tmp_path.glob(".*.tmp"))))
        assert out.read_bytes() in ((expected,) if status == 0 else (old, expected))
        runs += 1
        assert runs < 6 * KILLS["convert"]
    assert main(["convert", str(model), "--out", str(out)]) == 0
    assert out.read_bytes() == expected
    assert main([str(word) for word in [*back, tmp_path / "again.caffemodel"]]) == 0
    assert (tmp_path / "again.caffemodel").read_bytes() == model.read_bytes()


@pytest.mark.slow
def test_score(images, weights, tmp_path):
    """Rows are complete lines, equal to those of an undisturbed run, and no file is written."""
    line = [sys.executable, "-m", "rankiqa", "score", str(images), "--weights", str(weights), "--json", "--crops", "40"]
    start = time.monotonic()
    expected = subprocess.run(line, capture_output=True, timeout=120, cwd=tmp_path).stdout.splitlines()
    seconds = time.monotonic() - start
    assert len(expected) == 5
    rng, killed, lengths = random.Random(3), 0, set()
    while killed < KILLS["score"]:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path)
        first = process.stdout.readline()  # so that Python has loaded
        time.sleep(rng.uniform(0, seconds / 8))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        text = first + rest
        rows = text.splitlines()
        assert text.endswith(b"\n") and rows == expected[: len(rows)]
        lengths.add(len(rows))
    assert min(lengths) < len(expected)  # some runs were killed before the last row
    assert not list(tmp_path.iterdir())
    assert rankiqa.read_image(images / "0.bmp").shape == (230, 231, 3)
