"""The memory of a training on the CPU, and its results compared with torch's own operations."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import rankiqa
from rankiqa.caffe import layers, sgd
from rankiqa.caffe.layers import LRN, MaxPool2d

ROWS, LAST = torch.contiguous_format, torch.channels_last


def twice(function, x, weights):
    """Return the output, its gradient, and the gradient of the gradient's square."""
    x = x.detach().requires_grad_()
    out = function(x)
    (once,) = torch.autograd.grad((out * weights).sum(), x, create_graph=True)
    (alone,) = torch.autograd.grad((function(x) * weights).sum(), x)
    torch.testing.assert_close(alone, once.detach(), rtol=1e-5, atol=1e-6)
    (again,) = torch.autograd.grad((once.square() + 0 * x).sum(), x)
    return out.detach(), once.detach(), again


@pytest.mark.parametrize("layout", [ROWS, LAST])
@pytest.mark.parametrize(
    "ours, theirs",
    [
        (MaxPool2d(3, 2), lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
        (LRN(5, 0.1, 0.75, 2.0), lambda x: F.local_response_norm(x, 5, 0.1, 0.75, 2.0)),
        (LRN(3, 0.1, 0.6), lambda x: F.local_response_norm(x, 3, 0.1, 0.6, 1.0)),
    ],
    ids=["pooling", "LRN", "LRN of another power"],
)
def test_layers_equal_torchs(monkeypatch, ours, theirs, layout):
    monkeypatch.setattr(layers, "AT_ONCE", 2 * 7 * 12 * 12)  # two parts, the second of one image
    random = torch.Generator().manual_seed(0)
    x = torch.randint(-3, 4, (3, 7, 12, 12), generator=random).float().contiguous(memory_format=layout)  # ties
    weights = torch.randn(theirs(x).shape, generator=random)
    for actual, expected in zip(twice(ours, x, weights), twice(theirs, x, weights), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("arch, n", [("shallow", 13), ("alexnet", 2)])
def test_gradients_are_those_of_caffes_order(arch, n):
    """Compare channels-last crops, pooling before ReLU and a first layer in two parts with the plain chain."""
    torch.manual_seed(0)
    model = rankiqa.build(arch).train()
    for name in ("drop6", "drop7"):
        if hasattr(model, name):
            getattr(model, name).ratio = 0.0
    crops = torch.rand(n, 3, model.crop, model.crop, generator=torch.Generator().manual_seed(1)) * 255
    scores, x = model(crops.contiguous(memory_format=LAST)), crops
    gradients = torch.autograd.grad(scores.sum(), list(model.parameters()))
    for name in model.steps:
        module = model.get_submodule(name)
        if isinstance(module, MaxPool2d):
            x = F.max_pool2d(x, module.kernel, module.stride, ceil_mode=True)
        elif isinstance(module, LRN):
            x = F.local_response_norm(x, module.local_size, module.alpha, module.beta, module.k)
        else:
            x = module(x)
    torch.testing.assert_close(scores, x, rtol=1e-5, atol=1e-5 * x.abs().max().item())
    for gradient, expected in zip(gradients, torch.autograd.grad(x.sum(), list(model.parameters())), strict=True):
        # Another memory layout decides near-ties differently
        assert (gradient - expected).norm() <= 1e-3 * expected.norm()


def test_nothing_large_is_kept():
    """Training Shallow keeps the crops and the first layer's pooled output, but not the first layer's output."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        assert tensor.dtype != torch.int64
        return tensor

    model = rankiqa.build("shallow").train()
    crops = torch.zeros(14, 3, model.crop, model.crop).contiguous(memory_format=LAST)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = model(crops)
    first = 4 * 14 * 32 * 225 * 225
    assert sum(kept.values()) - sum(p.nbytes for p in model.parameters()) < 0.35 * first
    assert scores.requires_grad


@pytest.mark.parametrize("options", [{}, {"nesterov": True, "clip_gradients": 0.1}, {"regularization": "L1"}])
def test_updates_piece_by_piece(monkeypatch, options):
    ends = []
    for size in (1 << 30, 64):
        monkeypatch.setattr(sgd, "AT_ONCE", size)
        random = torch.Generator().manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in ((31, 37), (3, 3, 5), (1,))]
        solver = rankiqa.CaffeSGD(parameters, 0.1, 0.9, 5e-4, **options)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=random)
            solver.step()
        ends.append([*parameters, *(solver.history(parameter) for parameter in parameters)])
    assert all(torch.equal(whole, pieces) for whole, pieces in zip(*ends, strict=True))


def test_the_compiler_is_not_loaded():
    """torch's compiler needs 150 MB and two seconds, and neither trainings nor scores use it."""
    words = (
        "import sys, torch, rankiqa.training.trainer, rankiqa.scoring.many, rankiqa; m = rankiqa.build('shallow');"
        "o = rankiqa.CaffeSGD(m.parameters(), 0.1); m(torch.zeros(1, 3, 227, 227)).sum().backward(); o.step();"
        "o.zero_grad(); print([n for n in ('torch._dynamo', 'scipy.stats') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
