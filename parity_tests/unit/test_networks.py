"""The three networks: names, shapes, initial weights, train and eval mode, and weights files that are refused."""

import json
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import rankiqa
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa.models.file_format import FORMAT, VERSION
from rankiqa.models.network import FLATTEN, Network
from rankiqa.models.scorer import check_input

LAYERS = {
    "vgg16": (
        "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2 "
        "conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 pool3 conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 pool4 "
        "conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8_m"
    ),
    "alexnet": (
        "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 "
        "fc6 relu6 drop6 fc7 relu7 drop7 fc8_m"
    ),
    "shallow": "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 fc1_m",
}
PARAMETERS = {"vgg16": 134_264_641, "alexnet": 56_872_321, "shallow": 166_913}


def inputs(model, n=2):
    return torch.rand(n, 3, model.crop, model.crop, generator=torch.Generator().manual_seed(1)) * 255


@pytest.mark.parametrize("arch", LAYERS)
def test_names_and_shapes(arch):
    model = rankiqa.build(arch)
    children = [name for name, _ in model.named_children()]
    assert children == model.steps
    assert [name for name in children if name != FLATTEN] == LAYERS[arch].split()
    shapes = ARCHITECTURES[arch].parameter_shapes()
    expected = {f"{name}.{part}": s for name, pair in shapes.items() for part, s in zip(("weight", "bias"), pair)}
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == expected
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert (model.arch, model.head, model.crop) == (arch, LAYERS[arch].split()[-1], 224 if arch == "vgg16" else 227)


def test_shallow_by_hand():
    """Compare Shallow with the same network in PyTorch's functions, layer by layer."""
    model = rankiqa.build("shallow").eval()
    x = inputs(model)
    layers = model.forward_layers(x)
    assert list(layers) == LAYERS["shallow"].split()
    p, y = model.state_dict(), x
    for i in (1, 2, 3):
        y = F.conv2d(y, p[f"conv{i}.weight"], p[f"conv{i}.bias"])
        assert torch.equal(layers[f"conv{i}"], y)
        assert y.min() < 0  # the convolution's own output, before ReLU
        y = F.relu(y)
        if i < 3:
            y = F.max_pool2d(y, 4, 4, ceil_mode=True)
            assert torch.equal(layers[f"pool{i}"], y)
    y = F.conv2d(y, p["conv4.weight"], p["conv4.bias"])
    assert y.shape == (2, 32, 1, 1) and torch.equal(layers["conv4"], y)
    y = F.linear(y.flatten(1), p["fc1_m.weight"], p["fc1_m.bias"])
    assert torch.equal(model(x), y)


def test_alexnet_keeps_every_layer():
    model = rankiqa.build("alexnet").eval()
    with torch.inference_mode():
        layers = model.forward_layers(inputs(model, 1))
    sizes = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6}
    assert {name: layers[name].shape[-1] for name in sizes} == sizes
    assert layers["fc8_m"].shape == (1, 1)
    assert layers["conv1"].min() < 0 <= layers["relu1"].min()
    assert not torch.equal(layers["relu1"], layers["norm1"])
    assert torch.equal(layers["relu6"], layers["drop6"])  # dropout is off


def test_dropout_only_in_train_mode():
    model = rankiqa.build("alexnet").train()
    drops = model.forward_layers(inputs(model, 4))
    kept = drops["drop6"] != 0
    assert torch.equal(drops["drop6"][kept], 2 * drops["relu6"][kept])
    share = kept.sum() / (drops["relu6"] != 0).sum()
    assert 0.45 < share < 0.55


