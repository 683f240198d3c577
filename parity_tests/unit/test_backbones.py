"""Networks of timm and torchvision with one output, and torchvision's VGG-16 in the original's."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import rankiqa
from rankiqa.models.backbones import build_backbone
from rankiqa.models.imagenet_vgg import copy_torchvision, folded_first_convolution
from rankiqa.models.score_meaning import ScoreMeaning

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
    """The input is what torchvision's own transforms make of the same pixels."""
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


def test_weights_of_a_classifier(tmp_path):
    """A state dict with 1,000 outputs gives all but the output; one of another network is refused by name."""
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
    """Folded: equal to torchvision's on normalised RGB where no padding is involved; not with the channels swapped."""
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
    """All layers but the output are torchvision's; features agree where the border's padding does not reach."""
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
