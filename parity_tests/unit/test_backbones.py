"""Networks of timm and torchvision with one output, and torchvision's VGG-16 weights in the original's network."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import rankiqa
from rankiqa.cli import train_arguments
from rankiqa.models.backbones import build_backbone, copy_state
from rankiqa.models.imagenet_vgg import copy_torchvision, folded_first_convolution
from rankiqa.models.registry import names
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.state_files import read_state
from rankiqa.training.initial_weights import arch_of, initialise
from rankiqa.training.parameter_groups import parameter_groups

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision").models
NAMES = ["timm:efficientnet_lite0", "timm:resnet18", "torchvision:resnet18", "torchvision:squeezenet1_1",
         "torchvision:mobilenet_v3_small", "torchvision:googlenet"]  # fmt: skip


@pytest.mark.parametrize("arch", NAMES)
def test_one_output_and_back_from_its_file(arch, tmp_path):
    torch.manual_seed(0)
    model = rankiqa.build(arch).eval()
    model.meaning = ScoreMeaning("mine", "ranked", lower_is_better=True)
    crops = torch.rand(2, 3, model.input_spec.crop, model.input_spec.crop)
    with torch.no_grad():
        before = model(crops)
    assert before.shape == (2, 1) and model.input_spec.channel_order == "RGB"
    model.save_pretrained(tmp_path / "folder")
    for path in (tmp_path / "folder", tmp_path / "folder" / "model.safetensors"):
        again = rankiqa.load(path)
        assert (again.arch, again.input_spec, again.meaning) == (arch, model.input_spec, model.meaning)
        with torch.no_grad():
            assert torch.equal(again(crops), before)


def test_takes_what_its_library_says():
    """take_crops normalises pixels as torchvision's own transforms do."""
    image = np.random.default_rng(0).integers(0, 256, (250, 260, 3), np.uint8)
    model = rankiqa.build("torchvision:resnet18")
    ours = rankiqa.take_crops(image, np.array([[3, 5]]), model.input_spec)[0]
    crop = torch.from_numpy(image[3:227, 5:229].copy()).permute(2, 0, 1)
    theirs = models.ResNet18_Weights.DEFAULT.transforms(crop_size=224, resize_size=224)(crop)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert not torch.allclose(ours.flip(0), theirs, atol=1e-2)


def test_scores(photograph):
    model = build_backbone("timm:efficientnet_lite0")
    result = rankiqa.score(model, rankiqa.read_image(photograph), crops=3)
    assert np.isfinite(result.score) and len(result.values) == 3


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("timm:resnet1", "expected a network of timm, got 'resnet1'"),
        ("torchvision:resnet1", r"expected a classification network of torchvision, got 'resnet1' \(.*resnet18"),
        ("other:resnet18", "arch: expected"),
        ("resnet18", r"timm:resnet18 or torchvision:resnet18"),
    ],
)
def test_unknown_names(arch, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.build(arch)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("timm:efficientnet_lit0", "efficientnet_lite0"),
        ("torchvision:resnet81", "resnet18"),
        ("timm:hf_hub:timm/resnet18.a1_in1k", "expected a network of timm, got 'hf_hub:"),
        ("timm:resnet18.no_such_tag", "no_such_tag"),
        ("timm:mobilenetv5_300m_enc", "expected a network for classification, got MobileNetV5Encoder"),
    ],
)
def test_names_that_are_nearly_right(arch, message):
    """The error names similar networks, or what is wrong with this one."""
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build_backbone(arch)


# Each form of timm's classifiers: a convolution, several branches, a layer inside another module
HEADS = {
    "dla46_c": ["net.fc"],
    "resnetv2_18": ["net.head.fc"],
    "levit_128s": ["net.head.linear", "net.head_dist.linear"],
    "crossvit_9_240": ["net.head.0", "net.head.1"],
    "repvit_m0_9": ["net.head.head.l", "net.head.head_dist.l"],
    "caformer_s18": ["net.head.fc.fc2"],
    "deit_tiny_distilled_patch16_224": ["net.head", "net.head_dist"],
}


