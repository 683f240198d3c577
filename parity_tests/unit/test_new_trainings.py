"""Trainings beside the original's: other networks, weights to start from, optimizers, schedules, precision."""

import contextlib
import csv
import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import rankiqa
from rankiqa.caffe.layers import Dropout
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.cli import main
from rankiqa.data.lists import read_list
from rankiqa.models.backbones import build_backbone
from rankiqa.training import snapshots
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.trainer import Trainer
from sample_networks import random_caffemodel

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision").models
PHOTOGRAPHS = sorted((Path(__file__).parents[1] / "photographs").glob("*.jpg"))
TINY = "timm:test_efficientnet"  # crops of 160
SIZE = {"list_groups": 2, "groups": 2, "levels": 2, "images": 1}
RANK = PRESETS["live-rank"].but(**SIZE, max_iter=6, snapshot=2, display=1, test_interval=4, base_lr=1e-3, stepsize=3)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with a list of two distortions, two levels and three images each, of noise."""
    folder = tmp_path_factory.mktemp("images")
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 256, (230, 240, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.bmp")
    (folder / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(12)))
    return folder


def trainer(images, recipe, out=None, preset=RANK, arch=TINY, **more):
    lists = {split: read_list(images / "list.txt", images) for split in ("train", "test")}
    return Trainer.from_preset(preset, arch, **lists, seed=3, recipe=recipe, out=out, log=lambda line: None, **more)


def arguments(images, out, *more, preset="live-rank", arch=TINY):
    settings = {**SIZE, "max_iter": 2, "snapshot": 0, "display": 1, "test_interval": 0}
    return ["train", preset, "--train", str(images / "list.txt"), "--root", str(images), "--out", str(out), "--arch",
            arch, *(f"--set={name}={value}" for name, value in settings.items()), *map(str, more)]  # fmt: skip


def same(one, other):
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


RECIPES = {
    "adamw, cosine after a rise": Recipe("adamw", "cosine", warm_up=2, dropout=0.3, drop_path=0.3),
    "adamw, one cycle, bf16": Recipe("adamw", "onecycle", precision="bf16", channels_last=True, dropout=0.3),
    "sgd, steps": Recipe("sgd", freeze_batch_norm=True, dropout=0.3),
    "Caffe's, cosine": Recipe(schedule="cosine", dropout=0.3),
}


@pytest.mark.parametrize("name", RECIPES)
def test_resumed_and_interrupted_bit_for_bit(images, tmp_path, monkeypatch, name):
    """From a snapshot, and after Ctrl-C in the middle of an iteration: the same end, statistics and masks included."""
    recipe, preset = RECIPES[name], RANK.but(iter_size=2, clip_gradients=1.0)
    whole = trainer(images, recipe, tmp_path / "whole", preset)
    whole.run()
    end = tmp_path / "whole" / "live-rank_iter_6.safetensors"
    again = trainer(images, recipe, tmp_path / "again", preset)
    again.restore(tmp_path / "whole" / "live-rank_iter_2.safetensors")
    again.run()
    assert same(end, tmp_path / "again" / end.name)
    out, calls = tmp_path / "broken", []

    def interrupt(self, trainer, *_):
        calls.append(trainer.iteration)
        if len(calls) == 4:
            raise KeyboardInterrupt

    broken = trainer(images, recipe, out, preset)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rankiqa.training.callbacks.CaffeLog.on_loss", interrupt)
        broken.run()
    again = trainer(images, recipe, out, preset)
    again.restore(snapshots.latest(out, "live-rank"))
    assert again.iteration == 3
    again.run()
    assert same(end, out / end.name)
    broken.run()  # in the same process
    ours, theirs = broken.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_each_part_of_the_state_matters(images, tmp_path):
    """The controls: without masks, moments or the schedule's place the end is another."""
    recipe = RECIPES["adamw, cosine after a rise"]
    trainer(images, recipe, tmp_path).run()
    end = load_file(tmp_path / "live-rank_iter_6.safetensors")
    for spoil in (
        lambda one: one.forward.random.update(cpu=torch.Generator().manual_seed(99).get_state()),
        lambda one: [s["exp_avg"].zero_() for s in one.optimizer.optimizer.state.values()],
        lambda one: one.optimizer.scheduler.load_state_dict(trainer(images, recipe).optimizer.scheduler.state_dict()),
    ):
        again = trainer(images, recipe)
        again.restore(tmp_path / "live-rank_iter_2.safetensors")
        spoil(again)
        state = again.run().state_dict()
        assert not all(torch.equal(state[key], end[key]) for key in state)


