"""Parity test `gradients`: every parameter of the three nets, with the ranking loss and the Euclidean loss.

A gradient is not continuous. Where two values of a pooling window, or a value and ReLU's zero, differ by less than
rounding, each engine's last bit decides where the gradient goes (a flat sky has hundreds of such places). The claim
therefore has two parts:
- with the choices that Caffe made (which value of each window, which side of zero), all parameters' gradients agree
  within GRADIENT, and where the port chooses differently, the two values are closer than LAYER;
- with the port's own choices, the typical (median) error of every parameter is within TYPICAL_GRADIENT.
"""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import rankiqa
from caffe_client import Difference, Live
from lib.tolerances import GRADIENT, LAYER, TYPICAL_GRADIENT
from rankiqa.caffe.layers import MaxPool2d
from rankiqa.models import winograd
from rankiqa.models.modes import full_float32
from sample_networks import converted, deploy_text, photograph_crops, random_caffemodel, with_batch

# arch, net, (distortions, levels, images) of the ranking loss
TRAINED = [
    ("shallow", "live-rank", (2, 3, 2)),
    ("alexnet", "tid2013-rank", (2, 2, 1)),
    pytest.param("vgg16", "live-rank", (1, 2, 1), marks=pytest.mark.slow),
]


def _loss_layer(kind, bottom, sizes):
    if kind == "euclidean":
        return f'layer {{ name: "loss" type: "EuclideanLoss" bottom: "{bottom}" bottom: "label" top: "loss" }}\n'
    param = json.dumps(dict(zip(("groups", "levels", "images"), sizes, strict=True)))
    python = f"module: 'caffe_ref.layers.ranking_loss' layer: 'PairRankingLoss' param_str: {json.dumps(param)}"
    bottoms = f'bottom: "{bottom}" bottom: "label"'
    return f'layer {{ name: "loss" type: "Python" {bottoms} top: "loss" loss_weight: 1 python_param {{ {python} }} }}\n'


@pytest.fixture(scope="module")
def question(caffe, tmp_path_factory):
    """Return a function: (arch, like, sizes, loss) -> (the port's network, crops, labels, Caffe's answer)."""
    last = {}  # {(arch, like): (caffemodel, the port's network)}: tests of one network follow each other

    def network(arch, like):
        if (arch, like) not in last:
            for path, _ in last.values():
                path.unlink()
            last.clear()
            path = random_caffemodel(tmp_path_factory.mktemp(arch) / "random.caffemodel", arch, like, seed=1)
            last[arch, like] = path, converted(path)
        path, model = last[arch, like]
        return path, copy.deepcopy(model)

    def ask(arch, like, sizes, loss):
        path, model = network(arch, like)
        n = int(np.prod(sizes))
        arrays = {"data": photograph_crops(n, model.crop, seed=1)}
        arrays["label"] = np.random.RandomState(2).uniform(0, 100, n).astype(np.float32)
        text = f'input: "label" input_shape {{ dim: {n} }}\n' + _loss_layer(loss, model.head, sizes)
        job = {"name": "net", "kind": "forward", "net": "net.prototxt", "weights": "random.caffemodel"}
        job.update(inputs={"data": "data", "label": "label"}, backward=True, **{"return": ["tops", "param_diffs"]})
        files = {"net.prototxt": with_batch(deploy_text(arch, like), n) + text, "random.caffemodel": path}
        answer = caffe.ask(f"gradients/{arch}_{loss}", [job], arrays, files)
        return model, torch.from_numpy(arrays["data"]), arrays["label"], answer

    return ask


def _port_loss(loss, out, labels, sizes, margin=10.0):
    if loss == "euclidean":
        return rankiqa.euclidean_loss(out, torch.from_numpy(labels)[:, None])
    names = dict(zip(("distortions", "levels", "images"), sizes, strict=True))
    return rankiqa.pair_ranking_loss(out.squeeze(1), **names, margin=margin)


def _with_caffes_choices(model, x, answer):
    """Run the port's forward pass with Caffe's choice in each ReLU and each pooling window.

    Returns:
        (output, the largest difference between Caffe's choice and the port's own, relative to its layer).
    """
    apart, before = 0.0, None
    for name in model.steps:
        module = model.get_submodule(name)
        top = f"net/top/{name}/0"
        if isinstance(module, torch.nn.ReLU):
            chosen = torch.from_numpy(answer.array(top)) > 0
            differs = (x > 0) != chosen
            lost = x.detach()[differs].abs().max().item() if differs.any() else 0.0
            apart = max(apart, lost / answer[top].largest)
            x = x * chosen
        elif isinstance(module, MaxPool2d):
            below = torch.from_numpy(answer.array(before))
            _, index = F.max_pool2d(
                below, module.kernel, module.stride, module.pad, ceil_mode=True, return_indices=True
            )
            chosen = x.flatten(2).gather(2, index.flatten(2)).view(index.shape)
            apart = max(apart, (module(x) - chosen).abs().max().item() / answer[top].largest)
            x = chosen
        else:
            x = module(x.flatten(1) if isinstance(module, torch.nn.Linear) else x)
        before = top
    return x, apart


