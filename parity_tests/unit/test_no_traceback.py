"""No input and no option ends in a traceback: every command with random arguments, and damaged files."""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib.time_limit import time_limit
from rankiqa.cli import CONVERT, _parser, guard, main

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # the time limit of one command line
INPUTS = ("image.png", "weights.safetensors", "list.txt", "model.caffemodel", "text", "empty", "settings.json")
PATHS = [*INPUTS, "folder", "images", "image.png/in", "none", "folder/new.safetensors", "new.html", "new.txt",
         "/dev/null", "/proc/none", ".", "..", "-", "~", "\udcff\udce9.png", "é.png",
         "a" * 300, "a/" * 3000, "", "a\0b", "*", " "]  # fmt: skip
NUMBERS = [
    "-1",
    "0",
    "1",
    "2",
    "3",
    str(10**9),
    "1" + "0" * 30,
    "9" * 5000,
    "1.5",
    "nan",
    "inf",
    "1e999",
    "0x1",
    "1_0",
    "٣",
]
WORDS = ["", "\0", "x", "live", "live-rank", "tid2013", "GB", "all", "cpu", "meta", "cuda:99", "1/2", "2/1", "1/0",
         "batch=2", "max_iter=0", "max_iter=null", "x=1", "margin=-1", "base_lr=1e999", "images=" + "9" * 400,
         "batch=" + "[" * 3000, 'ten_times="x"', "dataset=1", "name=1", "=", "--", "-h", "--json", "@x", "%s",
         "{}"]  # fmt: skip
CONVERT_OPTIONS = [  # (flags, nargs, choices); listed here because `convert` makes its parser only when it is called
    ([], None, ["inspect", "model.caffemodel", "weights.safetensors"]), ([], None, None), (["--out"], None, None),
    (["--arch"], None, ["shallow", "vgg16"]), (["--onnx"], None, None), (["--for"], None, ["live-ft"]),
    (["--to"], None, ["caffemodel", "solverstate"]), (["--like"], None, ["live-rank", "live-ft"]),
    (["--json"], 0, None),
]  # fmt: skip


def _leaves(parser, prefix=()):
    """Yield (the words before its options, its argparse actions) of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from _leaves(inner, (*prefix, name))
            return
    yield prefix, parser._actions


def _commands():
    """Return {command: (its words, [(flags, nargs, choices, required)])}."""
    commands = {}
    for words, actions in _leaves(_parser()):
        shapes = [
            (a.option_strings, a.nargs, [str(choice) for choice in a.choices] if a.choices else None, a.required)
            for a in actions
        ]
        commands[" ".join(words)] = (words, shapes)
    commands[CONVERT] = ((CONVERT,), [(*shape, i == 0) for i, shape in enumerate(CONVERT_OPTIONS)])
    return commands


COMMANDS = _commands()


@st.composite
def _command_lines(draw, command):
    words, shapes = COMMANDS[command]
    line = list(words)
    for flags, nargs, choices, required in shapes:
        if not draw(st.integers(0, 9)) < (9 if required or not flags else 3):
            continue
        values = st.sampled_from(PATHS) | st.sampled_from(NUMBERS) | st.sampled_from(WORDS)
        if choices:
            values = st.sampled_from(choices) | st.sampled_from(choices) | values
        count = {0: 0, None: 1, "?": draw(st.integers(0, 1))}.get(nargs, draw(st.integers(1, 3)))
        if flags:
            line.append(draw(st.sampled_from(flags)))
        line += [draw(values) for _ in range(count)]
    return line


def _make_inputs(folder, weights):
    (folder / "folder").mkdir(parents=True)
    (folder / "images").mkdir()
    Image.effect_noise((240, 240), 50).convert("RGB").save(folder / "image.png")
    shutil.copy(folder / "image.png", folder / "images" / "a.png")
    shutil.copy(weights, folder / "weights.safetensors")
    (folder / "list.txt").write_text("image.png 1\nimage.png 2\nimage.png 3\n")
    (folder / "model.caffemodel").write_bytes(b"\n\x03net\xa2\x06\x08\n\x06conv11" * 9)
    (folder / "text").write_text("<html>")
    (folder / "empty").touch()
    (folder / "settings.json").write_text("[[[")


def _status(line):
    """Run a command line in this process; return (exit status, everything that it printed)."""
    out, err = io.StringIO(), io.StringIO()
    with time_limit(SECONDS), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(line)
        except SystemExit as stop:  # argparse
            status = stop.code
    return status, out.getvalue() + err.getvalue()


@pytest.fixture
def here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path, weights


@pytest.mark.parametrize("command", COMMANDS)
def test_no_arguments_end_in_a_traceback(here, command):
    place, weights = here

    @settings(max_examples=60, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(line=_command_lines(command))
    def check(line):
        shutil.rmtree(place / "w", ignore_errors=True)
        _make_inputs(place / "w", weights)
        os.chdir(place / "w")
        status, output = _status(line)
        assert status in (0, guard.FAILED, guard.REFUSED), f"{line}: {status}: {output}"
        assert "Traceback" not in output, f"{line}: {output}"
        if status:
            assert output.strip(), f"{line}: expected an error message, got no output"

    check()


def test_the_control(here, monkeypatch):
    """The negative control: an internal error of a command is detected."""
    monkeypatch.setattr("rankiqa.cli.show.run", lambda options: 1 // 0)
    status, output = _status(["show", "distortions", "--image", "x", "--out", "y"])
    assert status == guard.INTERNAL and "ZeroDivisionError" in output


@pytest.mark.parametrize("line", [
    ["score", "\udcff", "--weights", "none"],
    ["train", "live-ft", "--train", "none", "--out", "out", "--arch", "nothing"],
    ["train", "live-ft", "--train", "none", "--out", "out", "--arch", "shallow"],
    ["convert", "none", "--out", "x.safetensors"],
    ["convert", "inspect", "."],
    ["distort", "--set", "live", "--images", "none", "--out", "out"],
    ["lists", "ft-live", "none", "--out", "out"],
    ["show", "distortions", "--image", ".", "--out", "x.html"],
])  # fmt: skip
def test_in_a_process_of_its_own(tmp_path, line):
    done = subprocess.run([sys.executable, "-m", "rankiqa", *line], cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr and done.stderr.strip()


def test_damaged_files_of_every_kind():
    """Run the survey with ten files of each kind; scripts/fuzz damages 1,000."""
    command = [sys.executable, str(ROOT / "scripts" / "fuzzing"), "--count", "10", "--seed", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    table = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(table) == {"caffemodel", "snapshot", "list", "image", "settings"}
    for counts in table.values():
        assert counts.pop("right answer") + counts.pop("clear error") == 10
        assert not any(counts.values())
