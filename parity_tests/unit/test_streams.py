"""Commands in unusual environments: closed or full streams, other encodings, no home, a read-only folder, threads."""

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import rankiqa
from rankiqa.cli import guard, main

FAULTS = ("Traceback", "Exception ignored", "internal error")


def shell(line, *arguments, **options):
    """Run a line of bash in which `rankiqa` is this Python's and the arguments are $1, $2 .."""
    command = ["bash", "-c", line.replace("rankiqa ", '"$0" -m rankiqa ', 1), sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, errors="backslashreplace", **options)


def whole(done):
    assert not any(fault in done.stderr + done.stdout for fault in FAULTS), done.stderr
    return done


SCORE = 'rankiqa score "$1" --weights "$2" --json --crops 1'


@pytest.mark.parametrize("line, words", [
    (SCORE + " >&-", "Bad file descriptor"),
    (SCORE + " > /dev/full", "No space left on device"),
])  # fmt: skip
def test_results_that_go_nowhere_are_a_failure(photograph, weights, line, words):
    done = whole(shell(line, photograph, weights))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "rankiqa: standard output: expected" in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "2>/dev/full", "<&- 2>&-"])
def test_other_streams_closed(photograph, weights, closed):
    done = whole(shell(f"{SCORE} {closed}", photograph, weights))
    assert done.returncode == 0
    assert np.isfinite(json.loads(done.stdout)["score"])


def test_everything_closed(tmp_path, photograph, weights):
    """With all streams closed, no file gets the descriptor of a stream, so that no output goes into a file."""
    line = 'rankiqa show distortions --image "$1" --set live --out "$2" <&- >&- 2>&-'
    out = tmp_path / "page.html"
    done = whole(shell(line, photograph, out))
    assert done.returncode in (0, 1)
    assert out.read_text().startswith("<!DOCTYPE html>") or out.read_text().startswith("<!doctype html>")


def test_ascii_no_home_and_a_folder_that_is_read_only(tmp_path, photograph, weights):
    named = tmp_path / "é \udcff.jpg"
    shutil.copy(photograph, named)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                   "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}  # fmt: skip
    done = whole(shell('rankiqa score "$1" "$3" --weights "$2" --crops 1', named, weights, tmp_path / "é\udcff.png",
                       cwd=locked, env=environment))  # fmt: skip
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1 and "no such file" in done.stderr
    assert not list(locked.iterdir())
    done = whole(shell('rankiqa train live-ft --train "$1" --out "$2"', tmp_path / "é\udcff.txt", locked / "é\udcff",
                       cwd=locked, env=environment))  # fmt: skip
    assert done.returncode == 2


def test_empty_and_nul_arguments(capsys):
    for argument, words in (("", "expected text, got an empty one"), ("a\0b", "expected text without NUL")):
        assert main(["score", argument, "--weights", "w"]) == 2
        assert f"argument 2: {words}" in capsys.readouterr().err


def test_an_error_of_the_program_is_told_as_one(capsys, monkeypatch, tmp_path):
    """An internal error gives one line, exit status 70 and a file with the traceback."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def fault(arguments):
        raise ZeroDivisionError("by\nzero")

    assert guard.guarded(fault, ["x"]) == guard.INTERNAL == 70
    (line,) = capsys.readouterr().err.splitlines()
    (kept,) = tmp_path.iterdir()
    assert line == f"rankiqa: internal error, please report it: ZeroDivisionError: by zero; its traceback is in {kept}"
    assert "def fault" not in line and "fault" in kept.read_text()


def test_eight_threads_at_once(photograph, weights):
    """In a new interpreter, eight threads import, read, score, distort and compute losses with the right results."""
    program = """
import sys, threading, numpy as np, rankiqa
path, weights = sys.argv[1:]
def work(n):
    image = rankiqa.read_image(path)
    own = rankiqa.load(weights)
    score = rankiqa.score(shared or own, image, crops=2, seed=1).score
    changed = rankiqa.distort(image, "GB", 2, np.random.default_rng(0))
    import torch
    scores = torch.arange(12.0, requires_grad=True)
    loss = rankiqa.pair_ranking_loss(scores, distortions=2, levels=3, images=2)
    loss.backward()
    return score, rankiqa.score(own, image, crops=2, seed=1).score, changed.tobytes(), float(loss), scores.grad.sum()
shared, found, errors = None, {}, []
def run(n):
    try:
        barrier.wait(60)
        found[n] = work(n)
    except BaseException as error:
        errors.append(repr(error))
for turn in range(2):
    barrier = threading.Barrier(8)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(100)
    assert not errors, errors
    assert len(found) == 8
    alone = work(0)
    assert all(one == alone for one in found.values())
    shared = rankiqa.load(weights).train()  # a model in training, shared by all
print("equal")
"""
    done = subprocess.run([sys.executable, "-c", program, photograph, weights], capture_output=True, text=True,
                          timeout=280)  # fmt: skip
    assert (done.stdout, done.returncode) == ("equal\n", 0), done.stderr


def test_main_in_a_thread(photograph, weights, capsys):
    """Outside the main thread, commands install no signal handler, which Python forbids there."""
    status = []
    thread = threading.Thread(target=lambda: status.append(
        main(["score", str(photograph), "--weights", str(weights), "--json", "--crops", "1"])))  # fmt: skip
    thread.start()
    thread.join(60)
    assert status == [0]
    assert rankiqa.read_image(photograph).shape == (300, 450, 3)
