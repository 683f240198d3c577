"""`rankiqa distort` killed at random moments: what is there is whole, and the end is as undisturbed."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

KILLS = int(os.environ.get("RANKIQA_KILLS", "12"))
TYPES = ("GB", "GN", "JPEG")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    source = Path(__file__).resolve().parents[1] / "photographs"
    for name in ("cat", "moose", "fig"):
        Image.open(source / f"{name}.jpg").convert("RGB").crop((0, 0, 240, 230)).save(folder / f"{name}.png")
    return folder


def start(photographs, out, workers):
    command = [sys.executable, "-m", "rankiqa", "distort", "--set", "live", "--images", photographs, "--out", out]
    command += ["--types", *TYPES, "--workers", workers]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill(group):
    """SIGKILL to every process of the group; returns when all are gone."""
    os.killpg(group.pid, signal.SIGKILL)
    group.wait()
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group.pid, 0)
            time.sleep(0.001)


def tree(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def results(out):
    """How many files stand where lists look."""
    return sum(len(files) for folder, _, files in os.walk(out) if ".rankiqa" not in folder)


def being_written(out):
    """The files that are being written, or were when a run was killed."""
    found = []
    with contextlib.suppress(OSError):  # a run's folder comes and goes
        for entry in os.scandir(out / ".rankiqa"):
            if entry.name.startswith("run-"):
                found += os.listdir(entry.path)
    return found


def test_killed_again_and_again(photographs, tmp_path):
    assert start(photographs, tmp_path / "undisturbed", 2).wait(timeout=120) == 0
    undisturbed = tree(tmp_path / "undisturbed")
    everything = results(tmp_path / "undisturbed")
    assert everything == 3 * (len(TYPES) * 5 + 1) + 1
    chance = random.Random(20)
    out, kills, at, leftovers = tmp_path / "out", 0, [], 0
    while kills < KILLS or not leftovers:
        there = results(out) if out.exists() else 0
        if there == everything:  # to its end, and anew
            assert start(photographs, out, 2).wait(timeout=120) == 0
            assert tree(out) == undisturbed
            shutil.rmtree(out)
            continue
        run = start(photographs, out, chance.choice([1, 2, 3]))
        # At a random moment: before the work, or after a random number of files and up to a file's time
        enough = chance.randint(there, min(there + everything // 4, everything))
        if enough == there:
            time.sleep(chance.uniform(0, 0.6))
        while run.poll() is None and results(out) < enough:
            time.sleep(0.001)
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.01))
        else:  # in the middle of a file
            while run.poll() is None and not being_written(out):
                pass
        if run.poll() is None:
            kill(run)
            kills += 1
            at.append(results(out))
        leftovers += len(being_written(out))  # some must be killed while a file is written
        assert kills < 20 * KILLS
        for path, data in tree(out).items():
            if not path.startswith(".rankiqa/"):
                assert undisturbed[path] == data, path  # whole at any moment
    assert start(photographs, out, 2).wait(timeout=120) == 0
    assert tree(out) == undisturbed
    assert len(set(at)) > min(10, KILLS // 3)  # at many stages of the work
