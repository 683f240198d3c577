"""The first convolution and pooling of a training in one step: values and gradients, compared with float64."""

import pytest
import torch
import torch.nn.functional as F

from rankiqa.caffe.layers import MaxPool2d
from rankiqa.models import first_layers
from rankiqa.models.first_layers import are_fused, convolve_and_pool

ROUNDING = 2e-6  # of the largest value; measured: 4e-7


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("size", "out", "kernel", "pool"),
    [
        ((5, 3, 19, 23), 8, 3, MaxPool2d(4, 4)),
        ((2, 1, 9, 7), 3, 1, MaxPool2d(2, 2)),
        ((3, 4, 12, 11), 5, 5, MaxPool2d(3, 2)),
        ((1, 3, 6, 6), 1, 3, MaxPool2d((2, 4), (1, 3))),
    ],
)
def test_values_and_gradients(size, out, kernel, pool, layout, monkeypatch):
    monkeypatch.setattr(first_layers, "PART", 2)
    torch.manual_seed(0)
    conv, x = torch.nn.Conv2d(size[1], out, kernel), torch.rand(size).mul_(255).contiguous(memory_format=layout)
    exact = [parameter.detach().double().requires_grad_() for parameter in conv.parameters()]
    expected = F.max_pool2d(F.conv2d(x.double(), *exact), pool.kernel, pool.stride, ceil_mode=True)
    top = torch.randn(expected.shape)
    assert are_fused(x, conv, pool)
    ours = convolve_and_pool(x, conv, pool)
    _close(ours, expected)
    wanted = torch.autograd.grad(expected, exact, top.double(), retain_graph=True)
    for gradient, right in zip(torch.autograd.grad(ours, list(conv.parameters()), top), wanted, strict=True):
        _close(gradient, right)
    for number, parameter in enumerate(conv.parameters()):  # one of them alone
        conv.requires_grad_(False)
        parameter.requires_grad_()
        (gradient,) = torch.autograd.grad(convolve_and_pool(x, conv, pool), parameter, top)
        _close(gradient, wanted[number])


def _close(ours, exact):
    assert ours.dtype == torch.float32 and ours.shape == exact.shape
    assert (ours - exact).abs().max() <= ROUNDING * exact.abs().max()


def test_second_derivatives():
    torch.manual_seed(0)
    conv, pool, x = torch.nn.Conv2d(3, 4, 3), MaxPool2d(3, 3), torch.rand(2, 3, 12, 12)
    found = []
    for function in (lambda: convolve_and_pool(x, conv, pool), lambda: pool(conv(x))):
        gradients = torch.autograd.grad(function().square().sum(), list(conv.parameters()), create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in gradients), list(conv.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_is_fused():
    x, pool = torch.rand(1, 4, 12, 12), MaxPool2d(2, 2)
    plain = torch.nn.Conv2d(4, 4, 3)
    replaced = torch.nn.Conv2d(4, 4, 3)
    replaced.forward = replaced.forward  # as Caffe's products do
    others = [
        torch.nn.Conv2d(4, 4, (3, 5)),
        torch.nn.Conv2d(4, 4, 3, 2),
        torch.nn.Conv2d(4, 4, 3, padding=1),
        torch.nn.Conv2d(4, 4, 3, padding="same"),
        torch.nn.Conv2d(4, 4, 3, dilation=2),
        torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.Conv2d(4, 4, 3, bias=False),
        torch.nn.Conv2d(4, 4, 3).requires_grad_(False),
        replaced,
    ]
    assert are_fused(x, plain, pool)
    assert not any(are_fused(x, conv, pool) for conv in others)
    assert not are_fused(x, plain, torch.nn.ReLU())
    assert not are_fused(x, plain, MaxPool2d(3, 2, 1))
    assert not are_fused(x.clone().requires_grad_(), plain, pool)
    assert not are_fused(x.double(), plain, pool)
    with torch.no_grad():
        assert not are_fused(x, plain, pool)