def test_torchs_own_random_numbers_are_left_alone(images):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(images, RECIPES["Caffe's, cosine"]).run(1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe("sgd"), [1, 1, 1, 0.1, 0.1, 0.1]),
        (Recipe("sgd", "constant"), [1] * 6),
        (Recipe("adamw", "cosine"), [(1 + np.cos(np.pi * n / 6)) / 2 for n in range(6)]),
        (Recipe("adamw", "constant", warm_up=2), [0.01, 0.505, 1, 1, 1, 1]),
        (Recipe("adamw", "onecycle"), [0.04, None, None, None, None, 4e-6]),
        (Recipe(schedule="constant"), [1] * 6),
    ],
)
def test_schedules(images, recipe, expected):
    """The rate of each iteration, as a share of --lr."""
    one = trainer(images, recipe)
    rates = []
    one.optimizer.step, step = lambda: (rates.append(one.optimizer.rate() / 1e-3), step()), one.optimizer.step
    one.run()
    for found, wanted in zip(rates, expected, strict=True):
        assert wanted is None or found == pytest.approx(wanted, rel=1e-6), rates


def test_a_step_is_torchs_own(images):
    """One step of AdamW, clipped, of two minibatches' mean gradient, against the plain loop."""
    one = trainer(images, Recipe("adamw", "constant"), preset=RANK.but(iter_size=2, clip_gradients=0.5))
    twin = trainer(images, Recipe("adamw", "constant"), preset=RANK.but(iter_size=2, clip_gradients=0.5))
    one.run(1)
    model = twin.model.train()
    loss = sum(twin.task.loss(model(twin.batches.next("train")[0]).squeeze(1), None) for _ in range(2)) / 2
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    assert norm > 0.5
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 5e-4},
              {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0}]  # fmt: skip
    torch.optim.AdamW(groups, 1e-3).step()
    for ours, theirs in zip(one.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)  # Adam divides tiny gradients by their size


def test_batch_norm_that_is_frozen(images):
    for freeze in (True, False):
        one = trainer(images, Recipe("adamw", freeze_batch_norm=freeze))
        before = {name: buffer.clone() for name, buffer in one.model.named_buffers()}
        one.run(2)
        kept = [torch.equal(buffer, before[name]) for name, buffer in one.model.named_buffers()]
        assert all(kept) if freeze else not any(kept)


