"""The training loop: resuming, its files and its errors; test_kills.py kills it."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.caffe.log import SmoothedLoss
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.models.architectures import ARCHITECTURES, Linear
from rankiqa.models.weights import describe
from rankiqa.training import snapshots
from rankiqa.training.parameter_groups import parameter_groups
from rankiqa.training.presets import PRESETS
from rankiqa.training.snapshots import copy_weights
from rankiqa.training.trainer import Trainer

SETTINGS = {"batch": 2, "max_iter": 14, "snapshot": 2, "display": 3, "test_interval": 5, "test_iter": 1,
            "base_lr": 1e-9, "stepsize": 4}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return a folder of noise images with a list for fine-tuning."""
    folder = tmp_path_factory.mktemp("images")
    lines = []
    for n in range(9):
        pixels = np.random.default_rng(n).integers(0, 256, (240, 240, 3), np.uint8)
        cv2.imwrite(str(folder / f"{n}.bmp"), pixels)
        lines.append(f"{n}.bmp {n}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


def _arguments(images, out, arch="shallow", **changes):
    settings = [f"--set={name}={value}" for name, value in {**SETTINGS, **changes}.items()]
    return ["train", "live-ft", "--train", str(images / "list.txt"), "--test", str(images / "list.txt"), "--root",
            str(images), "--out", str(out), "--seed", "3", "--arch", arch, *settings]  # fmt: skip


def _end(out):
    _, _, tensors = snapshots.read(snapshots.latest(out, "live-ft"))
    return tensors


def _same(tensors, other):
    return tensors.keys() == other.keys() and all(torch.equal(tensors[key], other[key]) for key in tensors)


def test_a_resumed_run_without_its_streams_is_another(images, tmp_path):
    """The negative control: a run that restarts its masks and minibatches ends differently."""
    assert main(_arguments(images, tmp_path / "whole", max_iter=6)) == 0
    path = tmp_path / "whole" / "live-ft_iter_2.safetensors"
    metadata, training, tensors = snapshots.read(path)
    bare = {key: tensors[key] for key in tensors if not key.startswith("solver.")}
    history = {
        key.removeprefix(snapshots.HISTORY): t for key, t in tensors.items() if key.startswith(snapshots.HISTORY)
    }
    kept = {"iteration": training["iteration"], "current_step": training["current_step"]}
    fresh = tmp_path / "fresh.safetensors"
    snapshots.save(fresh, metadata, bare, history, kept)
    assert main([*_arguments(images, tmp_path / "other", max_iter=6), "--resume", str(fresh)]) == 0
    assert not _same(_end(tmp_path / "whole"), _end(tmp_path / "other"))


def test_dropout_masks_go_on_too(images, tmp_path, monkeypatch):
    """A snapshot contains the random stream; tested with AlexNet with small hidden layers."""
    layers = tuple(
        replace(layer, out_features=32) if isinstance(layer, Linear) and layer.hidden else layer
        for layer in ARCHITECTURES["alexnet"].layers
    )
    monkeypatch.setitem(ARCHITECTURES, "alexnet", replace(ARCHITECTURES["alexnet"], layers=layers))
    small = {"max_iter": 2, "snapshot": 1, "test_interval": 1, "display": 1}
    assert main(_arguments(images, tmp_path / "whole", "alexnet", **small)) == 0
    first = tmp_path / "whole" / "live-ft_iter_1.safetensors"
    assert main([*_arguments(images, tmp_path / "on", "alexnet", **small), "--resume", str(first)]) == 0
    assert _same(_end(tmp_path / "whole"), _end(tmp_path / "on"))


def test_signal_makes_a_snapshot(images, tmp_path):
    command = [sys.executable, "-m", "rankiqa", *_arguments(images, tmp_path, max_iter=5000, snapshot=0, display=1)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("Iteration 2 "):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert snapshots.latest(tmp_path, "live-ft") is not None


def test_files_and_log(images, tmp_path):
    assert main(_arguments(images, tmp_path, max_iter=6)) == 0
    log = (tmp_path / "log.txt").read_text()
    assert re.search(r"^Iteration 3 \(.* iter/s, .*s/3 iters\), loss = \S+$", log, re.M)
    assert re.search(r"^    Train net output #0: loss2 = (\S+) \(\* 1 = \1 loss\)$", log, re.M)
    assert "Iteration 0, lr = 1e-09" in log
    assert re.search(r"^Iteration 5, Testing net \(#0\)\n    Test net output #0: pearsonr = ", log, re.M)
    assert json.loads((tmp_path / "settings.json").read_text())["preset"]["max_iter"] == 6
    assert not list(tmp_path.glob(".*"))
    model = rankiqa.load(tmp_path / "live-ft_iter_6.safetensors")  # a snapshot is a weights file
    assert model.arch == "shallow" and model.fc == ("fc1",)


def test_refusals(images, tmp_path, capsys):
    plain = _arguments(images, tmp_path)
    cases = [
        ([*plain, "--resume"], "expected a snapshot live-ft_iter_N.safetensors, got none"),
        ([*plain, "--weights", str(tmp_path / "none.safetensors")], "expected converted weights"),
        ([*plain, "--set=batsh=3"], "got batsh"),
        ([*plain, "--set=batch=9"], "expected at least 10 lines"),
    ]
    for arguments, message in cases:
        assert main(arguments) in (1, 2)
        assert message in capsys.readouterr().err
    assert main(_arguments(images, tmp_path / "a", max_iter=2)) == 0
    path = str(tmp_path / "a" / "live-ft_iter_2.safetensors")
    assert main([*_arguments(images, tmp_path / "b"), "--seed=4", "--resume", path]) == 2
    assert "a run can only be resumed as it began; seed: expected 4, got 3" in capsys.readouterr().err
    assert main([*_arguments(images, tmp_path / "b", "alexnet"), "--resume", path]) == 2
    assert "expected a snapshot of ('alexnet'" in capsys.readouterr().err
    Path(path).write_bytes(Path(path).read_bytes()[:1000])
    assert main([*_arguments(images, tmp_path / "b"), "--resume", path]) == 2
    assert "expected a training snapshot" in capsys.readouterr().err


def test_weights_are_copied_by_name(tmp_path):
    """A fine-tuning net copies all layers but the output layer from a rank net; an error names a wrong shape."""
    rank = rankiqa.build("shallow")
    path = tmp_path / "rank.safetensors"
    snapshots.save(path, describe(rank), rank.state_dict(), {}, {})
    ft = rankiqa.build("shallow", fc=("fc1",))
    assert copy_weights(ft, path) == ["fc1"]
    assert torch.equal(ft.state_dict()["conv4.weight"], rank.state_dict()["conv4.weight"])
    snapshots.save(path, describe(rank), {"conv1.weight": torch.zeros(3)}, {}, {})
    with pytest.raises(ValueError, match=r"conv1\.weight: expected \(32, 3, 3, 3\), got \(3,\)"):
        copy_weights(ft, path)
    snapshots.save(path, describe(rank), {"other": torch.zeros(3)}, {}, {})
    with pytest.raises(ValueError, match="got none of them"):
        copy_weights(ft, path)


def test_multipliers():
    model = rankiqa.build("shallow")
    counts = {(g["lr_mult"], g["decay_mult"]): len(g["params"]) for g in parameter_groups(model, "output")}
    assert counts == {(1, 1): 4, (2, 0): 4, (10, 1): 1, (20, 0): 1}


def test_smoothed_loss():
    losses = np.random.default_rng(0).random(40).astype(np.float32)
    smoothed = SmoothedLoss(7)
    for n, loss in enumerate(losses):
        assert smoothed.add(loss) == pytest.approx(losses[max(0, n - 6) : n + 1].mean(), rel=1e-5)


def test_not_finite(images, tmp_path):
    lines = read_list(images / "list.txt", images)
    preset = PRESETS["live-ft"].but(**{**SETTINGS, "base_lr": 1e20})
    with pytest.raises(FloatingPointError, match="expected a finite loss"):
        Trainer.from_preset(preset, "shallow", train=lines, seed=0, log=lambda line: None).run()
