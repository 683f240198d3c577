"""Parity test `resume`: each engine continues a training of the other one, across a drop of the learning rate."""

import numpy as np
import pytest
import torch

import sample_training
from caffe_client import Live
from lib import trajectory
from lib.tolerances import RESUMED
from rankiqa.data.image_lists import read_list
from rankiqa.training import snapshots
from rankiqa.training.trainer import Trainer
from rankiqa_convert import cli as convert

BEFORE, AFTER = 6, 8  # iterations; the rate drops at 4, 8 and 12
RANK = {"images": 1, "base_lr": 1e-6, "stepsize": 4, "gamma": 0.5, "test_interval": 5}
PRESET = sample_training.presets("shallow", "live", BEFORE + AFTER, rank=RANK)["rank"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    sample_training.make_images(folder, train=3, test=2)
    return folder


def _files(images):
    return {**sample_training.image_files(images), **sample_training.caffe_files("shallow", PRESET)}


def _resume_job(name, state):
    return {"name": name, "kind": "solve", "solver": "rank_solver.prototxt", "restore": state, "steps": AFTER,
            "return": ["params"]}  # fmt: skip


def _trainer(images, out=None, preset=PRESET):
    lists = {split: read_list(images / f"rank_{split}.txt", images) for split in ("train", "test")}
    return Trainer.from_preset(
        preset, "shallow", **lists, seed=sample_training.SEED, out=out, cache_mb=200, log=lambda line: None
    )


def _resumed(images, snapshot):
    """Continue in the port from a snapshot that was converted from Caffe's files; return (losses, model)."""
    trainer = _trainer(images)
    trainer.restore(snapshot)
    assert trainer.iteration == BEFORE
    trainer.run()
    return np.array(trainer.losses), trainer.model


def _error(answer, name, losses, model):
    """Return the largest error of losses and parameters."""
    return max(
        answer.error(f"{name}/losses", losses), *trajectory.layer_errors(answer, f"{name}/param", model).values()
    )


def _spoiled(snapshot, target, how):
    """Write a copy of a snapshot with one error."""
    metadata, training, tensors = snapshots.read(snapshot)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    history = {
        key.removeprefix(snapshots.HISTORY): t for key, t in tensors.items() if key.startswith(snapshots.HISTORY)
    }
    if how == "without momentum":
        history = {key: torch.zeros_like(tensor) for key, tensor in history.items()}
    weights = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    metadata = {key: value for key, value in metadata.items() if key != "training"}
    snapshots.save(target, metadata, weights, history, training)
    return target


def test_caffes_training_goes_on_in_the_port(caffe, parity, images, tmp_path):
    jobs = [
        {"name": "first", "kind": "solve", "solver": "rank_solver.prototxt", "steps": BEFORE, "return": ["snapshot"]},
        _resume_job("on", f"rank_iter_{BEFORE}.solverstate"),
    ]
    if not isinstance(caffe, Live):
        pytest.skip("the images depend on the JPEG encoders' version: live Caffe only")
    answer = caffe.unverified().ask("resume", jobs, {}, _files(images))
    for name in ("caffemodel", "solverstate"):
        file = f"rank_iter_{BEFORE}.{name}"
        (tmp_path / file).write_bytes(answer.array(f"first/file/{file}").tobytes())
    snapshot = tmp_path / "snapshot.safetensors"
    assert convert.main([str(tmp_path / f"rank_iter_{BEFORE}.solverstate"), "--out", str(snapshot)]) == 0
    error = _error(answer, "on", *_resumed(images, snapshot))
    parity.check("resume", f"Caffe {BEFORE}, then the port {AFTER} iterations", error, RESUMED)
    wrong = _resumed(images, _spoiled(snapshot, tmp_path / "wrong.safetensors", "without momentum"))
    parity.must_fail("resume", "wrong: without momentum", _error(answer, "on", *wrong), RESUMED)


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_the_ports_training_goes_on_in_caffe(caffe, parity, images, tmp_path, monkeypatch, suffix):
    if not isinstance(caffe, Live):
        pytest.skip("Caffe continues from a file that this test makes: live Caffe only")
    monkeypatch.chdir(tmp_path)  # a solver state names its model relative to the current folder
    trainer = _trainer(images, tmp_path)
    trainer.run(BEFORE)
    snapshot = tmp_path / "begun.safetensors"
    snapshots.take(trainer, snapshot)
    state = f"begun.solverstate{suffix}"
    to_caffe = ["--to", "solverstate", "--like", "live-rank", "--out", state]
    assert convert.main([str(snapshot), *to_caffe]) == 0
    pair = {name: tmp_path / name for name in (state, state.replace("solverstate", "caffemodel"))}
    answer = caffe.unverified().ask("resume", [_resume_job("on", state)], {}, {**_files(images), **pair})
    assert convert.main([state, "--out", "back.safetensors"]) == 0
    error = _error(answer, "on", *_resumed(images, tmp_path / "back.safetensors"))
    parity.check("resume", f"the port {BEFORE}, then Caffe {AFTER} iterations{suffix}", error, RESUMED)
    trainer.optimizer.set_iteration(0, 0)
    snapshots.take(trainer, snapshot)
    assert convert.main([str(snapshot), *to_caffe]) == 0
    pair = {name: tmp_path / name for name in pair}
    answer = caffe.unverified().ask("resume", [_resume_job("on", state)], {}, {**_files(images), **pair})
    error = _error(answer, "on", *_resumed(images, tmp_path / "back.safetensors"))
    parity.must_fail("resume", f"wrong: the rate of iteration 0{suffix}", error, RESUMED)