@pytest.mark.parametrize("name", HEADS)
def test_every_form_of_classifier(name):
    """The network has one output in train and eval mode, and its output layers are known by name."""
    with torch.device("meta"):
        model = build_backbone(f"timm:{name}")
        crops = torch.zeros(2, 3, model.crop, model.crop)
    assert list(model.outputs) == list(model.fc) == HEADS[name] and model.head == HEADS[name][-1]
    assert model.train()(crops).shape == model.eval()(crops).shape == (2, 1)


def test_output_layers_of_several_branches_learn_alike():
    with torch.device("meta"):
        model = build_backbone("timm:levit_128s")
    groups = parameter_groups(model, "output")
    faster = {id(parameter) for group in groups if group["lr_mult"] >= 10 for parameter in group["params"]}
    assert faster == {
        id(model.get_parameter(f"{name}.{part}")) for name in model.outputs for part in ("weight", "bias")
    }


def test_a_branch_of_another_number_of_outputs_starts_anew(tmp_path):
    with torch.device("meta"):
        model = build_backbone("timm:levit_128s")
    model = model.to_empty(device="cpu")
    state = {key: torch.full_like(value, 0.5) for key, value in model.net.state_dict().items()}
    state |= {f"head_dist.linear.{part}": torch.zeros(1000, *([384] if part == "weight" else []))
              for part in ("weight", "bias")}  # fmt: skip
    assert copy_state(model, state, "W") == ["without net.head_dist.linear, whose initial weights are kept"]
    assert model.net.head.linear.weight.eq(0.5).all()


def test_torchvisions_size_of_a_transformer_is_that_of_its_crops():
    with torch.device("meta"):
        model = build_backbone("torchvision:vit_h_14")
        assert model.crop == 518 and model.eval()(torch.zeros(1, 3, 518, 518)).shape == (1, 1)


def test_weights_with_auxiliary_outputs():
    """Inception's ImageNet weights have auxiliary outputs, which the port drops, and expect transformed input."""
    with torch.device("meta"):
        source = models.inception_v3(weights=None, init_weights=False).state_dict()
        model = build_backbone("torchvision:inception_v3")
    assert model.net.transform_input and any(key.startswith("AuxLogits") for key in source)
    model = model.to_empty(device="cpu")
    state = {key: torch.full_like(value, 0.25, device="cpu") for key, value in source.items()}
    assert copy_state(model, state, "W") == ["without net.fc, whose initial weights are kept"]


def test_squeezenets_output_is_not_cut_off_at_0():
    """torchvision's SqueezeNet ends in a ReLU, after which a score below 0 would have no gradient."""
    torch.manual_seed(0)
    model = rankiqa.build("torchvision:squeezenet1_1").eval()
    torch.nn.init.constant_(model.net.classifier[1].bias, -100.0)
    assert (model(torch.rand(1, 3, 224, 224)) < -50).all()


# Forms of checkpoints


class _Code:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture(scope="module")
def plain():
    return timm.create_model("test_resnet").state_dict()


