"""The port on --device (by default a GPU) compared with the port on the CPU: scores, gradients, training.

The parity tests `layers`, `gradients` and `solver` also have tests marked gpu, which compare with Caffe's answers.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.models.modes import IEEE, TF32
from rankiqa.scoring import many
from rankiqa.scoring.dense import score_dense
from rankiqa.scoring.engines import engine_named
from rankiqa.training import batches
from rankiqa.training.forward_pass import ForwardPass
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"))

import on_gpu

SCORES = 1e-4  # of the largest score: a GPU's algorithms sum float32 values in other orders
BF16 = 5e-2
LOSSES = 1e-3
RANK = PRESETS["live-rank"].but(list_groups=2, groups=2, levels=2, images=1, max_iter=4, snapshot=2, display=0,
                                test_interval=2, base_lr=1e-4)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with twelve images of noise and list.txt: two distortions, two levels, three images each."""
    images = tmp_path_factory.mktemp("gpu")
    for n in range(12):
        cv2.imwrite(str(images / f"{n:02}.png"), np.random.default_rng(n).integers(0, 256, (240, 250, 3), np.uint8))
    (images / "list.txt").write_text("".join(f"{n:02}.png {n}\n" for n in range(12)))
    return images


@pytest.fixture(scope="module")
def networks(weights, device):
    """(Shallow on the CPU, Shallow on the device)."""
    return rankiqa.load(weights), rankiqa.load(weights).to(device)


def trained(folder, device, out=None, recipe=None, stop=None, resume=None, **more):
    """Train Shallow on a small ranking and return (losses, trainer)."""
    lists = {split: read_list(folder / "list.txt", folder) for split in ("train", "test")}
    trainer = Trainer.from_preset(RANK, "shallow", **lists, seed=3, out=out, device=device, recipe=recipe or Recipe(),
                                  log=lambda line: None, **more)  # fmt: skip
    if resume:
        trainer.restore(resume)
    trainer.run(stop)
    return np.array(trainer.losses), trainer


def near(ours, expected, tolerance):
    expected = np.asarray(expected, np.float64)
    return np.abs(np.asarray(ours, np.float64) - expected).max() <= tolerance * max(1, np.abs(expected).max())


@pytest.mark.gpu
def test_scores(folder, networks):
    on_cpu, on_device = networks
    paths = sorted(folder.glob("*.png"))[:4]
    single = [rankiqa.score(on_device, rankiqa.read_image(path), crops=12).score for path in paths]
    expected = [rankiqa.score(on_cpu, rankiqa.read_image(path), crops=12).score for path in paths]
    assert near(single, expected, SCORES)
    for batch, workers in ((1, 1), (3, 2)):
        rows = rankiqa.score_many(on_device, paths, crops=12, batch=batch, workers=workers)
        assert [row["score"] for row in rows] == single
    dense = score_dense(on_device, rankiqa.read_image(paths[0])).map
    assert near(dense, score_dense(on_cpu, rankiqa.read_image(paths[0])).map, SCORES)


@pytest.mark.gpu
def test_bfloat16(folder, networks):
    on_cpu, on_device = networks
    image = rankiqa.read_image(folder / "00.png")
    crops = rankiqa.take_crops(image, np.array([[0, 0], [5, 9]]), on_cpu.input_spec)
    scores = engine_named("torch", on_device, precision="bf16", say=lambda line: None).scores(crops)
    expected = on_cpu(crops).squeeze(1).detach()
    assert near(scores.cpu(), expected, BF16)


@pytest.mark.gpu
def test_metric_and_its_gradient(networks, device):
    images = torch.rand(2, 3, 240, 250, generator=torch.Generator().manual_seed(0))
    results = []
    for network, where in zip(networks, ("cpu", device), strict=True):
        pixels = images.to(where).requires_grad_()
        scores = rankiqa.metric(network, crops=3)(pixels)
        scores.sum().backward()
        results.append((scores.detach().cpu(), pixels.grad.cpu()))
    (scores, gradient), (device_scores, device_gradient) = results
    assert near(device_scores, scores, SCORES)
    difference = (device_gradient - gradient).abs()
    assert difference.median() <= 1e-3 * gradient.abs().mean() > 0


