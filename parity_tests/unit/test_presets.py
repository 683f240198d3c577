"""The presets against the generated networks and solvers, whose digests equal upstream's (parity test `nets`)."""

import ast
import json
import math
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa.training.parameter_groups import parameter_groups
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = ["live-rank", "tid2013-rank", "live-ft", "tid2013-ft"]


def _nets(*arguments):
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_generated_files_are_upstreams():
    """The generated files that the next tests use have the digests of upstream.toml."""
    toml = (ROOT / "caffe_ref" / "upstream.toml").read_text()
    lines = [line.split() for line in _nets("digests").splitlines()]
    assert len(lines) == 12
    assert all(f'"{path}" = "{digest}"' in toml for digest, path in lines)


@pytest.mark.parametrize("name", UPSTREAM)
def test_solver(name):
    preset = PRESETS[name]
    text = _nets("solver", "vgg16", preset.task, preset.dataset)
    solver = {key: value.strip('"') for key, value in re.findall(r"^(\w+): (.*)$", text, re.M)}
    fields = ("base_lr", "gamma", "stepsize", "max_iter", "momentum", "weight_decay", "display", "average_loss",
              "test_iter", "test_interval", "snapshot")  # fmt: skip
    assert {key: float(solver[key]) for key in fields} == {key: getattr(preset.solver, key) for key in fields}
    assert solver["lr_policy"] == "step" and solver["solver_type"] == "SGD"
    assert "iter_size" not in solver and "clip_gradients" not in solver and "random_seed" not in solver


@pytest.mark.parametrize("name", UPSTREAM)
def test_minibatch_loss_and_multipliers(name):
    preset = PRESETS[name]
    text = _nets("net", "vgg16", preset.task, preset.dataset, "train")
    strings = [ast.literal_eval(value) for value in re.findall(r"param_str: (\".*\")$", text, re.M)]
    data, *rest = (json.loads(value) for value in strings)
    if preset.task == "rank":
        assert {key: data[key] for key in ("list_groups", "groups", "levels", "images")} == {
            key: getattr(preset, key) for key in ("list_groups", "groups", "levels", "images")
        }
        assert rest[-1]["margin"] == preset.margin
    else:
        assert (data["batch"], data["sort_by_label"]) == (preset.batch, preset.sort_by_label)
    model = rankiqa.Network(ARCHITECTURES["vgg16"], known_nets(ARCHITECTURES["vgg16"])[preset.net])
    names = {parameter: key for key, parameter in model.named_parameters()}
    ours = {
        names[p]: (g["lr_mult"], g["decay_mult"])
        for g in parameter_groups(model, preset.ten_times)
        for p in g["params"]
    }
    theirs = {}
    for block in re.split(r"^layer \{$", text, flags=re.M):
        pairs = re.findall(r"lr_mult: (\S+)\s+decay_mult: (\S+)", block)
        if pairs:
            layer = re.search(r'name: "(\w+)"', block)[1]
            theirs.update({f"{layer}.{part}": tuple(map(float, pair)) for part, pair in zip(("weight", "bias"), pairs)})
    assert ours == theirs and len(ours) == 32


def test_batch_sizes():
    assert [PRESETS[name].size for name in UPSTREAM] == [48, 45, 30, 30]


def test_papers_values():
    """The paper's rate is 1e-4 (ranking) and 1e-6 (fine-tuning), divided by 10 every 10,000 of 50,000 iterations.

    Its weight decay is 5e-4.
    """
    for name in UPSTREAM:
        paper = PRESETS[f"{name}-paper"]
        solver, ours = paper.solver, PRESETS[name].solver
        assert solver.base_lr == (1e-4 if paper.task == "rank" else 1e-6)
        assert (solver.gamma, solver.stepsize, solver.max_iter, solver.weight_decay) == (0.1, 10000, 50000, 5e-4)
        same = {"name": name, "source": PRESETS[name].source, "base_lr": ours.base_lr}
        same.update({key: getattr(ours, key) for key in ("gamma", "stepsize", "max_iter")})
        assert paper.but(**same) == PRESETS[name]


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        PRESETS["live-rank"].margin = 1.0
    with pytest.raises(ValueError, match=r"expected settings of this preset \(.*\), got lr"):
        PRESETS["live-rank"].but(lr=1)


@pytest.mark.parametrize("change", [
    {"name": 1}, {"name": ""}, {"name": "a/b"}, {"name": ".hidden"}, {"dataset": 5}, {"dataset": "x"},
    {"source": None}, {"ten_times": [1]}, {"margin": 1e308}, {"margin": math.nan}, {"groups": True},
    {"groups": 10**5000}, {"margin": -(10**5000)}, {"images": "2"}, {"base_lr": math.inf}, {"clip_gradients": -1},
    {"snapshot": None}, {"momentum": 1.5},
])  # fmt: skip
def test_every_field_is_checked(change):
    """The class, and therefore --set, refuses a wrong value with one line that names the field."""
    (name,) = change
    with pytest.raises(ValueError, match=rf"^[\w -]+: {name}: expected [^\n]+, got [^\n]{{1,60}}$"):
        PRESETS["live-rank"].but(**change)


def test_set_refuses_with_one_line(capsys, tmp_path):
    for value in ("dataset=5", 'dataset="x"', "name=1", 'name="a/b"', "source=1", "max_iter=true", "images=1e999"):
        line = ["train", "live-rank", "--train", "none", "--out", str(tmp_path / "out"), "--set", value]
        assert main(line) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{value.split('=')[0]}: expected" in error


def test_options_that_take_a_number_say_so(capsys):
    for value in ("nan", "true", "null", "x", "[1]"):
        with pytest.raises(SystemExit) as stop:
            main(["train", "live-rank", "--train", "none", "--out", "out", "--lr", value])
        assert stop.value.code == 2
        assert capsys.readouterr().err.endswith(f"argument --lr: expected a number, got {value!r}\n")


def test_recipes_switches_are_checked():
    for name in ("freeze_batch_norm", "compile", "channels_last"):
        with pytest.raises(ValueError, match=f"{name}: expected true or false, got 'yes'"):
            Recipe(**{name: "yes"})