def _gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        f"{name}/{k}": module.get_parameter(part).grad.cpu().numpy()
        for name, module in model.named_children()
        for k, part in enumerate(("weight", "bias"))
        if part in dict(module.named_parameters())
    }


def _typical(answer, key, ours):
    """Return the median of |ours - caffe| over the mean of |caffe|."""
    array = answer[key]
    at = slice(None) if array.at is None else array.at
    apart = np.subtract(ours.reshape(-1)[at], array.values, dtype=np.float64)
    median = np.median(np.abs(apart, out=apart), overwrite_input=True)
    return Difference(median / (np.abs(array.values).mean(dtype=np.float64) or 1.0), key)


@pytest.mark.parametrize("loss", ["ranking", "ranking by Winograd's algorithm", "euclidean"])
@pytest.mark.parametrize(("arch", "like", "sizes"), TRAINED)
def test_every_parameter(question, caffe, parity, arch, like, sizes, loss):
    """`rankiqa train --winograd` passes at the same tolerances."""
    case, (loss, *by_winograd) = f"{arch} {loss}", loss.split(maxsplit=1)
    model, x, labels, answer = question(arch, like, sizes, loss)
    if by_winograd:
        winograd.apply_to(model)
    _compare(case, model, x, labels, sizes, loss, answer, parity)
    if arch == "shallow" and not by_winograd:
        _mistakes_are_caught(model, x, labels, sizes, loss, answer, parity)
    if isinstance(caffe, Live):
        _compare_with_choices(case, model, x, labels, sizes, loss, answer, parity)


def _compare(case, model, x, labels, sizes, loss, answer, parity):
    """Compare the loss, and the typical value of each parameter's gradient."""
    value = _port_loss(loss, model(x), labels, sizes)
    parity.check("gradients", f"{case} loss", answer.error("net/loss", value.detach().numpy()), LAYER)
    for name, grad in _gradients(model, value).items():
        key = f"net/param_diff/{name}"
        parity.check("gradients", f"{case} {name}, typical value", _typical(answer, key, grad), TYPICAL_GRADIENT)


def _compare_with_choices(case, model, x, labels, sizes, loss, answer, parity):
    """Compare every gradient with Caffe's choices. They need whole blobs, of which recordings hold only samples."""
    out, apart = _with_caffes_choices(model, x, answer)
    parity.check("gradients", f"{case}: choices differ between values this close", apart, LAYER)
    for name, grad in _gradients(model, _port_loss(loss, out, labels, sizes)).items():
        parity.check("gradients", f"{case} {name}", answer.error(f"net/param_diff/{name}", grad), GRADIENT)


@pytest.mark.gpu
@pytest.mark.parametrize(("arch", "like", "sizes"), TRAINED[:2])
def test_every_parameter_on_the_device(question, parity, device, arch, like, sizes):
    """Compare typical values with Caffe's on the CPU; the wrong variant lacks the division by N."""
    model, x, labels, answer = question(arch, like, sizes, "ranking")
    model, x = model.to(device), x.to(device)
    with full_float32():
        grads = _gradients(model, _port_loss("ranking", model(x), labels, sizes))
    for name, grad in grads.items():
        error = _typical(answer, f"net/param_diff/{name}", grad)
        parity.check("gradients", f"{arch} {name} on {device.type}, typical value", error, TYPICAL_GRADIENT)
    wrong = _typical(answer, "net/param_diff/conv1/0", grads["conv1/0"] * len(x))
    parity.must_fail("gradients", f"wrong: {arch} on {device.type}, not divided by N", wrong, TYPICAL_GRADIENT)


def _adjacent_only(out, sizes):
    """Return zheng-yuwei's loss, which compares neighbouring levels instead of every pair."""
    scores = out.reshape(sizes)
    apart = scores[:, :-1, :, None] - scores[:, 1:, None, :]
    return (10 - apart).clamp_min(0).sum() / out.numel()


def _mistakes_are_caught(model, x, labels, sizes, loss, answer, parity):
    def right(**options):
        return _port_loss(loss, model(x), labels, sizes, **options)

    mistakes = {"not divided by N": lambda: right() * len(x)}
    if loss == "ranking":
        pairs = sizes[0] * sizes[2] ** 2 * sizes[1] * (sizes[1] - 1) / 2
        mistakes["N pairs for N images"] = lambda: right() * len(x) / pairs
        mistakes["margin 1 (Yanshi42)"] = lambda: right(margin=1.0)
        mistakes["adjacent pairs only (zheng-yuwei)"] = lambda: _adjacent_only(model(x), sizes)
    else:
        mistakes["mean squared error without the half"] = lambda: 2 * right()
    for mistake, wrong in mistakes.items():
        grads = _gradients(model, wrong())
        for name in ("conv1/0", "conv4/0"):
            error = _typical(answer, f"net/param_diff/{name}", grads[name])
            parity.must_fail("gradients", f"wrong: {mistake}, {name}", error, TYPICAL_GRADIENT)
