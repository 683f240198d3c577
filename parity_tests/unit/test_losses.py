"""The losses compared with plain loops that follow the definitions of the original and of Caffe."""

import numpy as np
import pytest
import torch

from rankiqa import contrastive_loss, euclidean_loss, pair_ranking_loss
from rankiqa.losses import fidelity_ranking_loss, pristine_ranking_loss

SHAPES = [(4, 6, 2), (9, 5, 1), (1, 2, 1), (2, 3, 4), (3, 7, 1), (1, 9, 3), (5, 8, 2), (1, 17, 1)]


def ranking_by_loops(scores, distortions, levels, images, margin, *, at_margin=False):
    """Return the loss (float64 sum of float32 pair losses) and its gradient; at_margin: >= for >, a mistake."""
    group, count = levels * images, np.zeros(len(scores))
    losses = []
    for k in range(distortions):
        for i in range(group):
            for j in range(i + 1, group):
                if i // images == j // images:
                    continue
                first, second = k * group + i, k * group + j
                loss = np.float32(margin) - (scores[first] - scores[second])
                losses.append(max(loss, 0))
                if loss > 0 or (at_margin and loss == 0):
                    count[first] -= 1
                    count[second] += 1
    return np.sum(losses, dtype=np.float64) / len(scores), (count / len(scores)).astype(np.float32)


def scores_of(kind, n):
    """Return n float32 scores of one kind."""
    rng = np.random.RandomState(0)
    near = np.spacing(np.float32(10))
    return {
        "spread": lambda: rng.randn(n) * 8,
        "ties and exact margins": lambda: rng.randint(-3, 4, n) * 5.0,
        "all equal": lambda: np.zeros(n),
        "large": lambda: rng.randn(n) * 1e4,
        "a step of float32 about the margin": lambda: 10 * rng.randint(0, 2, n) + near * rng.randint(-4, 5, n),
    }[kind]().astype(np.float32)