def test_layout_compiler_and_precision_change_little(images, monkeypatch):
    """The losses of four iterations; channels-last memory really is, and bfloat16 is another precision."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    losses = {}
    for name, choice in {"plain": {}, "layout": {"channels_last": True}, "compiled": {"compile": True},
                         "bf16": {"precision": "bf16"}}.items():  # fmt: skip
        one = trainer(images, Recipe("sgd", freeze_batch_norm=True, **choice), preset=RANK.but(base_lr=1e-4))
        one.run(4)
        losses[name] = np.array(one.losses)
        if name == "layout":
            assert one.model.net.conv_stem.weight.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(losses["layout"], losses["plain"], rtol=1e-4)
    np.testing.assert_allclose(losses["compiled"], losses["plain"], rtol=1e-4)
    np.testing.assert_allclose(losses["bf16"], losses["plain"], rtol=3e-2)
    assert (losses["bf16"] != losses["plain"]).all()


def test_caffes_masks_in_a_compiled_network():
    x = torch.ones(4, 50)
    plain, compiled = (Dropout(0.5, CaffeRandom(1)).train() for _ in range(2))
    assert torch.equal(torch.compile(compiled, backend="eager")(x), plain(x))


def test_a_snapshot_says_what_it_was_made_with(images, tmp_path):
    """Each choice is compared when a run goes on; so is max_iter where the rate depends on it."""
    path = tmp_path / "live-rank_iter_2.safetensors"
    trainer(images, Recipe("adamw", "cosine"), tmp_path).run(2)
    matters = {"optimizer": "sgd", "schedule": "constant", "warm_up": 1, "precision": "bf16",
               "freeze_batch_norm": True, "compile": True, "channels_last": True, "dropout": 0.1}  # fmt: skip
    for name, value in matters.items():
        recipe = Recipe(**{"optimizer": "adamw", "schedule": "cosine", name: value})
        with pytest.raises(ValueError, match=f"a run can go on only as it began; recipe {name}: expected"):
            trainer(images, recipe).restore(path)
    with pytest.raises(ValueError, match="max_iter: expected 7, got 6"):
        trainer(images, Recipe("adamw", "cosine"), preset=RANK.but(max_iter=7)).restore(path)
    # Without what it says of its origin, the state itself is looked at
    metadata, training, tensors = snapshots.read(path)
    del training["origin"]
    state = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    moments = {key: tensor for key, tensor in tensors.items() if key.startswith(snapshots.STATE)}
    for recipe, kept, words in (
        (Recipe("sgd", "cosine"), moments, "expected the state of SGD, got exp_avg"),
        (Recipe("adamw", "cosine"), dict(list(moments.items())[1:]), "got a part of one"),
        (Recipe("adamw", "cosine"), {key: tensor[..., None] for key, tensor in moments.items()}, "of shape"),
        (Recipe("adamw", "constant"), moments, "expected the state of the same schedule"),
        (Recipe(), moments, "missing solver.history"),
    ):
        snapshots.save(tmp_path / "s.safetensors", metadata, state, {}, training, None, kept)
        with pytest.raises(ValueError, match=words):
            trainer(images, recipe).restore(tmp_path / "s.safetensors")


# What a training starts from


def start_of(images, out, source, arch, *more):
    """The weights before the first iteration."""
    assert main(arguments(images, out, "--set=max_iter=0", "--init", source, *more, arch=arch)) == 0
    return load_file(out / "live-rank_iter_0.safetensors")


def test_init_from_files(images, tmp_path, capsys):
    """Weights of this package, a library's classifier, another implementation's names, a caffemodel."""
    source = timm.create_model("test_efficientnet")
    state = source.state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({f"_{n}_.{key.rpartition('.')[2]}": value for n, (key, value) in enumerate(state.items())},
               tmp_path / "renamed.pth")  # fmt: skip
    for name in ("plain", "renamed"):
        start = start_of(images, tmp_path / name, tmp_path / f"{name}.pth", TINY)
        for key, value in state.items():
            assert torch.equal(start[f"net.{key}"], value) or key.startswith("classifier."), key
        assert start["net.classifier.weight"].shape == (1, source.num_features)
    assert "its names are another implementation's; taken in order" in capsys.readouterr().err
    # A run's own file, whose network needs no --arch
    own = tmp_path / "plain" / "live-rank_iter_0.safetensors"
    first, *rest = arguments(images, tmp_path / "own", "--set=max_iter=0", "--init", own)
    rest = [word for word in rest if word not in ("--arch", TINY)]
    assert main([first, *rest]) == 0
    again = load_file(tmp_path / "own" / own.name)
    assert all(torch.equal(again[key], value) for key, value in load_file(own).items() if key.startswith("net."))
    random_caffemodel(tmp_path / "FT.caffemodel", "shallow", "live-ft")
    assert rankiqa_convert(tmp_path / "FT.caffemodel", tmp_path / "ft.safetensors") == 0
    expected = load_file(tmp_path / "ft.safetensors")
    start = start_of(images, tmp_path / "caffe", tmp_path / "FT.caffemodel", "shallow")
    assert all(torch.equal(start[key], value) for key, value in expected.items() if key.startswith("conv"))
    assert not [path for path in (tmp_path / "caffe").iterdir() if path.name.startswith(".")]


def rankiqa_convert(source, target):
    return main(["convert", str(source), "--out", str(target)])


def test_init_from_the_libraries(images, tmp_path, monkeypatch):
    """Their own caches, as a machine without a network has them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    source = models.squeezenet1_1(weights=None).state_dict()
    name = models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save(source, checkpoints / name)
    start = start_of(images, tmp_path / "a", "torchvision", "torchvision:squeezenet1_1")
    assert torch.equal(start["net.features.0.weight"], source["features.0.weight"])
    source = timm.create_model("test_efficientnet").state_dict()
    hub = timm.get_pretrained_cfg("test_efficientnet").hf_hub_id
    snapshot = tmp_path / "hub" / f"models--{hub.replace('/', '--')}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    save_file(source, snapshot / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = start_of(images, tmp_path / "b", "timm", TINY)
    assert torch.equal(start["net.conv_stem.weight"], source["conv_stem.weight"])


