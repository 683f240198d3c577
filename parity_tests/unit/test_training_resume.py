"""Snapshots that a training resumes from: what they hold, and which are refused."""

import json

import numpy as np
import pytest
import torch

import rankiqa
from lib.shallow_trainings import arguments, error_line, last_snapshot, trainer, write_images
from rankiqa.caffe.blas import CaffeBlas
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.data.order import Quirks
from rankiqa.training import snapshots
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_minibatches_read_ahead_are_not_taken(images, tmp_path):
    """A snapshot's position is the same with and without workers, which read ahead."""
    for workers in (0, 3):
        trainer(images, tmp_path / str(workers), workers).run(4)
    places = [snapshots.read(last_snapshot(tmp_path / str(workers)))[1] for workers in (0, 3)]
    assert places[0] == places[1] and places[0]["seen"] == {"train": 8, "test": 2}


@pytest.mark.parametrize("base_lr", [1e4, 1e30])
def test_a_loss_that_is_not_finite(images, tmp_path, capsys, base_lr):
    """No snapshot contains bad weights; the error names the last good one."""
    out = tmp_path / "out"
    assert main(arguments(images, out, max_iter=1)) == 0
    path = last_snapshot(out)
    metadata, training, tensors = snapshots.read(path)
    training["origin"]["settings"]["base_lr"] = base_lr
    history = {k.removeprefix(snapshots.HISTORY): t for k, t in tensors.items() if k.startswith(snapshots.HISTORY)}
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    snapshots.save(path, metadata, own, history, training, tensors[snapshots.RANDOM])
    more = {"base_lr": base_lr, "max_iter": 60, "snapshot": 1}
    line = error_line(capsys, arguments(images, out, "--resume", **more), status=1)
    assert "expected a finite loss" in line or "expected finite weights" in line
    assert f"--resume continues from {last_snapshot(out)}" in line
    rankiqa.load(last_snapshot(out))  # load refuses weights that are not finite


def test_resume_compares_what_matters(images, tmp_path, capsys):
    """Resuming refuses a change of any setting that affects weights, and allows other changes."""
    rank = PRESETS["live-rank"].but(list_groups=1, groups=1, levels=3, images=1, max_iter=1, display=0, test_interval=0)
    lines = read_list(images / "list.txt", images)

    def begun(preset, **more):
        return Trainer.from_preset(preset, "shallow", train=lines, seed=3, log=lambda line: None, **more)

    path = tmp_path / "s.safetensors"
    first = begun(rank)
    first.run()
    snapshots.take(first, path)
    matters = {"margin": 5.0, "base_lr": 1e-3, "gamma": 0.5, "stepsize": 7, "iter_size": 2, "clip_gradients": 10.0,
               "momentum": 0.5, "weight_decay": 0.1, "ten_times": "all", "test_iter": 3, "images": 2}  # fmt: skip
    for name, value in matters.items():
        with pytest.raises(ValueError, match=f"a run can only be resumed as it began; .*{name}: expected"):
            begun(rank.but(**{name: value})).restore(path)
    with pytest.raises(ValueError, match="quirks sequential"):
        begun(rank, quirks=Quirks(sequential=False)).restore(path)
    with pytest.raises(ValueError, match="products: expected 1, got None"):
        begun(rank, products=CaffeBlas(1)).restore(path)
    with pytest.raises(ValueError, match="expected max_iter of at least its iteration, 1, got 0"):
        begun(rank.but(max_iter=0)).restore(path)
    begun(rank.but(max_iter=5, display=7, snapshot=3)).restore(path)
    # A snapshot of an older version records less about its origin
    metadata, training, tensors = snapshots.read(path)
    del training["origin"]["products"], training["origin"]["settings"]["margin"]
    history = {k.removeprefix(snapshots.HISTORY): t for k, t in tensors.items() if k.startswith(snapshots.HISTORY)}
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    snapshots.save(path, metadata, own, history, training, tensors[snapshots.RANDOM])
    begun(rank.but(margin=5.0)).restore(path)


def test_the_first_settings_are_kept(images, tmp_path):
    out = tmp_path / "out"
    for n, iterations in enumerate((1, 2, 3)):
        assert main(arguments(images, out, *["--resume"] * bool(n), max_iter=iterations)) == 0
    names = ["settings.json", "settings_resumed_1.json", "settings_resumed_2.json"]
    assert [json.loads((out / name).read_text())["preset"]["max_iter"] for name in names] == [1, 2, 3]


def test_damage_anywhere_in_a_snapshot(images, tmp_path, capsys):
    """A snapshot with a byte changed, removed or inserted is refused by name, and loads nothing into the trainer."""
    out = tmp_path / "out"
    assert main(arguments(images, out, max_iter=1)) == 0
    data, path = last_snapshot(out).read_bytes(), tmp_path / "damaged.safetensors"
    random, run = np.random.default_rng(0), trainer(images)
    before = [parameter.clone() for parameter in run.model.parameters()]
    header = 8 + int.from_bytes(data[:8], "little")
    for case in range(300):
        at = int(random.integers(header if case % 2 else len(data)))
        end = data[at + 1 :]
        changed = [bytes([data[at] ^ 1 << int(random.integers(8))]) + end, end, b"0" + data[at:], b""][case % 4]
        path.write_bytes(data[:at] + changed)
        with pytest.raises(ValueError, match=r"damaged\.safetensors: expected") as error:
            run.restore(path)
        assert "\n" not in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    path.write_bytes(data)
    run.restore(path)