KINDS = ["spread", "ties and exact margins", "all equal", "large", "a step of float32 about the margin"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distortions, levels, images", SHAPES)
@pytest.mark.parametrize("margin", [10.0, 0.1, 0.0])
def test_ranking_equals_the_loops(distortions, levels, images, margin, kind):
    scores = scores_of(kind, distortions * levels * images)
    loss, gradient = ranking_by_loops(scores, distortions, levels, images, margin)
    x = torch.from_numpy(scores).requires_grad_()
    got = pair_ranking_loss(x, distortions=distortions, levels=levels, images=images, margin=margin)
    got.backward()
    assert np.array_equal(x.grad.numpy(), gradient)
    # The loops round each difference to float32; the port does not
    rounding = float(np.spacing(np.abs(scores).max() + np.float32(margin))) * levels * images / 2
    assert got.item() == pytest.approx(loss, rel=1e-6, abs=rounding)


def test_a_pair_at_the_margin_counts_for_nothing():
    scores = np.array([10, 0], np.float32)
    x = torch.from_numpy(scores).requires_grad_()
    pair_ranking_loss(x, distortions=1, levels=2, images=1).backward()
    assert x.grad.tolist() == [0, 0]
    assert ranking_by_loops(scores, 1, 2, 1, 10, at_margin=True)[1].tolist() == [-0.5, 0.5]


def test_ranking_is_divided_by_scores_not_pairs():
    x = torch.zeros(24)
    loss = pair_ranking_loss(x, distortions=2, levels=3, images=4)
    assert loss.item() == 10 * (2 * 3 * 16) / 24  # pairs: 2 distortions, 3 pairs of levels, 4 x 4 images


def test_ranking_gradcheck_and_loss_weight():
    x = torch.from_numpy(np.random.RandomState(1).randn(30) * 6).requires_grad_()
    names = {"distortions": 2, "levels": 5, "images": 3}
    assert torch.autograd.gradcheck(lambda s: 3 * pair_ranking_loss(s, **names), x)
    gradient = torch.autograd.grad(pair_ranking_loss(x, **names), x)[0]
    assert torch.equal(gradient * 30, (gradient * 30).round())  # gradients are whole counts / 30, in float64 too


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_ranking_shows_a_score_that_is_not_finite(bad):
    scores = torch.zeros(12)
    scores[4] = bad
    assert not torch.isfinite(pair_ranking_loss(scores, distortions=2, levels=3, images=2))


@pytest.mark.parametrize("shape", [(1, 45000, 1), (9, 5, 1000), (9, 5000, 1)])
def test_ranking_keeps_nothing_of_the_size_of_the_pairs(shape, monkeypatch):
    distortions, levels, images = shape
    largest = 0
    gather = torch.Tensor.gather

    def watched(self, *arguments):
        nonlocal largest
        largest = max(largest, self.numel(), arguments[-1].numel())
        return gather(self, *arguments)

    monkeypatch.setattr(torch.Tensor, "gather", watched)
    x = torch.randn(45000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pair_ranking_loss(x, distortions=distortions, levels=levels, images=images).backward()
    assert 0 < largest <= 2 * 45000
    assert abs(x.grad.double().sum()) < 1e-6 * x.grad.abs().double().sum()  # each pair adds and subtracts the same


@pytest.mark.parametrize(
    "scores, sizes, message",
    [
        (torch.zeros(48, 1), (4, 6, 2), r"squeeze\(1\)"),
        (torch.zeros(47), (4, 6, 2), r"expected shape \(48,\).*got \(47,\)"),
        (torch.zeros(4, 6, 2), (4, 6, 2), "expected shape"),
        (torch.zeros(()), (4, 6, 2), "expected shape"),
        (torch.zeros(48, dtype=torch.int64), (4, 6, 2), "floating-point"),
        (torch.zeros(0), (0, 6, 2), "distortions >= 1"),
        (torch.zeros(8), (4, 1, 2), "levels >= 2"),
        (torch.zeros(0), (4, 6, 0), "images >= 1"),
    ],
)
def test_ranking_refuses(scores, sizes, message):
    with pytest.raises(ValueError, match=message):
        pair_ranking_loss(scores, **dict(zip(("distortions", "levels", "images"), sizes, strict=True)))


def test_euclidean():
    a, b = torch.tensor([[1.0], [5.0]], requires_grad=True), torch.tensor([[0.0], [7.0]])
    loss = euclidean_loss(a, b)
    loss.backward()
    assert loss.item() == 5 / 4
    assert a.grad.flatten().tolist() == [0.5, -1.0]
    assert torch.nn.functional.mse_loss(a, b).item() != loss.item()


@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (4,)), ((), ()), ((0, 1), (0, 1))])
def test_euclidean_refuses(shapes):
    with pytest.raises(ValueError, match="one shape"):
        euclidean_loss(*(torch.zeros(shape) for shape in shapes))


def contrastive_by_loops(a, b, dissimilar, margin):
    """Return the loss and the gradient with respect to a, with Caffe's 1e-4."""
    loss, gradient = 0.0, np.zeros_like(a)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        distance = np.sqrt(((x - y) ** 2).sum())
        if dissimilar[i]:
            missing = max(margin - distance, 0)
            loss += missing**2
            gradient[i] = -missing / (distance + 1e-4) * (x - y) / len(a)
        else:
            loss += distance**2
            gradient[i] = (x - y) / len(a)
    return loss / (2 * len(a)), gradient


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_contrastive_equals_the_loops(dtype):
    rng = np.random.RandomState(0)
    a, b, y = rng.randn(12, 5), rng.randn(12, 5), np.arange(12) % 2
    b[:2] = a[:2]  # distance 0, similar and dissimilar
    b[2:4] = a[2:4] + 0.01
    b[5] = a[5] + [3, 0, 0, 0, 0]  # a dissimilar pair at the margin
    b[7] = a[7] + 100
    loss, gradient = contrastive_by_loops(a, b, y, 3.0)
    first, second = (torch.from_numpy(x).requires_grad_() for x in (a, b))
    got = contrastive_loss(first, second, torch.from_numpy(y).to(dtype), margin=3.0)
    got.backward()
    assert got.item() == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(first.grad, gradient, rtol=1e-12, atol=1e-15)
    assert torch.equal(second.grad, -first.grad)
    assert contrastive_by_loops(a, b, 1 - y, 3.0)[0] != pytest.approx(loss, rel=0.1)  # with Caffe's label convention


