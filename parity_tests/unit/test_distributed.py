"""Training by several processes equals training by one, also after torchrun replaces a killed process."""

import json
import os
import re
import subprocess
import sys
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from safetensors.torch import load_file

from rankiqa.caffe.layers import Dropout
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.image_lists import read_list
from rankiqa.ranked_sets.on_the_fly import DistortionChoice, PristinePhotographs
from rankiqa.training.distributed import ALONE, Ranks, Share
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.trainer import Trainer

ITERATIONS = 20
RANKS_RTOL = 1e-6  # gradients are summed in another order
TINY = "timm:test_efficientnet"
RANK = PRESETS["live-rank"].but(list_groups=3, groups=3, levels=2, images=1, max_iter=ITERATIONS, snapshot=0,
                                display=0, test_interval=10, base_lr=1e-7)  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with twelve images of noise and their list: three distortions, two levels and two images each."""
    folder = tmp_path_factory.mktemp("images")
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 64, (228, 230, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.bmp")
    (folder / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(12)))
    return folder


def _train(ranks, images, preset, arch, recipe, photographs):
    source = read_list(images / "list.txt", images)
    if photographs:
        choice = DistortionChoice("wild", ("HAZE", "LOWCONTRAST", "GN"), fidelity=recipe.pairs == "vif")
        source = PristinePhotographs.of_folder(images, choice)
    trainer = Trainer.from_preset(
        preset, arch, train=source, test=source, seed=5, recipe=recipe, ranks=ranks, log=lambda line: None
    )
    measures = []
    test, trainer.test = trainer.test, lambda: measures.append(test())
    trainer.run()
    state = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    return {"losses": trainer.losses, "measures": measures, "state": state}


def _rank(number, size, folder, arguments):
    torch.set_num_threads(1)  # a forked process does not have its parent's threads
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=size)
    result = _train(Ranks(number, size), *arguments)
    if number == 0:
        torch.save(result["state"], folder / "state.pt")
        (folder / "losses.json").write_text(json.dumps([result["losses"], result["measures"]]))
    dist.barrier()
    dist.destroy_process_group()


def _by_ranks(size, folder, *arguments):
    """Train by `size` forks of this process and return the losses, measures and state of rank 0."""
    folder.mkdir()
    context = get_context("fork")
    processes = [context.Process(target=_rank, args=(n, size, folder, arguments), daemon=True) for n in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    losses, measures = json.loads((folder / "losses.json").read_text())
    return {"losses": losses, "measures": measures, "state": torch.load(folder / "state.pt", weights_only=True)}


def _difference(first, second):
    """Return the largest relative difference of losses, measures and each layer's parameters."""
    differences = [np.abs(np.subtract(first["losses"], second["losses"])).max() / np.abs(second["losses"]).max()]
    for ours, theirs in zip(first["measures"], second["measures"], strict=True):
        differences += [abs(ours[name] - theirs[name]) / max(abs(theirs[name]), 1) for name in theirs]
    for layer in {name.rpartition(".")[0] for name in second["state"]}:
        ours, theirs = (_layer(state["state"], layer) for state in (first, second))
        differences.append(((ours - theirs).norm() / theirs.norm()).item())
    return max(differences)


def _layer(state, layer):
    """Return all parameters of a layer as one float64 vector."""
    names = sorted(name for name in state if name.rpartition(".")[0] == layer)
    return torch.cat([state[name].double().flatten() for name in names])


@pytest.fixture(scope="module")
def one_process(images):
    return _train(ALONE, images, RANK, "shallow", Recipe(), False)


@pytest.mark.parametrize("size", [2, 3])
def test_the_faithful_training(images, tmp_path, one_process, size):
    result = _by_ranks(size, tmp_path / "ranks", images, RANK, "shallow", Recipe(), False)
    assert _difference(result, one_process) <= RANKS_RTOL
    assert len(set(one_process["losses"])) == ITERATIONS


def test_another_training_is_further_apart(images, one_process):
    """Negative control: a learning rate that is one percent larger differs beyond the tolerance."""
    preset = RANK.but(base_lr=RANK.solver.base_lr * 1.01)
    assert _difference(_train(ALONE, images, preset, "shallow", Recipe(), False), one_process) > 10 * RANKS_RTOL


