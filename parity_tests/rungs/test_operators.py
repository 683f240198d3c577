"""Parity test `operators`: each operator of the three nets, and the losses, forward and backward.

Shapes are N C H W. Every case is a net of one layer with the same random inputs on both sides. A random gradient of the
output is propagated back, so that the gradients of the inputs and of the parameters are compared, too.
"""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import rankiqa
from lib.tolerances import GRADIENT, LAYER
from rankiqa.caffe.layers import LRN, MaxPool2d


def _layer(kind, params="", bottoms=("x",)):
    names = " ".join(f'bottom: "{name}"' for name in bottoms)
    return f'layer {{ name: "op" type: "{kind}" {names} top: "y" {params} }}\n'


def _conv(**fields):
    text = " ".join(f"{key}: {value}" for key, value in fields.items())
    return _layer("Convolution", f"convolution_param {{ {text} }}")


def _pool(**fields):
    text = " ".join(f"{key}: {value}" for key, value in fields.items())
    return _layer("Pooling", f"pooling_param {{ pool: MAX {text} }}")


def _lrn(size, alpha, beta, k=1.0):
    return _layer("LRN", f"lrn_param {{ local_size: {size} alpha: {alpha} beta: {beta} k: {k} }}")


def _random(shape, seed=0, scale=1.0):
    return (np.random.RandomState(seed).randn(*shape) * scale).astype(np.float32)


def _ties(shape):
    """Return an array of few different values, so that windows have equal maxima, and ReLU gets zeros."""
    return np.random.RandomState(1).randint(-2, 3, shape).astype(np.float32)


def conv(x, w, b, **options):
    return F.conv2d(x, w, b, **options)


# case: (Caffe's layer, inputs, parameters, the port, a wrong variant or None)
CASES = {
    "conv 3x3 pad 1": (
        _conv(num_output=5, kernel_size=3, pad=1), [_random((2, 3, 9, 8))], [(5, 3, 3, 3), (5,)],
        lambda x, w, b: conv(x, w, b, padding=1), lambda x, w, b: conv(x, w.flip(2, 3), b, padding=1),
    ),
    "conv 11x11 stride 4": (
        _conv(num_output=4, kernel_size=11, stride=4), [_random((2, 3, 31, 35))], [(4, 3, 11, 11), (4,)],
        lambda x, w, b: conv(x, w, b, stride=4), lambda x, w, b: conv(x.flip(1), w, b, stride=4),
    ),
    "conv asymmetric kernel, pad, stride": (
        _conv(num_output=4, kernel_h=3, kernel_w=5, pad_h=2, pad_w=1, stride_h=2, stride_w=1),
        [_random((2, 3, 12, 11))], [(4, 3, 3, 5), (4,)],
        lambda x, w, b: conv(x, w, b, stride=(2, 1), padding=(2, 1)),
        lambda x, w, b: conv(x, w, b, stride=(1, 2), padding=(1, 2)),
    ),
    "conv 5x5 pad 2 group 2": (
        _conv(num_output=6, kernel_size=5, pad=2, group=2), [_random((2, 4, 9, 9))], [(6, 2, 5, 5), (6,)],
        lambda x, w, b: conv(x, w, b, padding=2, groups=2),
        lambda x, w, b: conv(x[:, [0, 2, 1, 3]], w, b, padding=2, groups=2),
    ),
    "conv as wide as its input (Shallow conv4)": (
        _conv(num_output=4, kernel_size=12), [_random((2, 3, 12, 12))], [(4, 3, 12, 12), (4,)],
        lambda x, w, b: conv(x, w, b), None,
    ),
    "relu, zeros among its inputs": (
        _layer("ReLU"), [_ties((2, 3, 5, 6))], [], F.relu, lambda x: F.leaky_relu(x, 0.01),
    ),
    "inner product over C H W": (
        _layer("InnerProduct", "inner_product_param { num_output: 7 }"), [_random((3, 4, 5, 6))], [(7, 120), (7,)],
        lambda x, w, b: F.linear(x.flatten(1), w, b),
        lambda x, w, b: F.linear(x.permute(0, 2, 3, 1).flatten(1), w, b),
    ),
    "dropout in TEST": (
        _layer("Dropout", "dropout_param { dropout_ratio: 0.5 }"), [_random((3, 8))], [],
        torch.nn.Dropout(0.5).eval(), lambda x: 0.5 * x,
    ),
    "LRN 5 (AlexNet)": (
        _lrn(5, 1e-4, 0.75), [_random((2, 9, 4, 5), scale=100)], [], LRN(5, 1e-4, 0.75), LRN(5, 5e-4, 0.75),
    ),
    "LRN 3, strong, k 2": (
        _lrn(3, 1.5, 0.6, 2), [_random((2, 5, 4, 3))], [], LRN(3, 1.5, 0.6, 2), LRN(3, 1.5, 0.6, 1),
    ),
    "pool 2/2, even": (
        _pool(kernel_size=2, stride=2), [_random((2, 3, 8, 6))], [], MaxPool2d(2, 2), lambda x: F.avg_pool2d(x, 2),
    ),
    "pool 2/2, odd: rounds up": (
        _pool(kernel_size=2, stride=2), [_random((2, 3, 7, 9))], [], MaxPool2d(2, 2), lambda x: F.max_pool2d(x, 2),
    ),
    "pool 3/2 (AlexNet)": (
        _pool(kernel_size=3, stride=2), [_random((2, 3, 12, 13))], [], MaxPool2d(3, 2), lambda x: F.max_pool2d(x, 3, 2),
    ),
    "pool 4/4, 57 from 225 (Shallow)": (
        _pool(kernel_size=4, stride=4), [_random((1, 2, 225, 225))], [], MaxPool2d(4, 4), lambda x: F.max_pool2d(x, 4),
    ),
    "pool 3/2 pad 1, negative inputs": (
        _pool(kernel_size=3, stride=2, pad=1), [-np.abs(_random((2, 3, 8, 9)))], [], MaxPool2d(3, 2, 1),
        lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2, ceil_mode=True),
    ),
    "pool 3/3 pad 1: a window that starts in the padding is dropped": (
        _pool(kernel_size=3, stride=3, pad=1), [_random((2, 3, 8, 11))], [], MaxPool2d(3, 3, 1),
        lambda x: MaxPool2d(3, 3)(F.pad(x, (1, 1, 1, 1), value=-1e9)),
    ),
    "pool 3/2 pad 2: more than PyTorch allows": (
        _pool(kernel_size=3, stride=2, pad=2), [_random((2, 3, 7, 8))], [], MaxPool2d(3, 2, 2), MaxPool2d(3, 2, 1),
    ),
    "pool asymmetric kernel, stride, pad": (
        _pool(kernel_h=3, kernel_w=2, stride_h=2, stride_w=3, pad_h=1, pad_w=0), [_random((2, 3, 9, 10))], [],
        MaxPool2d((3, 2), (2, 3), (1, 0)), MaxPool2d((2, 3), (3, 2), (0, 1)),
    ),
    "pool 1/2: stride beyond the kernel": (
        _pool(kernel_size=2, stride=3), [_random((2, 3, 8, 8))], [], MaxPool2d(2, 3), MaxPool2d(2, 2),
    ),
    "pool larger than its input": (
        _pool(kernel_size=4, stride=4), [_random((2, 3, 3, 2))], [], MaxPool2d(4, 4), MaxPool2d(2, 2),
    ),
    "pool, ties": (
        _pool(kernel_size=3, stride=2), [_ties((2, 3, 12, 13))], [], MaxPool2d(3, 2),
        lambda x: MaxPool2d(3, 2)(x.flip(2, 3)).flip(2, 3),  # the last maximum instead of the first
    ),
}  # fmt: skip