@pytest.mark.slow
def test_init_of_vgg16_from_torchvisions(images, tmp_path):
    """Mean, deviation and channel order are in the first convolution (test_backbones.py has the arithmetic)."""
    source = models.vgg16(weights=None, init_weights=False).state_dict()
    source = {key: value.nan_to_num().clamp(-1, 1) for key, value in source.items()}
    torch.save(source, tmp_path / "vgg16.pth")
    start = start_of(images, tmp_path / "out", tmp_path / "vgg16.pth", "vgg16")
    assert torch.equal(start["conv1_2.weight"], source["features.2.weight"])
    assert torch.equal(start["fc7.bias"], source["classifier.3.bias"])
    first = source["features.0.weight"].flip(1) / (255 * torch.tensor([0.225, 0.224, 0.229]).view(1, 3, 1, 1))
    torch.testing.assert_close(start["conv1_1.weight"], first)


def test_init_refusals(images, tmp_path, capsys, monkeypatch):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    state = timm.create_model("test_efficientnet").state_dict()
    torch.save(dict(reversed([(f"_{key}", value) for key, value in state.items()])), tmp_path / "order.pth")
    torch.save({**state, "conv_stem.weight": state["conv_stem.weight"] * torch.nan}, tmp_path / "nan.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cases = [
        (tmp_path / "other.pth", TINY, "expected weights of timm:test_efficientnet, got: "),
        (tmp_path / "order.pth", TINY, "expected weights of timm:test_efficientnet, got: "),
        (tmp_path / "nan.pth", TINY, "expected finite values"),
        (tmp_path / "none.pth", TINY, "got no such file"),
        (tmp_path / "other.pth", "shallow", "expected weights of shallow, got a state dict of another network"),
        ("torchvision", TINY, "initial weights torchvision: expected a network of torchvision (or vgg16), got timm:"),
        ("timm", "vgg16", "initial weights timm: expected a network of timm"),
        (tmp_path / "none.caffemodel", TINY, "expected one of vgg16, alexnet, shallow to start from it"),
    ]
    for number, (source, arch, words) in enumerate(cases):
        assert main(arguments(images, tmp_path / f"out{number}", "--init", source, arch=arch)) == 2, words
        err = capsys.readouterr().err
        assert words in err and "Traceback" not in err


# The command


def test_the_command(images, tmp_path):
    """A network, an optimizer, a table of what was logged; a run begun and resumed by the same line."""
    out = tmp_path / "out"
    more = ["--optimizer", "adamw", "--schedule", "cosine", "--lr", "0.001", "--weight-decay", "1e-4", "--clip", "1",
            "--margin", "1", "--warm-up", "1", "--log-csv", "--test", images / "list.txt", "--set=test_interval=2",
            "--set=snapshot=1", "--iterations", "3", "--resume", "latest"]  # fmt: skip
    assert main(arguments(images, out, *more)) == 0
    settings = json.loads((out / "settings.json").read_text())
    assert settings["recipe"]["optimizer"] == "adamw" and settings["recipe"]["warm_up"] == 1
    assert settings["preset"]["base_lr"] == 0.001 and settings["preset"]["clip_gradients"] == 1
    assert settings["preset"]["margin"] == 1 and settings["preset"]["max_iter"] == 3
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [row["iteration"] for row in rows] == ["0", "0", "1", "2", "2"]
    assert [bool(row["test_loss"]) for row in rows] == [True, False, False, True, False]
    assert float(rows[1]["rate"]) == pytest.approx(1e-5) and float(rows[1]["loss"]) > 0
    for path in out.glob("*_iter_[23].safetensors"):
        path.unlink()
    whole = {path: path.read_text() for path in (out / "log.csv",)}
    assert main(arguments(images, out, *more)) == 0
    assert whole == {path: path.read_text() for path in whole}
    model = rankiqa.load(out / "live-rank_iter_3.safetensors")
    assert model.arch == TINY and model.lower_is_better and model.meaning.task == "ranked"


def test_finetune(images, tmp_path, capsys):
    """`finetune` has the presets of fine-tuning, and takes the network of the weights that it starts from."""
    assert main(arguments(images, tmp_path / "rank")) == 0
    ranked = tmp_path / "rank" / "live-rank_iter_2.safetensors"
    line = ["finetune", "live-ft", "--train", images / "list.txt", "--root", images, "--out", tmp_path / "ft", "--init",
            ranked, "--set=batch=4", "--iterations", 1, "--optimizer", "adamw", "--set=test_interval=0"]  # fmt: skip
    assert main([*map(str, line)]) == 0
    model = rankiqa.load(tmp_path / "ft" / "live-ft_iter_1.safetensors")
    assert model.arch == TINY and model.meaning.task == "fine-tuned"
    with pytest.raises(SystemExit):
        main(["finetune", "live-rank", "--train", "x", "--out", "y"])
    assert "invalid choice: 'live-rank'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--warm-up", "2", "--schedule", "onecycle"], "warm_up: expected 0 with the schedule onecycle"),
        (["--warm-up", "2"], "warm_up: expected fewer iterations than max_iter, 2, got 2"),
        (["--lr=-1"], "base_lr: expected a number, 0 or more, got -1"),
        (["--clip=-1"], "clip_gradients: expected a number"),
        (["--dropout", "1"], "dropout: expected a number, 0 or more and below 1, got 1"),
        (["--resume", "--init", "x"], "--init: expected no --resume with it"),
    ],
)
def test_refusals(images, tmp_path, capsys, more, words):
    assert main(arguments(images, tmp_path, *more)) == 2
    assert words in capsys.readouterr().err


