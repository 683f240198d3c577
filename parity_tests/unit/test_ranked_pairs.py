"""The pairs that the ranking loss compares, against the sum over their definition."""

import itertools

import pytest
import torch

from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.tasks import task_of

GAP = 0.25  # exact in binary: the fidelities below are multiples of 1/8


def _pairs(kind, groups, levels, images, above, fidelity):
    """Yield the pairs (better, worse) of the definition, each as (group, level, image) with level 0 pristine."""
    every = list(itertools.product(range(groups), range(levels), range(images)))
    for better, worse in itertools.product(every, every):
        if better[0] == worse[0]:
            ranked = better[1] < worse[1] and (kind != "same-image" or better[2] == worse[2])
        elif kind == "vif":
            ranked = (fidelity[better] - fidelity[worse]).item() >= GAP
        else:
            ranked = kind == "all" and better[1] == 0 and worse[1] >= above
        if ranked:
            yield better, worse


@pytest.mark.parametrize("preset", ["live-rank", "tid2013-rank"])
@pytest.mark.parametrize(("kind", "above"), [("type", 1), ("same-image", 1), ("all", 1), ("all", 2), ("vif", 1)])
def test_pairs(preset, kind, above):
    """Compare loss and gradient with the sum over the pairs, including ties and pairs exactly at the margin."""
    sizes = (3, 4, 2)
    settings = PRESETS[preset].but(list_groups=3, groups=3, levels=4, images=2, margin=2.0)
    rng = torch.Generator().manual_seed(0)
    quality = torch.randint(-3, 4, sizes, generator=rng).double()
    fidelity = torch.randint(0, 9, sizes, generator=rng) / 8
    lower_is_better = preset == "live-rank"
    labels = (fidelity.flip(1) if lower_is_better else fidelity).reshape(-1)
    scores = -quality.flip(1) if lower_is_better else quality  # worst first, and the score rises with degradation
    scores = scores.reshape(-1).requires_grad_()
    gap = GAP if kind == "vif" else 0.1
    total, count, gradient = 0.0, 0, torch.zeros(sizes, dtype=torch.float64)
    for better, worse in _pairs(kind, *sizes, above, fidelity):
        short, count = 2.0 - (quality[better] - quality[worse]).item(), count + 1
        if short > 0:
            total += short
            gradient[better] -= 1
            gradient[worse] += 1
    for mean, divisor in (("images", 24), ("pairs", count)):
        task = task_of(settings, Recipe(pairs=kind, pristine_above=above, vif_gap=gap, loss_mean=mean))
        loss = task.loss(scores, labels)
        assert loss.item() == pytest.approx(total / divisor, rel=1e-12)
        (grad,) = torch.autograd.grad(loss, scores)
        grad = grad.view(sizes)
        grad = -grad.flip(1) if lower_is_better else grad
        torch.testing.assert_close(grad, gradient / divisor, rtol=1e-12, atol=1e-15)
