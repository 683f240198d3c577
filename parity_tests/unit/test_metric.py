"""`rankiqa.metric`: the score of `rankiqa.score` on batches of tensors, its gradients, its meaning, its errors."""

import numpy as np
import pytest
import torch

import rankiqa
from lib.rated_inputs import pictures


@pytest.fixture(scope="module")
def images(photograph):
    return pictures(photograph)


CROPS = 12  # two chunks

SCORE_RTOL = 1e-5  # v / 255 * 255 may change a pixel's last bit


def test_equals_the_score_of_8_bit_images(weights, images, metric_batch):
    model = rankiqa.load(weights)
    expected = [rankiqa.score(model, np.ascontiguousarray(image), crops=CROPS, seed=3).score for image in images]
    scores = rankiqa.metric(weights, crops=CROPS, seed=3)(metric_batch)
    assert scores.shape == (3,) and scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, rtol=SCORE_RTOL)
    turned = rankiqa.metric(weights, crops=CROPS, seed=3)(metric_batch.flip(1))
    assert not np.allclose(turned.numpy(), expected, rtol=100 * SCORE_RTOL)  # BGR gives another score
    assert not np.allclose(rankiqa.metric(weights, crops=CROPS)(metric_batch).numpy(), expected, rtol=100 * SCORE_RTOL)


def test_float32_whatever_is_around(weights, metric_batch):
    """Autocast changes no bit of a score; weights of another type are refused with a clear error."""
    metric = rankiqa.metric(weights, crops=2)
    expected = metric(metric_batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(metric_batch), expected)
    with pytest.raises(ValueError, match=r"metric: expected weights in float32, got torch\.bfloat16"):
        metric.bfloat16()(metric_batch)


def test_neither_batch_nor_neighbours_matter(weights, metric_batch):
    metric = rankiqa.metric(weights, crops=CROPS)
    together = metric(metric_batch)
    assert torch.equal(together, torch.cat([metric(image[None]) for image in metric_batch]))
    assert torch.equal(metric(metric_batch[[2, 0]]), together[[2, 0]])
    assert torch.equal(metric.train()(metric_batch), together)  # dropout stays off
    torch.manual_seed(9)
    assert torch.equal(metric(metric_batch), together)


def test_gradients_reach_the_image(falling, rising, metric_batch):
    small = metric_batch[:1, :, :240, :240].clone().requires_grad_()
    metric = rankiqa.metric(falling, crops=2)
    metric(small).sum().backward()
    assert small.grad is not None and small.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in metric.parameters())
    step = 1e-3 * small.grad / small.grad.abs().max()
    inside = (small.detach() - step).clamp(0, 1)
    assert metric(inside) < metric(small.detach())
    values = [rankiqa.metric(path, crops=2, as_loss=True)(metric_batch) for path in (falling, rising)]
    assert values[0].shape == () and torch.equal(values[0], -values[1])
    assert values[0].item() == pytest.approx(rankiqa.metric(falling, crops=2)(metric_batch).mean().item())


def test_what_the_score_means(weights, falling, rising):
    assert (rankiqa.metric(falling).lower_better, rankiqa.metric(falling).score_range) == (True, (0.0, 100.0))
    assert (rankiqa.metric(rising).lower_better, rankiqa.metric(rising).score_range) == (False, None)
    assert rankiqa.metric(weights).lower_better is None
    assert rankiqa.metric(rising, as_loss=True).lower_better is True
    with pytest.raises(ValueError, match="as_loss: expected weights that say"):
        rankiqa.metric(weights, as_loss=True)


def test_a_network_that_is_given_stays_as_it_was(weights, metric_batch):
    model = rankiqa.load(weights).train()
    metric = rankiqa.metric(model, crops=2)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    before = metric(metric_batch[:1])
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert torch.equal(metric(metric_batch[:1]), before)


def test_another_input_spec(metric_batch):
    """The metric follows an input spec of RGB with mean and deviation, as backbones have."""
    from rankiqa.data.input_spec import InputSpec

    class Mean(torch.nn.Module):
        input_spec = InputSpec(224, "RGB", 1.0, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
        lower_is_better, score_range, crop = None, None, 224

        def __init__(self):
            super().__init__()
            self.weights = torch.nn.Parameter(torch.tensor([1.0, 10.0, 100.0]))

        def forward(self, x):
            return (x.mean((2, 3)) * self.weights).sum(1, keepdim=True)

    image = (metric_batch[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    expected = rankiqa.score(Mean(), np.ascontiguousarray(image), crops=3).score
    assert rankiqa.metric(Mean(), crops=3)(metric_batch[:1]).item() == pytest.approx(expected, rel=SCORE_RTOL)


good = torch.rand(2, 3, 240, 250)


@pytest.mark.parametrize(
    "images, message",
    [
        (good * 255, r"values in 0\.\.1, got .* divide by 255"),
        (good - 0.5, r"values in 0\.\.1"),
        (good.where(good > 0.1, torch.nan), r"values in 0\.\.1, got nan"),
        (torch.zeros(2, 4, 240, 250), "alpha"),
        (torch.zeros(2, 1, 240, 250), r"expected \(N, 3, H, W\)"),
        (torch.zeros(3, 240, 250), "batch axis"),
        (torch.zeros(2, 240, 250, 3), r"got \(2, 240, 250, 3\)"),
        (torch.zeros(0, 3, 240, 250), "N of 1 or more"),
        (torch.zeros(2, 3, 240, 0), "expected pixels"),
        ((good * 255).to(torch.uint8), "divide by 255"),
        (torch.zeros(1, 3, 227, 250), "above 227"),
        (np.zeros((1, 3, 240, 250), np.float32), "expected a tensor"),
        (good.to("meta"), "device"),
    ],
)
def test_refuses(weights, images, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.metric(weights, crops=1)(images)


def test_refuses_options(weights):
    with pytest.raises(ValueError, match="crops: expected 1"):
        rankiqa.metric(weights, crops=0)
    with pytest.raises(ValueError, match="seed: expected"):
        rankiqa.metric(weights, seed=-1)