def _ranking(groups, levels, images, margin=10.0):
    param = json.dumps({"groups": groups, "levels": levels, "images": images, "margin": margin})
    python = f"module: 'caffe_ref.layers.ranking_loss' layer: 'PairRankingLoss' param_str: {json.dumps(param)}"
    layer = _layer("Python", f"loss_weight: 1 python_param {{ {python} }}", ("x", "label"))
    n = groups * levels * images
    label = np.zeros(n, np.float32)
    options = {"distortions": groups, "levels": levels, "images": images, "margin": margin}

    def port(x, _):
        return rankiqa.pair_ranking_loss(x.squeeze(1), **options)

    def over_pairs(x, _):  # the mean over pairs instead of images
        pairs = groups * images**2 * levels * (levels - 1) / 2
        return port(x, _) * n / pairs

    return layer, n, label, port, over_pairs


for name, (groups, levels, images), values in (
    ("ranking loss, LIVE's constants", (4, 6, 2), lambda n: _random((n, 1), scale=8)),
    ("ranking loss, TID2013's constants", (9, 5, 1), lambda n: _random((n, 1), scale=8)),
    ("ranking loss, ties and exact margins", (3, 4, 3), lambda n: 2.5 * _ties((n, 1))),
    ("ranking loss, all equal", (2, 3, 2), lambda n: np.zeros((n, 1), np.float32)),
):
    layer, n, label, port, wrong = _ranking(groups, levels, images)
    CASES[name] = (layer, [values(n), label], [], port, wrong)

