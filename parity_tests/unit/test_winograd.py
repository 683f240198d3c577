"""3 x 3 convolutions by Winograd's algorithm: values, gradients, the engine `winograd` and `train --winograd`."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import rankiqa
from rankiqa.cli import main
from rankiqa.models import winograd, winograd_tiles
from rankiqa.scoring.dense import score_dense
from rankiqa.scoring.engines import TorchEngine, engine_named
from rankiqa.training.recipe import Recipe

ROUNDING = 1e-5  # of the largest value; measured: 3e-6
TRAINED = 1e-4  # the same for weights after four iterations, as for gradients; measured: 2e-5


def _close(actual, exact):
    assert actual.dtype == torch.float32 and actual.shape == exact.shape
    assert (actual - exact).abs().max() <= ROUNDING * exact.abs().max()


@pytest.mark.parametrize(
    ("size", "out", "pad", "bias"),
    [
        ((1, 16, 9, 17), 5, 0, True),
        ((3, 17, 3, 3), 1, 1, True),
        ((7, 16, 1, 8), 32, 1, False),
        ((2, 20, 13, 6), 3, 2, True),
        ((5, 16, 12, 12), 16, 1, True),
    ],
)
def test_values_and_gradients(size, out, pad, bias, monkeypatch):
    """Compare with float64, also image by image and with channels-last memory."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(size[1], out, 3, padding=pad, bias=bias)
    x, top = torch.randn(size), None
    exact = x.double().requires_grad_()
    parameters = [parameter.detach().double().requires_grad_() for parameter in layer.parameters()]
    expected = F.conv2d(exact, parameters[0], parameters[1] if bias else None, padding=pad)
    top = torch.randn(expected.shape)
    wanted = torch.autograd.grad(expected, [exact, *parameters], top.double())
    winograd.apply_to(layer)
    for piece, given in ((winograd_tiles.PIECE, x), (1, x), (5000, x.to(memory_format=torch.channels_last))):
        monkeypatch.setattr(winograd_tiles, "PIECE", piece)
        leaf = given.clone().requires_grad_()
        out = layer(leaf)
        _close(out, expected)
        for ours, right in zip(torch.autograd.grad(out, [leaf, *layer.parameters()], top), wanted, strict=True):
            _close(ours, right)


def test_a_blob_smaller_than_the_kernel():
    layer = torch.nn.Conv2d(16, 4, 3)
    winograd.apply_to(layer)
    with pytest.raises(ValueError, match=r"expected 3 x 3 or more with the padding \(0, 0\), got 2 x 9"):
        layer(torch.rand(1, 16, 2, 9))


def test_what_is_chosen():
    layers = {
        "yes": torch.nn.Conv2d(16, 4, 3, padding=1),
        "few": torch.nn.Conv2d(15, 4, 3),
        "five": torch.nn.Conv2d(16, 4, 5),
        "stride": torch.nn.Conv2d(16, 4, 3, 2),
        "groups": torch.nn.Conv2d(16, 4, 3, groups=2),
        "dilated": torch.nn.Conv2d(16, 4, 3, dilation=2),
        "reflect": torch.nn.Conv2d(16, 4, 3, padding=1, padding_mode="reflect"),
        "same": torch.nn.Conv2d(16, 4, 3, padding="same"),
    }
    model = torch.nn.ModuleDict(layers)
    winograd.apply_to(model)
    assert [name for name, layer in model.items() if "forward" in vars(layer)] == ["yes"]
    del model["yes"]
    with pytest.raises(ValueError, match="expected a network with 3 x 3 convolutions"):
        winograd.apply_to(model)
    with pytest.raises(ValueError, match=r"expected a float32 network on the CPU, got torch\.float64 on cpu"):
        winograd.apply_to(layers["yes"].double())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKIQA_CACHE", str(tmp_path / "cache"))


def test_engine(weights, photograph, cache):
    """Scores are close to torch's and do not depend on other images; the given network is not changed."""
    model = rankiqa.load(weights)
    expected = [row["score"] for row in rankiqa.score_many(model, [photograph], crops=45)]
    few, many = (
        [row["score"] for row in rankiqa.score_many(model, [photograph] * n, crops=45, engine="winograd", batch=n)]
        for n in (1, 3)
    )
    assert many == few * 3
    assert few == pytest.approx(expected, rel=ROUNDING) and few != expected
    assert not any("forward" in vars(module) for module in model.modules())
    image = rankiqa.read_image(photograph)
    dense = engine_named("winograd", model, mode="dense").dense(image)
    np.testing.assert_allclose(dense.map, score_dense(model, image).map, rtol=1e-4, atol=1e-4 * np.ptp(dense.map))


def test_what_the_engine_refuses(weights, cache):
    with pytest.raises(ValueError, match="expected fp32 with winograd"):
        engine_named("winograd", rankiqa.load(weights), precision="bf16")
    with pytest.raises(ValueError, match="got none in efficientnet_lite0"):
        engine_named("winograd", rankiqa.build("efficientnet_lite0"))
    other = engine_named("winograd", rankiqa.build("torchvision:resnet18").eval())  # a network with batch normalisation
    crops = torch.rand(2, 3, 224, 224)
    _close(other.scores(crops), TorchEngine(other.model).scores(crops))


@pytest.mark.parametrize("other", [{"precision": "bf16"}, {"compile": True}, {"channels_last": True}])
def test_what_a_recipe_refuses(other):
    with pytest.raises(
        ValueError, match=f"winograd: expected fp32 in contiguous memory, not compiled, got another {next(iter(other))}"
    ):
        Recipe(winograd=True, **other)


def test_training(tmp_path, capsys):
    """Only the last bits of a training differ; resuming is exact; settings record it; Caffe's products exclude it."""
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 256, (230, 240, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.bmp")
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path / str(n)}.bmp {n}\n" for n in range(12)))
    settings = {"list_groups": 2, "groups": 2, "levels": 2, "images": 1, "snapshot": 2, "display": 0, "stepsize": 3}
    words = ["train", "live-rank", "--arch", "shallow", "--train", str(tmp_path / "list.txt"), "--lr", "1e-6",
             *(f"--set={name}={value}" for name, value in settings.items())]  # fmt: skip

    def weights(name, iterations, *more):
        out = tmp_path / name
        assert main([*words, "--out", str(out), "--iterations", str(iterations), *more]) == 0
        return rankiqa.load(out / f"live-rank_iter_{iterations}.safetensors").state_dict()

    plain, ours = weights("plain", 4), weights("ours", 4, "--winograd")
    assert json.loads((tmp_path / "ours" / "settings.json").read_text())["recipe"]["winograd"] is True
    assert any(not torch.equal(plain[name], ours[name]) for name in plain)
    for name, value in plain.items():
        assert (value - ours[name]).abs().max() <= TRAINED * value.abs().max(), name
    weights("broken", 2, "--winograd")
    again = weights("broken", 4, "--winograd", "--resume")
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "no"), "--winograd", "--caffe-products"]) == 2
    assert "winograd: expected PyTorch's products" in capsys.readouterr().err