def test_more_refusals(images, tmp_path, capsys):
    assert main(arguments(images, tmp_path / "a", "--dropout", "0.1", arch="shallow")) == 2
    assert "expected 0 of a network that is not timm's" in capsys.readouterr().err
    assert main(arguments(images, tmp_path / "b", arch="timm:none_such")) == 2
    assert "expected a network of timm, got 'none_such'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(arguments(images, tmp_path / "c", arch="vgg17"))
    assert (
        "expected one of alexnet, shallow, vgg16, efficientnet_lite0, timm:NAME, torchvision:NAME"
        in capsys.readouterr().err
    )
    with pytest.raises(ValueError, match="optimizer: expected one of caffe, sgd, adamw, got 'adam'"):
        Recipe("adam")


def test_tensorboard(images, tmp_path, capsys):
    """Loss, rate and measures; without the package, a line that says what to install."""
    found = False
    with contextlib.suppress(ImportError):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = True
    status = main(arguments(images, tmp_path / "out", "--tensorboard"))
    if not found:
        assert status == 2 and "pip install 'rankiqa[tensorboard]'" in capsys.readouterr().err
        return
    assert status == 0
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "mean_loss", "rate"}
    assert [event.step for event in events.Scalars("loss")] == [0, 1]


def test_built_with_dropout():
    model = build_backbone(TINY, drop_rate=0.5)
    assert model.net.drop_rate == 0.5 and rankiqa.build(TINY).net.drop_rate == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A timm network that one command trained on three photographs, which it distorts on the way."""
    folder = tmp_path_factory.mktemp("timm")
    for photograph in PHOTOGRAPHS[:3]:
        pixels = cv2.resize(rankiqa.read_image(photograph), (240, 200), interpolation=cv2.INTER_AREA)
        Image.fromarray(pixels).save(folder / f"{photograph.stem}.png")
    settings = {"groups": 2, "levels": 3, "images": 1, "max_iter": 3, "snapshot": 0, "display": 0, "test_interval": 0}
    code = main([
        "train", "live-rank", "--distort", "live", "--photographs", str(folder), "--out", str(folder / "run"), "--arch",
        TINY, *(f"--set={name}={value}" for name, value in settings.items()),
    ])  # fmt: skip
    assert code == 0
    return folder / "run" / "live-rank_iter_3.safetensors"


@pytest.fixture(scope="module")
def rated(trained):
    """Images (2, 3, H, W) and their scores by the module."""
    images = torch.rand(2, 3, 180, 200, generator=torch.Generator().manual_seed(0))
    scores = rankiqa.metric(trained, crops=2)(images)
    model = rankiqa.load(trained)
    assert model.arch == TINY
    pixels = (images[0] * 255).round().to(torch.uint8)
    single = rankiqa.score(model, np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), crops=2).score
    assert rankiqa.metric(trained, crops=2)(pixels[None] / 255).item() == pytest.approx(single, rel=1e-4, abs=1e-6)
    return images, scores


def test_a_network_of_timm_in_torchmetrics(trained, rated):
    pytest.importorskip("torchmetrics")
    from rankiqa.scoring.torchmetrics_metric import RankIQA

    images, scores = rated
    measure = RankIQA(trained, crops=2)
    for image in images:
        measure.update(image[None])
    assert measure.compute().item() == pytest.approx(scores.mean().item(), rel=1e-5)
    assert measure.higher_is_better is False


def test_a_network_of_timm_in_pyiqa(trained, rated):
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed (its licence is its own)")
    images, scores = rated
    rankiqa.pyiqa.register(trained, "rankiqa-timm")
    metric = pyiqa.create_metric("rankiqa-timm", device="cpu", crops=2)
    assert metric.lower_better is True
    assert torch.equal(metric(images).squeeze(1), scores)
