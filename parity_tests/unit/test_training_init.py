"""The weights that a training starts from: files, and the caches of timm and torchvision."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib.backbone_trainings import TINY, arguments, write_images
from rankiqa.cli import main
from sample_networks import random_caffemodel

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision").models


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def start_of(images, out, source, arch, *more):
    """Return the weights before the first iteration."""
    assert main(arguments(images, out, "--set=max_iter=0", "--init", source, *more, arch=arch)) == 0
    return load_file(out / "live-rank_iter_0.safetensors")


def test_init_from_files(images, tmp_path, capsys):
    """Start from a library's classifier, another implementation's names, weights of this package, a caffemodel."""
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
    assert "its names are those of another implementation; tensors were matched in order" in capsys.readouterr().err
    # Weights of an earlier run name their network, so that --arch is not needed
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
    """Start from the libraries' own caches, as on a machine without a network."""
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
    """The first convolution includes mean, deviation and channel order (test_backbones.py has the arithmetic)."""
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
