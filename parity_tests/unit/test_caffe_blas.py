"""CaffeBlas without Caffe; test_same_blas.py compares it with Caffe."""

import copy
import os

import numpy as np
import pytest
import torch
from torch import nn

import rankiqa
from rankiqa.caffe.blas import CaffeBlas, _opencv_openblas
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer

CLOSE = 1e-5  # of the largest value: float32 sums in another order


@pytest.fixture(scope="module")
def blas():
    return CaffeBlas(2)


@pytest.fixture
def tiny_list(tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(31)))
    return tmp_path / "list.txt"


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(3, 8, 11, stride=4),
        nn.Conv2d(4, 6, (5, 3), padding=(2, 1), groups=2),
        nn.Conv2d(3, 8, (23, 19)),  # the size of the image
        nn.Linear(7, 5),
        nn.Linear(30, 1),
    ],
    ids=str,
)
def test_layer_is_pytorchs_to_rounding(blas, layer):
    torch.manual_seed(0)
    inputs = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    shape = (3, inputs) if isinstance(layer, nn.Linear) else (3, inputs, 23, 19)
    results = []
    for with_blas in (False, True):
        copied = copy.deepcopy(layer)
        if with_blas:
            blas.apply_to(copied)
        x = torch.linspace(-1, 1, int(np.prod(shape))).sin().reshape(shape).requires_grad_()
        before = x.detach().clone()
        out = copied(x)
        (out * torch.linspace(0, 3, out.numel()).cos().reshape(out.shape)).sum().backward()
        assert torch.equal(x, before)
        results.append([out.detach(), x.grad, copied.weight.grad, copied.bias.grad])
    for theirs, ours in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= CLOSE * theirs.abs().max()


def test_input_without_gradient(blas):
    layer = nn.Conv2d(3, 4, 3)
    blas.apply_to(layer)
    layer(torch.ones(2, 3, 9, 9)).sum().backward()
    assert torch.allclose(layer.weight.grad, torch.full_like(layer.weight, 2 * 7 * 7))


def test_network_is_the_same_to_rounding_and_repeats(blas):
    model = rankiqa.build("shallow", random=rankiqa.CaffeRandom(0))
    crops = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (2, 3, 227, 227)).astype(np.float32))
    with torch.no_grad():
        plain = model(crops)
        blas.apply_to(model)
        first, second = model(crops), model(crops)
    assert torch.equal(first, second)
    assert (first - plain).abs().max() <= CLOSE * plain.abs().max()


def test_threads_are_this_process_s_cores_by_default():
    assert CaffeBlas().threads == len(os.sched_getaffinity(0))
    assert CaffeBlas(1).threads == 1


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_out_of_range(threads):
    with pytest.raises(ValueError, match="1 thread or more"):
        CaffeBlas(threads)


def test_another_library_is_refused(tmp_path):
    (tmp_path / "libtext.so").write_text("no library")
    with pytest.raises(ValueError, match=r"libtext\.so: expected an OpenBLAS"):
        CaffeBlas(path=tmp_path / "libtext.so")
    with pytest.raises(ValueError, match=r"missing\.so: expected an OpenBLAS"):
        CaffeBlas(path=tmp_path / "missing.so")


def test_other_sums_are_refused(monkeypatch):
    monkeypatch.setattr("rankiqa.caffe.blas.DIGESTS", {1: "0" * 64})
    with pytest.raises(ValueError, match="expected an OpenBLAS that sums as Caffe's"):
        CaffeBlas()
    assert _opencv_openblas().exists()


def test_only_on_the_cpu(blas, tiny_list):
    images = read_list(tiny_list)
    with pytest.raises(ValueError, match="expected device cpu, got meta"):
        Trainer.from_preset(PRESETS["live-ft"], "shallow", train=images, seed=0, device="meta", products=blas)


def test_command_line_refuses_bad_threads(tiny_list, tmp_path, capsys):
    arguments = ["train", "live-ft", "--train", str(tiny_list), "--out", str(tmp_path / "out"), "--arch", "shallow"]
    with pytest.raises(SystemExit):
        main([*arguments, "--caffe-products", "-3"])
    assert "expected a whole number, 1..1024, got '-3'" in capsys.readouterr().err
