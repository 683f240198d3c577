"""Parity test `layers`: every layer of the three nets, from one caffemodel, on crops of real photographs.

Caffe reads the caffemodel itself; convert.py converts it for the port. The negative controls are mistakes of public
ports of RankIQA, and a few more.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from lib.tolerances import EXACT, LAYER, LAYER_ON_GPU
from rankiqa.caffe.layers import MaxPool2d
from rankiqa.models.modes import full_float32
from sample_networks import converted, deploy_text, photograph_crops, random_caffemodel, with_batch

SLOW = pytest.mark.slow
# arch, net of the original, crops
NETS = [
    ("shallow", "live-rank", 2),
    ("shallow", "live-ft", 1),
    ("alexnet", "live-rank", 2),
    ("alexnet", "tid2013-ft", 1),
    pytest.param("vgg16", "live-rank", 1, marks=SLOW),
    pytest.param("vgg16", "tid2013-ft", 1, marks=SLOW),
]


@pytest.fixture(scope="module")
def nets(caffe, tmp_path_factory):
    """Return a function: (arch, like, batch) -> (the port's network, crops, Caffe's answer)."""
    cache = {}

    def get(arch, like, batch):
        if (arch, like, batch) not in cache:
            if arch == "vgg16":
                cache.clear()  # it takes 0.5 GB in each form
            path = random_caffemodel(tmp_path_factory.mktemp(arch) / "random.caffemodel", arch, like)
            model = converted(path)
            crops = photograph_crops(batch, model.crop)
            job = {"name": "net", "kind": "forward", "net": "net.prototxt", "weights": "random.caffemodel"}
            job.update(inputs={"data": "data"}, **{"return": ["tops", "blobs", "params"]})
            files = {"net.prototxt": with_batch(deploy_text(arch, like), batch), "random.caffemodel": path}
            answer = caffe.ask(f"layers/{arch}_{like}", [job], {"data": crops}, files)
            path.unlink()
            cache[arch, like, batch] = model, crops, answer
        return cache[arch, like, batch]

    return get


@pytest.mark.parametrize(("arch", "like", "batch"), NETS)
def test_every_layer(nets, parity, arch, like, batch):
    model, crops, answer = nets(arch, like, batch)
    with torch.inference_mode():
        ours = model.forward_layers(torch.from_numpy(crops))
    tops = {key.split("/")[2]: key for key in answer if key.startswith("net/top/") and key != "net/top/input/0"}
    assert list(ours) == list(tops), "expected Caffe's layers, in Caffe's order"
    for name, key in tops.items():
        parity.check("layers", f"{arch} {like} {name}", answer.error(key, ours[name].numpy()), LAYER)
    for name, key in answer.keys_of("net/param/").items():
        layer, k = name.split("/")
        value = model.state_dict()[f"{layer}.{('weight', 'bias')[int(k)]}"].numpy()
        parity.check("bytes", f"{arch} {like} {name} as Caffe loads it", answer.error(key, value), EXACT)


@pytest.mark.gpu
@pytest.mark.parametrize("arch", ["shallow", "alexnet", pytest.param("vgg16", marks=SLOW)])
def test_every_layer_on_the_device(nets, parity, device, arch):
    """Compare with Caffe on the CPU; the wrong variant has bfloat16 weights."""
    model, crops, answer = nets(arch, "live-rank", 1 if arch == "vgg16" else 2)
    model, crops = copy.deepcopy(model).to(device), torch.from_numpy(crops).to(device)
    with torch.inference_mode(), full_float32():
        ours = model.forward_layers(crops)
        rounded = {name: value.bfloat16().float() for name, value in model.state_dict().items()}
        wrong = functional_call(model, rounded, crops)
    for name, blob in ours.items():
        error = answer.error(f"net/top/{name}/0", blob.cpu().numpy())
        parity.check("layers", f"{arch} {name} on {device.type}", error, LAYER_ON_GPU)
    error = answer.error(f"net/top/{model.head}/0", wrong.cpu().numpy())
    parity.must_fail("layers", f"wrong: {arch} with weights of bfloat16 on {device.type}", error, LAYER_ON_GPU)


@pytest.mark.parametrize(("arch", "like", "batch"), NETS)
def test_every_blob(nets, parity, arch, like, batch):
    """Compare Caffe's blobs after the forward pass, when in-place layers have overwritten them."""
    model, crops, answer = nets(arch, like, batch)
    with torch.inference_mode():
        ours = model.forward_layers(torch.from_numpy(crops))
    names = list(ours)
    for blob, key in answer.keys_of("net/blob/").items():
        if blob == "data":
            continue
        last = blob  # the last in-place layer after the layer that outputs the blob
        for name in names[names.index(blob) + 1 :]:
            if not name.startswith(("relu", "drop")):
                break
            last = name
        parity.check("layers", f"{arch} {like} blob {blob}", answer.error(key, ours[last].numpy()), LAYER)


class FloorPool(torch.nn.Module):
    """Pooling that rounds output sizes down, then pads with zeros so that the next layer still fits."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        expected = self.pool(x).shape
        out = F.max_pool2d(x, self.pool.kernel, self.pool.stride)
        return F.pad(out, (0, expected[3] - out.shape[3], 0, expected[2] - out.shape[2]))


def _floor(model):
    for name, module in list(model.named_children()):
        if isinstance(module, MaxPool2d):
            setattr(model, name, FloorPool(module))
    return model


def _wrong_input(change):
    return lambda model, x: model(torch.from_numpy(change(x)))


def _dropout_on(model, x):
    torch.manual_seed(0)
    return model.train()(torch.from_numpy(x))


MISTAKES = {
    "input divided by 255 (EadCat/NIQA)": _wrong_input(lambda x: x / 255),
    "RGB for BGR": _wrong_input(lambda x: x[:, ::-1].copy()),
    "mean subtracted": _wrong_input(lambda x: x - np.float32([[104], [117], [123]])[None, :, :, None]),
    "whole image resized instead of cropped (Yanshi42)": _wrong_input(
        lambda x: F.interpolate(torch.from_numpy(x[:, :, 20:200, 20:200]), x.shape[2], mode="bilinear").numpy()
    ),
    "sigmoid output (zheng-yuwei)": lambda model, x: torch.sigmoid(model(torch.from_numpy(x))),
    "rows and columns swapped": _wrong_input(lambda x: x.transpose(0, 1, 3, 2).copy()),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_caught(nets, parity, mistake):
    model, crops, answer = nets("shallow", "live-rank", 2)
    with torch.inference_mode():
        out = MISTAKES[mistake](model, crops)
    parity.must_fail("layers", f"wrong: {mistake}", answer.error("net/top/fc1_m/0", out.numpy()), LAYER)


@pytest.mark.parametrize("mistake", ["dropout left on while scoring (rossjillian/cog-rankiqa)", "pooling rounds down"])
def test_mistake_in_the_net_is_caught(nets, parity, mistake):
    arch = "alexnet" if mistake.startswith("dropout") else "shallow"  # Shallow has no dropout
    model, crops, answer = nets(arch, "live-rank", 2)
    model = copy.deepcopy(model)
    with torch.inference_mode():
        out = _dropout_on(model, crops) if arch == "alexnet" else _floor(model)(torch.from_numpy(crops))
    error = answer.error(f"net/top/{model.head}/0", out.numpy())
    parity.must_fail("layers", f"wrong: {mistake}", error, LAYER)