def test_fresh_weights_follow_caffes_fillers():
    torch.manual_seed(0)
    shallow, alexnet = rankiqa.build("shallow"), rankiqa.build("alexnet")
    weight = shallow.conv4.weight
    bound = math.sqrt(3 / (32 * 12 * 12))
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.abs().max() > 0.999 * bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    glorot = math.sqrt(6 / (32 * 12 * 12 + 32 * 12 * 12)) * math.sqrt(2)  # fan_in + fan_out, PyTorch's xavier
    assert abs(glorot - bound) / bound > 0.1
    assert all(not p.any() for name, p in shallow.named_parameters() if name.endswith("bias"))
    for name, std, bias in [("conv1", 0.01, 0), ("conv2", 0.01, 0.1), ("conv3", 0.01, 0), ("conv5", 0.01, 0.1),
                            ("fc6", 0.005, 0.1), ("fc7", 0.005, 0.1), ("fc8_m", 0.01, 0)]:  # fmt: skip
        module = alexnet.get_submodule(name)
        assert module.weight.std().item() == pytest.approx(std, rel=0.06)
        assert torch.equal(module.bias, torch.full_like(module.bias, bias))


def test_torchs_seed_decides_the_fresh_weights():
    built = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        built.append(rankiqa.build("shallow").conv1.weight)
    assert torch.equal(built[0], built[1])
    assert not torch.equal(built[0], built[2])


@pytest.mark.parametrize("arch, like", [("vgg16", "tid2013-ft"), ("alexnet", "live-ft"), ("shallow", "live-ft")])
def test_other_heads(arch, like):
    fc = known_nets(ARCHITECTURES[arch])[like]
    with torch.device("meta"):
        model = rankiqa.build(arch, fc=fc)
    assert tuple(model.fc) == fc
    assert model.head == fc[-1]
    assert f"{fc[-1]}.weight" in model.state_dict()


