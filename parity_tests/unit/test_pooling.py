"""Caffe's pooling and LRN against plain loops, including windows in the padding and ties."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rankiqa.caffe.layers import LRN, MaxPool2d

FLT_MAX = np.finfo(np.float32).max


def pool_by_loops(x, kernel, stride, pad):
    """Return (output, flat index of the first maximum of each window, or -1 for a window without pixels)."""
    height, width = x.shape
    rows, columns = (
        -(-(size + 2 * p - k) // s) + 1 for size, k, s, p in zip(x.shape, kernel, stride, pad, strict=True)
    )
    if any(pad):
        rows -= (rows - 1) * stride[0] >= height + pad[0]
        columns -= (columns - 1) * stride[1] >= width + pad[1]
    rows, columns = max(rows, 0), max(columns, 0)
    out, first = np.full((rows, columns), -FLT_MAX, np.float32), np.full((rows, columns), -1)
    for r, c in itertools.product(range(rows), range(columns)):
        top, left = r * stride[0] - pad[0], c * stride[1] - pad[1]
        for y in range(max(top, 0), min(top + kernel[0], height)):
            for z in range(max(left, 0), min(left + kernel[1], width)):
                if x[y, z] > out[r, c]:
                    out[r, c], first[r, c] = x[y, z], y * width + z
    return out, first


def shapes():
    rng = np.random.RandomState(0)
    fixed = [((8, 6), (2, 2), (2, 2), (0, 0)), ((7, 9), (2, 2), (2, 2), (0, 0)), ((13, 12), (3, 3), (2, 2), (0, 0)),
             ((7, 8), (3, 3), (2, 2), (2, 2)), ((8, 11), (3, 3), (3, 3), (1, 1)), ((3, 2), (4, 4), (4, 4), (0, 0)),
             ((5, 5), (1, 1), (3, 3), (0, 0)), ((6, 6), (1, 1), (4, 4), (0, 0)), ((5, 7), (3, 2), (4, 3), (2, 0)),
             ((1, 1), (3, 3), (1, 1), (2, 2)), ((6, 9), (2, 2), (7, 5), (1, 0))]  # fmt: skip
    for _ in range(150):
        kernel = rng.randint(1, 6, 2)
        fixed.append((rng.randint(1, 13, 2), kernel, rng.randint(1, 7, 2), [rng.randint(0, k) for k in kernel]))
    return [tuple(tuple(map(int, part)) for part in case) for case in fixed]


@pytest.mark.parametrize("size, kernel, stride, pad", shapes())
def test_pooling_equals_the_loops(size, kernel, stride, pad):
    x = np.random.RandomState(1).randint(-3, 3, size).astype(np.float32)  # many ties
    out, first = pool_by_loops(x, kernel, stride, pad)
    pool = MaxPool2d(kernel, stride, pad)
    if min(out.shape) < 1:
        with pytest.raises(ValueError, match="no window"):
            pool(torch.from_numpy(x)[None, None])
        return
    tensor = torch.from_numpy(x)[None, None].requires_grad_()
    got = pool(tensor)
    assert np.array_equal(got.detach().numpy()[0, 0], out)
    above = np.random.RandomState(2).randint(1, 9, out.shape).astype(np.float32)
    got.backward(torch.from_numpy(above)[None, None])
    gradient = np.zeros(x.size, np.float32)
    np.add.at(gradient, first[first >= 0], above[first >= 0])
    assert np.array_equal(tensor.grad.numpy().ravel(), gradient)


def test_the_cases_reach_the_quirks():
    empty = clipped = beyond_torch = 0
    for size, kernel, stride, pad in shapes():
        out, first = pool_by_loops(np.zeros(size, np.float32), kernel, stride, pad)
        if not out.size:
            continue
        full = [-(-(n + 2 * p - k) // s) + 1 for n, k, s, p in zip(size, kernel, stride, pad, strict=True)]
        empty += bool((first < 0).any())
        clipped += out.shape != tuple(full)
        beyond_torch += any(2 * p > k for p, k in zip(pad, kernel, strict=True))
    assert min(empty, clipped, beyond_torch) >= 3


def test_pytorchs_own_rounding_differs():
    x = torch.rand(1, 1, 225, 225)
    assert MaxPool2d(4, 4)(x).shape[-1] == 57
    assert F.max_pool2d(x, 4, 4).shape[-1] == 56


def test_vggs_pooling_is_pytorchs_own(monkeypatch):
    calls = []
    own = F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda *a, **k: calls.append(a) or own(*a, **k))
    monkeypatch.setattr(F, "pad", lambda *a, **k: pytest.fail("padded"))
    MaxPool2d(2, 2)(torch.rand(1, 1, 224, 224))
    assert len(calls) == 1


@pytest.mark.parametrize(
    "arguments",
    [(0, 1), (2, 0), (2, 1, -1), (2, 1, 2), ((2, 3), 1, (0, 3)), ((2, 2, 2), 1), (2.5, 1), ("2", 1), (None, 1)],
)
def test_pooling_refuses(arguments):
    with pytest.raises(ValueError, match="expected"):
        MaxPool2d(*arguments)


def lrn_by_loops(x, size, alpha, beta, k):
    out = np.empty_like(x)
    for c in range(len(x)):
        near = x[max(0, c - size // 2) : c + size // 2 + 1]
        out[c] = x[c] * (k + alpha / size * (near**2).sum(0)) ** -beta
    return out


@pytest.mark.parametrize("size, alpha, beta, k", [(5, 1e-4, 0.75, 1), (3, 1.5, 0.6, 2), (1, 2, 0.5, 1), (9, 1, 1, 0.5)])
def test_lrn_equals_the_loops(size, alpha, beta, k):
    x = np.random.RandomState(0).randn(6, 4, 5) * 20
    got = LRN(size, alpha, beta, k)(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(got, lrn_by_loops(x, size, alpha, beta, k), rtol=1e-12)
    wrong = lrn_by_loops(x, size, alpha * size, beta, k)  # alpha not divided by the size
    assert size == 1 or np.abs(got - wrong).max() > 1e-3


@pytest.mark.parametrize("size", [0, 2, 4, -1, 5.0, "5"])
def test_lrn_refuses_an_even_size(size):
    with pytest.raises(ValueError, match="odd"):
        LRN(size, 1e-4, 0.75)
