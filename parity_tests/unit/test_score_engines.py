"""Other engines and precisions: their distance from torch in float32, their cache, and what they refuse."""

import json
import sys

import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.cli import main
from rankiqa.scoring import exported_engines
from rankiqa.scoring.engines import TorchEngine, engine_named

ROUNDING = 1e-5  # the same products are added in another order
BFLOAT16 = 2e-2  # of the largest score: 8 significant bits, three layers


@pytest.fixture(scope="module")
def network(weights):
    return rankiqa.load(weights)


@pytest.fixture(scope="module")
def crops(network, photograph):
    image = rankiqa.read_image(photograph)
    offsets = rankiqa.crop_offsets(*image.shape[:2], network.crop, 10, np.random.RandomState(0))
    return rankiqa.take_crops(image, offsets, network.input_spec)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a cache folder for these tests only."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKIQA_CACHE", str(folder))
        yield folder


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_engines_agree(network, crops, cache, name):
    """Engines agree, also in a pass of fewer crops; the comparison is logged once for each weights file."""
    messages = []
    engine = engine_named(name, network, say=messages.append)
    expected = TorchEngine(network).scores(crops)
    for n in (10, 3):
        scores = engine.scores(crops[:n])
        assert scores.shape == (n,) and scores.dtype == torch.float32
        assert (scores - expected[:n]).abs().max() <= ROUNDING * expected.abs().max()
        assert torch.equal(engine.scores(crops[:n]), scores)
    assert [line for line in messages if "of the largest" in line] == [messages[-1]] and messages[-1].startswith(name)
    messages.clear()
    engine_named(name, network, say=messages.append).scores(crops[:1])
    assert messages == []
    (file,) = cache.glob("*.onnx")
    assert file.stem.split("-")[0] == rankiqa.models.weights.digest(network)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".onnx"]  # no temporary file remains


def test_other_weights_have_another_file(network, cache, write, tmp_path):
    state = network.state_dict() | {"fc1_m.bias": network.get_parameter("fc1_m.bias").detach() + 1}
    other = rankiqa.load(write(tmp_path / "other.safetensors", state=state))
    assert rankiqa.models.weights.digest(other) != rankiqa.models.weights.digest(network)


def test_bfloat16(network, crops, cache):
    messages = []
    engine = engine_named("torch", network, precision="bf16", say=messages.append)
    expected = TorchEngine(network).scores(crops)
    scores = engine.scores(crops)
    assert scores.dtype == torch.float32
    assert 0 < (scores - expected).abs().max() <= BFLOAT16 * expected.abs().max()
    assert len({float(value) for value in scores}) == len(scores)  # the output layer computes in float32
    assert any("bf16: the scores of the first 10 crops differ" in line for line in messages)
    assert next(network.parameters()).dtype == torch.float32


def test_bfloat16_keeps_lrn_in_float32(cache):
    torch.manual_seed(0)
    model = rankiqa.build("alexnet").eval()
    crops = torch.rand(2, 3, model.crop, model.crop) * 255
    scores, expected = engine_named("torch", model, precision="bf16").scores(crops), TorchEngine(model).scores(crops)
    assert (scores - expected).abs().max() <= BFLOAT16 * expected.abs().max()


def test_refusals(network, cache, monkeypatch):
    backbone = rankiqa.build("torchvision:resnet18")
    for name, model, options, message in [
        ("onnxruntime", network, {"precision": "bf16"}, "expected fp32 with onnxruntime"),
        ("openvino", network, {"mode": "dense"}, "mode dense: expected the engine torch or winograd, got openvino"),
        (
            "torch",
            backbone,
            {"mode": "dense"},
            "mode dense: expected vgg16, alexnet or shallow, got torchvision:resnet18",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            engine_named(name, model, **options)
    for name in ("onnxruntime", "openvino"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ValueError, match=rf"pip install 'rankiqa\[{name}\]'"):
                engine_named(name, network)


def test_a_cache_that_cannot_be_written(network, tmp_path, monkeypatch, cache):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RANKIQA_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ValueError, match="RANKIQA_CACHE names the folder"):
        engine_named("onnxruntime", network)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_damaged_cache_is_made_again(network, crops, tmp_path, monkeypatch, name):
    """A cache file that is damaged, as after a full disk or a crash, is written again."""
    monkeypatch.setenv("RANKIQA_CACHE", str(tmp_path))
    expected, messages = engine_named(name, network).scores(crops[:2]), []
    (file,) = tmp_path.glob("*.onnx")
    for content in (file.read_bytes()[:100], b"", b"no network"):
        file.write_bytes(content)
        assert torch.equal(engine_named(name, network, say=messages.append).scores(crops[:2]), expected)
    assert len(messages) == 3 and all(str(file) in line for line in messages)


def test_where_the_cache_is(monkeypatch):
    monkeypatch.delenv("RANKIQA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(exported_engines.cache_folder()) == "/x/rankiqa"


def test_command_line(photograph, weights, cache, capsys):
    arguments = ["score", str(photograph), "--weights", str(weights), "--json", "--crops", "12"]
    scores = {}
    for name in ("torch", "onnxruntime", "openvino"):
        assert main([*arguments, "--engine", name]) == 0
        scores[name] = json.loads(capsys.readouterr().out)["score"]
    for name in ("onnxruntime", "openvino"):
        assert scores[name] == pytest.approx(scores["torch"], rel=ROUNDING)
    assert main([*arguments, "--engine", "onnxruntime", "--precision", "bf16"]) == 2
    assert "expected fp32 with onnxruntime" in capsys.readouterr().err


def test_dense(photograph, weights, capsys):
    """The score is the mean of the library's map; --agreement reports the difference from crops."""
    image = rankiqa.read_image(photograph)
    expected = rankiqa.scoring.dense.score_dense(rankiqa.load(weights), image)
    arguments = [
        "score",
        *[str(photograph)] * 3,
        "--weights",
        str(weights),
        "--json",
        "--mode",
        "dense",
        "--crops",
        "3",
    ]
    assert main([*arguments, "--agreement", "2"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0] == rows[1] == rows[2]
    assert set(rows[0]) == {"path", "score", "median", "mode"} and rows[0]["mode"] == "dense"
    assert rows[0]["score"] == pytest.approx(expected.score, rel=ROUNDING)
    assert rows[0]["median"] == pytest.approx(float(np.median(expected.map)), rel=ROUNDING)
    crops = rankiqa.score(rankiqa.load(weights), image, crops=3).score
    difference = abs(crops - rows[0]["score"])
    assert f"compared with 3 crops on the first 2 images: difference {difference:.3g} on average" in err
    assert main([*arguments, "--precision", "bf16", "--agreement", "0"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[0])["score"] == pytest.approx(expected.score, rel=BFLOAT16)