CASES["Euclidean loss"] = (
    _layer("EuclideanLoss", bottoms=("x", "label")), [_random((6, 1), scale=20), _random((6, 1), seed=5, scale=20)], [],
    rankiqa.euclidean_loss, lambda a, b: F.mse_loss(a, b),
)  # fmt: skip
_PAIRS = [_random((8, 5)), _random((8, 5), seed=3), np.array([1, 0, 1, 0, 0, 1, 0, 1], np.float32)]
_PAIRS[1][3] = _PAIRS[0][3]  # a dissimilar pair at distance 0
_PAIRS[1][4] = _PAIRS[0][4] + 0.1  # a dissimilar pair well inside the margin
CASES["contrastive loss (labels are opposite)"] = (
    _layer("ContrastiveLoss", "contrastive_loss_param { margin: 3.0 }", ("x", "x2", "similar")), _PAIRS, [],
    lambda a, b, similar: rankiqa.contrastive_loss(a, b, 1 - similar, margin=3.0),
    lambda a, b, similar: rankiqa.contrastive_loss(a, b, similar, margin=3.0),
)  # fmt: skip


def _blobs(layer):
    return [part.split('"')[1] for part in layer.split("bottom: ")[1:]]


def _is_loss(name):
    return "loss" in name


@pytest.fixture(scope="module")
def answer(caffe):
    """Return Caffe's answer to all cases, asked as one question."""
    jobs, arrays, files = [], {}, {}
    for number, (name, (layer, inputs, shapes, port, _)) in enumerate(CASES.items()):
        blobs = _blobs(layer)
        heads = [
            f'input: "{blob}" input_shape {{ {" ".join(f"dim: {n}" for n in x.shape)} }}'
            for blob, x in zip(blobs, inputs, strict=True)
        ]
        net, key = f"{number}.prototxt", f"op{number}"
        files[net] = "force_backward: true\n" + "\n".join(heads) + "\n" + layer
        job = {"name": key, "kind": "forward", "net": net, "backward": True, "set": {}, "top_diffs": {}}
        job["inputs"] = {blob: f"{key}_{blob}" for blob in blobs}
        arrays.update((f"{key}_{blob}", x) for blob, x in zip(blobs, inputs, strict=True))
        for i, w in enumerate(_parameters(shapes)):
            job["set"][f"op/{i}"], arrays[f"{key}_w{i}"] = f"{key}_w{i}", w
        if not _is_loss(name):
            job["top_diffs"]["y"] = f"{key}_g"
            arrays[f"{key}_g"] = _output_gradient(port, inputs, shapes)
        jobs.append({**job, "return": ["tops", "diffs", "param_diffs"]})
    return caffe.ask("operators", jobs, arrays, files)


def _parameters(shapes):
    return [_random(shape, seed=10 + i) for i, shape in enumerate(shapes)]


def _output_gradient(port, inputs, shapes):
    tensors = [torch.from_numpy(x) for x in [*inputs, *_parameters(shapes)]]
    return _random(port(*tensors).shape, seed=20)


def _run(operator, inputs, shapes, gradient):
    """Return (output, gradients of inputs, gradients of parameters) as numpy arrays."""
    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in [*inputs, *_parameters(shapes)]]
    out = operator(*tensors)
    out.backward(None if gradient is None else torch.from_numpy(gradient))
    grads = [None if t.grad is None else t.grad.numpy() for t in tensors]
    return out.detach().numpy(), grads[: len(inputs)], grads[len(inputs) :]


@pytest.mark.parametrize("name", CASES)
def test_operator(answer, parity, name):
    layer, inputs, shapes, port, _ = CASES[name]
    key = f"op{list(CASES).index(name)}"
    gradient = None if _is_loss(name) else _output_gradient(port, inputs, shapes)
    out, grads, weights = _run(port, inputs, shapes, gradient)
    top = answer[f"{key}/top/op/0"]
    parity.check("operators", f"{name}: forward", answer.error(f"{key}/top/op/0", out.reshape(top.shape)), LAYER)
    for blob, grad in zip(_blobs(layer), grads, strict=True):
        if blob not in ("label", "similar"):
            parity.check("operators", f"{name}: d{blob}", answer.error(f"{key}/diff/{blob}", grad), GRADIENT)
    for i, grad in enumerate(weights):
        parity.check("operators", f"{name}: dparam{i}", answer.error(f"{key}/param_diff/op/{i}", grad), GRADIENT)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[4] is not None])
def test_wrong_variant_is_caught(answer, parity, name):
    _, inputs, shapes, port, wrong = CASES[name]
    key = f"op{list(CASES).index(name)}"
    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in [*inputs, *_parameters(shapes)]]
    out = wrong(*tensors)
    errors = [answer.error(f"{key}/top/op/0", out.detach().numpy())]
    if out.shape == answer[f"{key}/top/op/0"].shape:
        out.backward(None if _is_loss(name) else torch.from_numpy(_output_gradient(port, inputs, shapes)))
        errors.append(answer.error(f"{key}/diff/x", tensors[0].grad.numpy()))
    parity.must_fail("operators", f"wrong: {name}", max(errors), GRADIENT)