def test_contrastive_at_distance_zero_is_finite():
    a = torch.zeros(1, 3, requires_grad=True)
    contrastive_loss(a, torch.zeros(1, 3), torch.tensor([1]), margin=1.0).backward()
    assert a.grad.abs().max() == 0


@pytest.mark.parametrize(
    "a, b, y, message",
    [
        ((4, 3), (4, 2), [0, 0, 0, 0], "one shape"),
        ((4,), (4,), [0, 0, 0, 0], "one shape"),
        ((4, 3), (4, 3), [0, 0, 0], "dissimilar: expected shape"),
        ((2, 3), (2, 3), [0, 2], "0 .similar. or 1"),
        ((2, 3), (2, 3), [-1, 1], "0 .similar. or 1"),
    ],
)
def test_contrastive_refuses(a, b, y, message):
    with pytest.raises(ValueError, match=message):
        contrastive_loss(torch.zeros(a), torch.zeros(b), torch.tensor(y), margin=1.0)


SMALL = {"distortions": 1, "levels": 2, "images": 1}


@pytest.mark.parametrize("loss", [pair_ranking_loss, pristine_ranking_loss])
@pytest.mark.parametrize(
    ("scores", "changed", "message"),
    [
        ([0.0, 1.0], {}, "scores: expected a tensor, got list"),
        (torch.zeros(2), {"distortions": 1.0}, "whole numbers, .*got distortions 1.0"),
        (torch.zeros(2), {"distortions": True}, "got distortions True"),
        (torch.zeros(2), {"distortions": -1, "images": -1}, "got distortions -1, images -1"),
        (torch.zeros(0), {"distortions": 0}, "got distortions 0"),
        (torch.zeros(2), {"levels": "2"}, "got levels '2'"),
        (torch.zeros(2), {"margin": float("nan")}, "margin: expected a finite number, got nan"),
        (torch.zeros(2), {"margin": "10"}, "margin: expected a finite number"),
        (torch.zeros(2, dtype=torch.int64), {}, "scores: expected a floating-point tensor"),
    ],
)
def test_arguments_of_other_kinds(loss, scores, changed, message):
    with pytest.raises(ValueError, match=message):
        loss(scores, **{**SMALL, **changed})


def test_arguments_of_other_kinds_of_the_other_losses():
    x = torch.zeros(2, 3)
    for call, message in (
        (lambda: pristine_ranking_loss(torch.zeros(2), **SMALL, above=1.0), "above: expected a level"),
        (lambda: fidelity_ranking_loss(torch.zeros(0), torch.zeros(0), distortions=1), "fidelity: expected"),
        (lambda: fidelity_ranking_loss(torch.zeros(2), [0.1, 0.2], distortions=1), "fidelity: expected a tensor"),
        (lambda: euclidean_loss(torch.zeros(2), [0.1, 0.2]), "target: expected a tensor, got list"),
        (lambda: contrastive_loss(x, x, [0, 1], margin=1.0), "dissimilar: expected a tensor"),
        (
            lambda: contrastive_loss(x, x, torch.zeros(2), margin=float("nan")),
            "margin: expected a finite",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_no_wrong_second_derivative():
    """Losses with a backward pass of their own refuse a second derivative instead of returning a part of it."""
    a, b = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scores = torch.zeros(2, requires_grad=True)
    for loss, variable in (
        (contrastive_loss(a, b, torch.tensor([0, 1, 0, 1]), margin=4.0), a),
        (pair_ranking_loss(scores, **SMALL), scores),
    ):
        (first,) = torch.autograd.grad(loss, variable, create_graph=True)
        with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
            first.sum().backward()