@pytest.mark.parametrize("wrap", [
    lambda state: {f"module.{key}": value for key, value in state.items()},
    lambda state: {"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}, "epoch": 3},
    lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
    lambda state: {key: value.double() if value.is_floating_point() else value for key, value in state.items()},
    lambda state: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
])  # fmt: skip
def test_wrapped_state_dicts(plain, tmp_path, wrap):
    """A wrapper's prefix, a checkpoint's entry, another precision, and a file without batch norm's counters."""
    torch.save(wrap(plain), tmp_path / "w.pth")
    model = build_backbone("timm:test_resnet")
    assert copy_state(model, read_state(tmp_path / "w.pth"), "W") == ["without net.fc, whose initial weights are kept"]
    assert all(torch.equal(model.net.state_dict()[key], value) for key, value in plain.items()
               if key.endswith("weight") and not key.startswith("fc."))  # fmt: skip


def test_state_dicts_that_are_refused(plain, tmp_path):
    """The error is one line, and code in the file does not run."""
    first = next(iter(plain))
    contents = {
        "code": ({"state_dict": plain, "more": _Code(tmp_path / "mark")}, "can run code"),
        "module": (timm.create_model("test_resnet"), "can run code"),
        "list": ([1, 2], "got list"),
        "numbers": ({1: torch.zeros(1)}, "got dict of 1"),
        "nothing": ({}, "got dict of nothing"),
        "sparse": ({**plain, first: plain[first].to_sparse()}, "got dict of"),
        "whole": ({key: value.int() for key, value in plain.items()}, r"expected torch\.float32, got torch\.int32"),
        "complex": ({**plain, first: plain[first].to(torch.complex64)}, "got torch.complex64"),
    }
    for name, (content, message) in contents.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(ValueError, match=message) as error:
            build_backbone("timm:test_resnet", pretrained=tmp_path / f"{name}.pth")
        assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
    assert not (tmp_path / "mark").exists()
    for name, content in {"empty": b"", "page": b"<!doctype html><html>404</html>" * 99}.items():
        for suffix in ("pth", "safetensors"):
            (tmp_path / f"{name}.{suffix}").write_bytes(content)
            with pytest.raises(ValueError, match="expected a state dict"):
                read_state(tmp_path / f"{name}.{suffix}")
    with pytest.raises(ValueError, match="got a folder"):
        read_state(tmp_path)


def test_a_state_dict_of_an_original_network(tmp_path):
    """Training can start from a torch.save file or a folder of one of the package's own networks."""
    shallow = rankiqa.build("shallow")
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in shallow.state_dict().items()}}, tmp_path / "s.pth"
    )
    model = rankiqa.build("shallow", fc=("fc1",))
    assert initialise(model, tmp_path / "s.pth") == [
        f"{tmp_path / 's.pth'}: without fc1, whose initial weights are kept"
    ]
    assert torch.equal(model.conv1.weight, shallow.conv1.weight)
    shallow.save_pretrained(tmp_path / "folder")
    assert initialise(rankiqa.build("shallow"), tmp_path / "folder") == [] and arch_of(tmp_path / "folder") == "shallow"
    torch.save({"layer4.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="got a state dict of another network"):
        initialise(rankiqa.build("shallow"), tmp_path / "other.pth")


def test_weights_of_a_classifier(tmp_path):
    """A state dict with 1,000 outputs gives all layers but the output; another network's is refused by name."""
    source = timm.create_model("resnet18", num_classes=1000)
    for path in (tmp_path / "r.safetensors", tmp_path / "r.pth"):
        save_file(source.state_dict(), path) if path.suffix == ".safetensors" else torch.save(source.state_dict(), path)
        model = build_backbone("timm:resnet18", pretrained=path)
        assert torch.equal(model.net.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
        assert model.net.fc.weight.shape == (1, 512)
    with pytest.raises(ValueError, match=r"expected weights of timm:resnet34, got: missing layer1\.2"):
        build_backbone("timm:resnet34", pretrained=path)
    (tmp_path / "no.pth").write_bytes(b"no model")
    with pytest.raises(ValueError, match="expected a state dict"):
        build_backbone("timm:resnet18", pretrained=tmp_path / "no.pth")
    with pytest.raises(ValueError, match="no such file"):
        build_backbone("timm:resnet18", pretrained=tmp_path / "none.pth")


def test_first_convolution_takes_bgr_pixels():
    """The folded convolution on BGR equals torchvision's on normalised RGB without padding; swapped channels differ."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 8, 3)
    bgr = torch.randint(0, 256, (1, 3, 20, 20)).float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    weight, bias = folded_first_convolution(conv.weight, conv.bias)
    ours, theirs = torch.nn.functional.conv2d(bgr, weight, bias), conv((bgr.flip(1) / 255 - mean) / std)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    swapped = torch.nn.functional.conv2d(bgr.flip(1), weight, bias)
    assert (swapped - theirs).abs().max() > 1e-2 * theirs.abs().max()


@pytest.mark.slow
def test_vgg16_of_torchvision():
    """All layers but the output are torchvision's; features agree where the padding has no influence."""
    source, model = models.vgg16().eval(), rankiqa.build("vgg16").eval()
    assert copy_torchvision(model, source) == ["fc8_m"]
    assert torch.equal(model.fc6.weight, source.classifier[0].weight)
    bgr = torch.randint(0, 256, (1, 3, 224, 224)).float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        ours = model.forward_layers(bgr)["conv2_2"]
        theirs = source.features[:8]((bgr.flip(1) / 255 - mean) / std)
    inside = (..., slice(4, -4), slice(4, -4))
    assert (ours[inside] - theirs[inside]).abs().max() <= 1e-4 * theirs.abs().max()


def test_the_command_takes_every_registered_network():
    assert set(train_arguments.OWN) == set(names())