@pytest.mark.gpu
def test_training(folder, device, tmp_path):
    """Losses equal the CPU's, also with worker processes; each device resumes the other's snapshot."""
    expected, _ = trained(folder, "cpu", tmp_path / "cpu")
    losses, trainer = trained(folder, device, tmp_path / "device")
    assert trainer.device.type == device.type
    assert near(losses, expected, LOSSES)
    assert near(trained(folder, device, workers=2)[0], losses, LOSSES)
    for where, other in (("cpu", device), ("device", "cpu")):
        resumed, _ = trained(folder, other, resume=tmp_path / where / "live-rank_iter_2.safetensors")
        assert near(resumed, expected[2:], LOSSES)


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", [Recipe(precision="tf32"), Recipe(precision="bf16", channels_last=True)])
def test_other_precisions_train(folder, device, recipe):
    expected, _ = trained(folder, "cpu")
    assert near(trained(folder, device, recipe=recipe)[0], expected, BF16)


@pytest.mark.gpu
def test_pinned_where_a_gpu_takes_them(folder, device, networks):
    _, trainer = trained(folder, device, stop=1)
    crops, labels = trainer.batches.next(batches.TRAIN)
    image = rankiqa.read_image(folder / "00.png")
    first, *_ = many.passes(image, many.ScoreSettings(crops=2), networks[1])
    assert {crops.is_pinned(), labels.is_pinned(), first.is_pinned()} == {device.type == "cuda"}


@pytest.mark.gpu
def test_commands(folder, weights, device, tmp_path, capsys):
    arguments = ["score", str(folder / "00.png"), "--weights", str(weights), "--device", str(device), "--json"]
    assert main(arguments) == 0
    row = json.loads(capsys.readouterr().out)
    assert near(row["score"], rankiqa.score(rankiqa.load(weights), rankiqa.read_image(folder / "00.png")).score, SCORES)
    sizes = [f"--set={name}" for name in ("list_groups=2", "groups=2", "levels=2", "images=1", "max_iter=1")]
    arguments = ["train", "live-rank", "--train", str(folder / "list.txt"), "--root", str(folder), "--arch", "shallow",
                 "--out", str(tmp_path / "out"), "--device", str(device), "--workers", "1", *sizes]  # fmt: skip
    assert main(arguments) == 0
    assert list((tmp_path / "out").glob("live-rank_iter_1.safetensors"))


@pytest.mark.gpu
def test_benchmarks(device):
    """Without Caffe, the benchmarks return every ratio and time."""
    ratios, medians = on_gpu.score(1, str(device), None, "shallow")
    assert set(ratios) == {"tf32_over_port", "bf16_over_port", "error_port_tf32", "error_port_bf16"}
    assert {"port_s", "port_tf32_s", "port_bf16_s", "images_s"} == set(medians)
    ratios, medians = on_gpu.train(1, str(device), None, ["shallow"], steps=1)
    assert set(ratios) == {"port_tf32_over_port_time_shallow", "port_bf16_over_port_time_shallow"}
    assert min([*ratios.values(), *medians.values()]) > 0


# What is requested of a GPU, tested without one


@pytest.mark.parametrize(("precision", "kind"), [("fp32", IEEE), ("bf16", IEEE), ("tf32", TF32)])
def test_a_gpu_trains_in_full_float32_unless_told_otherwise(precision, kind):
    old = not hasattr(torch.backends.cudnn, "conv")  # before PyTorch 2.9
    name, value = ("allow_tf32", kind == TF32) if old else ("fp32_precision", kind)
    operators = torch.backends.cuda.matmul, torch.backends.cudnn if old else torch.backends.cudnn.conv
    before = [getattr(operator, name) for operator in operators]
    forward = ForwardPass(rankiqa.build("shallow"), Recipe(precision=precision), seed=0)
    forward._device = torch.device("cuda")
    with forward.running():
        assert [getattr(operator, name) for operator in operators] == [value, value]
    assert [getattr(operator, name) for operator in operators] == before


def test_training_on_the_cpu_asks_for_no_pinned_memory(folder, monkeypatch):
    pinned, minibatches = [], batches.minibatches

    def spy(*arguments, **options):
        pinned.append(options["pinned"])
        return minibatches(*arguments, **options)

    monkeypatch.setattr(batches, "minibatches", spy)
    trained(folder, "cpu", stop=1)
    assert pinned == [False, False]  # for the test phase and for training