CASES = {
    "masks of torch, pairs across groups by their labels, photographs": (
        RANK.but(base_lr=1e-3, margin=1.0, clip_gradients=1.0, iter_size=2), TINY,
        Recipe("sgd", "cosine", freeze_batch_norm=True, dropout=0.5, drop_path=0.5, pairs="vif", loss_mean="pairs"),
        True,
    ),
    "fine-tuning, rows of opinions": (
        PRESETS["tid2013-ft"].but(batch=5, max_iter=10, snapshot=0, display=0, test_interval=5, test_iter=2,
                                  base_lr=1e-9), "shallow", Recipe(), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_other_trainings(images, tmp_path, name):
    expected = _train(ALONE, images, *CASES[name])
    assert _difference(_by_ranks(2, tmp_path / "ranks", images, *CASES[name]), expected) <= RANKS_RTOL


def test_caffes_masks_are_rows_of_one_process():
    x = torch.ones(6, 40)
    whole = Dropout(0.5, CaffeRandom(3)).train()(x)
    part = Dropout(0.5, CaffeRandom(3)).train()
    part.share = (2, 5, 6)
    assert torch.equal(part(x[2:5]), whole[2:5]) and not torch.equal(part(x[2:5]), whole[2:5])


def test_torchs_masks_are_rows_of_one_process():
    """Masks of dropout and stochastic depth, also if the first dimension has several rows per image."""
    share = Share(Ranks(1, 2), 4, 6, 6)
    for shape in ((6, 5), (6, 3, 4, 4), (6, 1, 1, 1), (24, 7)):
        factor = shape[0] // 6
        torch.manual_seed(2)
        whole = torch.empty(shape).bernoulli_(0.5), torch.nn.functional.dropout(torch.ones(shape), 0.3)
        torch.manual_seed(2)
        with share.masks():
            own_shape = (2 * factor, *shape[1:])
            masks = torch.empty(own_shape).bernoulli_(0.5), torch.nn.functional.dropout(torch.ones(own_shape), 0.3)
        for ours, theirs in zip(masks, whole, strict=True):
            assert torch.equal(ours, theirs[4 * factor :])


def test_shares():
    """Shares consist of whole groups and hold every row once."""
    for size, total, group in ((2, 48, 12), (3, 48, 12), (4, 48, 12), (2, 5, 1)):
        shares = [Share.of(Ranks(number, size), total, group) for number in range(size)]
        assert [row for share in shares for row in range(total)[share.rows]] == list(range(total))
        assert all(share.first % group == share.end % group == 0 for share in shares)
    assert Share.of(ALONE, 48, 12) is None
    with pytest.raises(ValueError, match="expected at most 4 ranks, the groups of a minibatch, got 5"):
        Share.of(Ranks(0, 5), 48, 12)


@pytest.mark.parametrize(
    ("recipe", "words"), [(Recipe(), "freeze-batch-norm"), (Recipe(compile=True), "expected one process")]
)
def test_refusals(images, recipe, words):
    with pytest.raises(ValueError, match=words):
        _train(Ranks(0, 2), images, RANK, TINY, recipe, False)


KILLED_ONCE = """
import os, signal, sys
from pathlib import Path
from rankiqa.cli import main
from rankiqa.training.trainer import Trainer

original, marker = Trainer.forward_backward, Path(sys.argv[1])

def killing(self):
    if os.environ["RANK"] == "1" and self.iteration == 4 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self)

Trainer.forward_backward = killing
sys.exit(main(sys.argv[2:]))
"""


def test_torchrun_replaces_a_killed_rank(images, tmp_path):
    """`torchrun --max-restarts 1 .. --resume latest` goes on from the last snapshot and ends like one process."""
    settings = {"list_groups": 3, "groups": 3, "levels": 2, "images": 1, "max_iter": 6, "snapshot": 2, "display": 1,
                "test_interval": 0, "base_lr": 1e-7}  # fmt: skip
    line = ["train", "live-rank", "--arch", "shallow", "--train", images / "list.txt", "--root", images, "--seed", 5,
            *(f"--set={name}={value}" for name, value in settings.items()), "--resume", "latest"]  # fmt: skip
    (tmp_path / "killed_once.py").write_text(KILLED_ONCE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, "--max-restarts", 1,
                "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # fmt: skip
    out = tmp_path / "out"
    command = [*torchrun, tmp_path / "killed_once.py", tmp_path / "marker", *line, "--out", out]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "marker").exists()
    assert re.findall(r"^Restored .*iteration [234]$", (out / "log.txt").read_text(), re.M)
    alone = _train(ALONE, images, RANK.but(max_iter=6, test_interval=0), "shallow", Recipe(), False)
    end = load_file(out / "live-rank_iter_6.safetensors")
    assert _difference({**alone, "state": end}, alone) <= RANKS_RTOL
    names = sorted(path.name for path in out.iterdir() if "iter_3" not in path.name)
    assert names == ["live-rank_iter_2.safetensors", "live-rank_iter_4.safetensors", "live-rank_iter_6.safetensors",
                     "log.txt", "settings.json", "settings_resumed_1.json"]  # fmt: skip
