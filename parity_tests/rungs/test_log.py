"""Parity test `log`: the port's training log, line by line against that of `caffe train`."""

import re

import numpy as np
import pytest

import sample_training
from caffe_client import Live
from lib.tolerances import PRINTED
from rankiqa.data.image_lists import read_list
from rankiqa.training.trainer import Trainer

CHANGES = {
    "rank": {"images": 1, "base_lr": 1e-7, "stepsize": 4, "display": 3, "average_loss": 4, "test_interval": 6,
             "max_iter": 12, "iter_size": 2},
    "ft": {"batch": 4, "base_lr": 1e-9, "stepsize": 5, "display": 2, "average_loss": 3, "test_interval": 4,
           "max_iter": 9, "snapshot": 4, "test_iter": 3},
}  # fmt: skip
SPEED = re.compile(r" \([^()]* iter/s, [^()]*\)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
LOGGED = re.compile(r"\] (Iteration \d+.*|    (?:Train|Test) net output.*|Snapshotting to binary.*)")


def _caffes(log):
    lines = (LOGGED.search(line) for line in log.splitlines())
    lines = (SPEED.sub("", match[1]) for match in lines if match)
    return ["Snapshot" if line.startswith("Snapshotting") else line for line in lines]


def _ours(lines):
    lines = (SPEED.sub("", line) for line in lines)
    return ["Snapshot" if line.startswith("Snapshot ") else line for line in lines]


def _error(caffes, ours):
    """Return the largest difference of the numbers, over max(|Caffe's|, 0.1); inf if the words differ."""
    if [NUMBER.sub("#", line) for line in caffes] != [NUMBER.sub("#", line) for line in ours]:
        return np.inf
    pairs = zip(NUMBER.findall("\n".join(caffes)), NUMBER.findall("\n".join(ours)), strict=True)
    return max(abs(float(a) - float(b)) / max(abs(float(a)), 0.1) for a, b in pairs)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    sample_training.make_images(folder, train=2, test=2)
    return folder


@pytest.mark.parametrize("task", CHANGES)
def test_log(caffe, parity, images, tmp_path, task):
    if not isinstance(caffe, Live):
        pytest.skip("`caffe train` needs live Caffe")
    preset = sample_training.presets("shallow", "live", 10, **CHANGES)[task]
    for name, text in sample_training.caffe_files("shallow", preset).items():
        (images / name).write_text(text)
    log = caffe.run(["caffe", "train", f"--solver={task}_solver.prototxt"], images)
    (images / f"{task}.log").write_text(log)
    caffes = _caffes(log)
    assert len(caffes) >= 20

    def logged(preset):
        lines = []
        lists = {split: read_list(images / f"{task}_{split}.txt", images) for split in ("train", "test")}
        Trainer.from_preset(preset, "shallow", **lists, seed=sample_training.SEED, out=tmp_path, log=lines.append).run()
        return _ours(lines)

    parity.check("log", f"{task}: {len(caffes)} lines, their numbers", _error(caffes, logged(preset)), PRINTED)
    wrong = _error(caffes, logged(preset.but(average_loss=preset.solver.average_loss + 1)))
    parity.must_fail("log", f"wrong: {task}, the mean of one loss more", wrong, PRINTED)
