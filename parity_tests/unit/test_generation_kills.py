"""`rankiqa distort` killed at random moments: no file is ever incomplete, and the result is that of one run."""

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
    """Send SIGKILL to every process of the group and return when all have ended."""
    os.killpg(group.pid, signal.SIGKILL)
    group.wait()
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group.pid, 0)
            time.sleep(0.001)


def tree(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def results(out):
    """Return the number of files outside .rankiqa, which are those that lists use."""
    return sum(len(files) for folder, _, files in os.walk(out) if ".rankiqa" not in folder)


def being_written(out):
    """Return the names of files that are being written, or that a killed run left unfinished."""
    names = []
    with contextlib.suppress(OSError):  # a run creates and removes its folder meanwhile
        for entry in os.scandir(out / ".rankiqa"):
            if entry.name.startswith("run-"):
                names += os.listdir(entry.path)
    return names


def test_killed_again_and_again(photographs, tmp_path):
    assert start(photographs, tmp_path / "undisturbed", 2).wait(timeout=120) == 0
    undisturbed = tree(tmp_path / "undisturbed")
    total = results(tmp_path / "undisturbed")
    assert total == 3 * (len(TYPES) * 5 + 1) + 1
    rng = random.Random(20)
    out, kills, counts, leftovers = tmp_path / "out", 0, [], 0
    while kills < KILLS or not leftovers:
        done = results(out) if out.exists() else 0
        if done == total:  # check the finished set, and start again
            assert start(photographs, out, 2).wait(timeout=120) == 0
            assert tree(out) == undisturbed
            shutil.rmtree(out)
            continue
        run = start(photographs, out, rng.choice([1, 2, 3]))
        # Kill before the work, or after a random number of files plus up to the time of one file
        target = rng.randint(done, min(done + total // 4, total))
        if target == done:
            time.sleep(rng.uniform(0, 0.6))
        while run.poll() is None and results(out) < target:
            time.sleep(0.001)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 0.01))
        else:  # while a file is being written
            while run.poll() is None and not being_written(out):
                pass
        if run.poll() is None:
            kill(run)
            kills += 1
            counts.append(results(out))
        leftovers += len(being_written(out))  # some runs must be killed while they write a file
        assert kills < 20 * KILLS
        for path, data in tree(out).items():
            if not path.startswith(".rankiqa/"):
                assert undisturbed[path] == data, path  # no incomplete file at any moment
    assert start(photographs, out, 2).wait(timeout=120) == 0
    assert tree(out) == undisturbed
    assert len(set(counts)) > min(10, KILLS // 3)  # the kills came at many stages