@pytest.mark.parametrize(
    "arch, fc, message",
    [
        ("resnet", None, "expected one of vgg16, alexnet, shallow, efficientnet_lite0, or .*, got 'resnet'"),
        ("VGG16", None, "expected one of"),
        ("vgg16", ["fc6", "fc7"], r"expected fc6\[_m\] fc7\[_m\] fc8\[_m\], got fc6 fc7"),
        ("shallow", ["fc8"], r"expected fc1\[_m\]"),
        ("vgg16", ["fc7", "fc6", "fc8"], "expected fc6"),
    ],
)
def test_build_refuses(arch, fc, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.build(arch, fc=fc)


@pytest.mark.parametrize(
    "x, message",
    [
        (torch.zeros(1, 3, 224, 224), r"expected \(N, 3, 227, 227\), got \(1, 3, 224, 224\)"),
        (torch.zeros(3, 227, 227), "expected"),
        (torch.zeros(1, 1, 227, 227), "expected"),
        (torch.zeros(1, 3, 227, 227, dtype=torch.uint8), "floating point.*uint8"),
    ],
)
def test_an_input_is_refused(x, message):
    model = rankiqa.build("shallow")
    for refuse in (check_input, Network.forward_layers):
        with pytest.raises(ValueError, match=message):
            refuse(model, x)


def test_load(weights):
    torch.manual_seed(0)
    built = rankiqa.build("shallow")
    state = torch.get_rng_state()
    model = rankiqa.load(weights)
    assert torch.equal(torch.get_rng_state(), state)  # loading draws no random number
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in model.state_dict().items())
    assert (model.arch, model.head, tuple(model.fc)) == ("shallow", "fc1_m", ("fc1_m",))
    model(inputs(model)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_loaded_weights_outlive_the_file(write, tmp_path):
    path = write(tmp_path / "w.safetensors")
    model = rankiqa.load(path)
    before = model.conv4.weight.clone()
    with open(path, "r+b") as file:
        file.seek(2000)
        file.write(b"\xff" * (path.stat().st_size - 2000))
    assert torch.equal(model.conv4.weight, before)


def test_every_mistake_in_one_message(write, tmp_path):
    state = rankiqa.build("shallow").state_dict()
    del state["conv2.bias"], state["conv4.weight"]
    state["conv3.weight"] = torch.zeros(32, 32, 5, 5)
    state["fc8.weight"] = torch.zeros(1, 32)
    state["conv1.bias"] = torch.full((32,), torch.nan)
    state["conv1.weight"] = state["conv1.weight"].double()
    with pytest.raises(ValueError) as error:
        rankiqa.load(write(tmp_path / "w.safetensors", state=state))
    message = str(error.value)
    for part in (
        "missing conv2.bias", "missing conv4.weight", "unexpected fc8.weight", "conv1.bias: expected finite",
        "conv3.weight: expected (32, 32, 3, 3) torch.float32, got (32, 32, 5, 5)", "got (32, 3, 3, 3) torch.float64",
    ):  # fmt: skip
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": None}, "metadata that `rankiqa convert` writes"),
        ({"format": "pt"}, "metadata that `rankiqa convert` writes"),
        ({"arch": "resnet"}, "metadata: arch: expected one of"),
        ({"fc": '["fc8"]'}, "metadata: shallow fully-connected layers"),
        ({"fc": "fc1_m"}, "metadata: expected JSON, got 'fc1_m'"),
        ({"crop": "224"}, "crop: expected 227, which is what shallow has, got 224"),
        ({"colour_order": "RGB"}, "colour_order: expected BGR"),
        ({"head": "fc8"}, "head: expected fc1_m"),
        ({"score_range": "[NaN, 1]"}, "score_range: expected .* two finite numbers"),
        ({"score_range": "[1e999, 1]"}, "score_range: expected .* two finite numbers"),
        ({"score_range": "[5, 1]"}, r"score_range: expected \[lowest, highest\], got"),
        ({"landmarks": "[0, -Infinity]"}, "landmarks: expected .* two finite numbers"),
        ({"dataset": "a\nb"}, "dataset: expected a name"),
        ({"fc": "5"}, "expected a list of names"),
        ({"fc": "[5]"}, "expected a list of names"),
        (
            {"fc": '["fc1"]'},
            "missing fc1.bias.*unexpected fc1_m.bias",
        ),  # weights of a rank net, metadata of a fine-tuned net
        ({"version": "2"}, "expected format version 1, got 2"),
    ],
)
def test_metadata_that_is_refused(write, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        rankiqa.load(write(tmp_path / "w.safetensors", **changes))
    assert "w.safetensors" in str(error.value)


def test_files_that_are_refused(weights, tmp_path, photograph):
    data = weights.read_bytes()
    wrong = {
        "empty": b"", "short": data[:5], "half": data[: len(data) // 2], "last byte": data[:-1],
        "model.caffemodel": b"\n\x07shallow\xa2\x06\x10\n\x05conv1" * 200, "text": b'name: "VGG"\nlayer {\n',
        "photograph": photograph.read_bytes(), "pickle": b"\x80\x02}q\x00.",
    }  # fmt: skip
    for name, content in wrong.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match="`rankiqa convert MODEL") as error:
            rankiqa.load(path)
        assert name in str(error.value)
    with pytest.raises(ValueError, match="no such file"):
        rankiqa.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a folder"):
        rankiqa.load(tmp_path)


def test_the_package_and_its_table_start_without_torch():
    code = (
        "import sys, rankiqa, rankiqa.models.architectures, rankiqa.cli; rankiqa.models.architectures.ARCHITECTURES; "
        "assert {'build', 'score', 'distort'} <= set(dir(rankiqa)); "
        "heavy = {'torch', 'cv2', 'scipy', 'PIL', 'numpy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    for name in rankiqa.__all__:
        assert getattr(rankiqa, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rankiqa.nothing  # noqa: B018


def test_metadata_of_the_fixture_is_what_is_written(write, tmp_path):
    from safetensors import safe_open

    with safe_open(write(tmp_path / "w.safetensors"), framework="np") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["version"]) == (FORMAT, VERSION)
    assert json.loads(metadata["fc"]) == ["fc1_m"]
