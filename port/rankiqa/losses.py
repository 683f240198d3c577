"""The pair ranking loss of RankIQA, the Euclidean loss of its fine-tuning, and Siamese networks' contrastive loss.

Shapes: D distortions, L levels, B images per level; N = D * L * B scores.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _floating(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: expected a floating-point tensor, got {tensor.dtype}")


class _PairRanking(torch.autograd.Function):
    """One step per pair of levels, so that memory grows with the scores times B, never with all the pairs."""

    @staticmethod
    def forward(ctx, scores: Tensor, margin: float) -> Tensor:  # scores: D L B
        groups, levels, images = scores.shape
        counts = torch.zeros_like(scores)  # D L B, what each score's gradient is times N
        total = scores.new_zeros((), dtype=torch.float64)
        step = max(1, images and MOST_PAIRS // (groups * images))
        for i in range(levels - 1):
            for j in range(i + 1, levels):
                for first in range(0, images, step):
                    part = slice(first, first + step)
                    loss = margin - (scores[:, i, part, None] - scores[:, j, None, :])  # D step B
                    total += loss.clamp_min(0).sum(dtype=torch.float64)
                    # CAFFE: a pair exactly at the margin has no gradient (upstream's netloss: loss > 0)
                    active = (loss > 0).to(scores.dtype)
                    counts[:, i, part] -= active.sum(2)
                    counts[:, j] += active.sum(1)
        ctx.save_for_backward(counts)
        # CAFFE: divided by the number of images, not of pairs (upstream's netloss: bottom[0].num)
        return (total / scores.numel()).to(scores.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (counts,) = ctx.saved_tensors
        return grad * (counts / counts.numel()), None


MOST_PAIRS = 1 << 22  # pairs held at once: 16 MiB of float32


def pair_ranking_loss(scores: Tensor, *, distortions: int, levels: int, images: int, margin: float = 10.0) -> Tensor:
    """Hinge loss over every ordered pair of levels of each distortion, summed and divided by N (a scalar tensor).

    scores: (N,), N = distortions * levels * images, floating point; for each distortion, for each level in the order
    of the ranking (the score should fall from one level to the next), the images of that level. A pair is a score of
    an earlier level i and one of a later level j of the same distortion: max(0, margin - (s_i - s_j)).
    margin: in units of the scores; the paper's epsilon.
    The pairs' losses are added in float64; the gradient, a whole number over N, is exact. Unlike upstream's layer it
    follows the gradient of what comes after, so a loss weight works.
    Raises ValueError for another shape, an integer dtype, fewer than 2 levels, or distortions or images below 1.
    Source: paper eq. 4-6; upstream src/MyLossLayer/netloss_{live,tid2013}.py.
    """
    if distortions < 1 or levels < 2 or images < 1:
        raise ValueError(
            "pair_ranking_loss: expected distortions >= 1, levels >= 2, images >= 1, "
            f"got {distortions}, {levels}, {images}"
        )
    expected = (distortions * levels * images,)
    if tuple(scores.shape) != expected:
        hint = "; a network's (N, 1) output goes in as output.squeeze(1)" if scores.shape == (*expected, 1) else ""
        raise ValueError(
            f"scores: expected shape {expected} (distortions x levels x images), got {tuple(scores.shape)}{hint}"
        )
    _floating(scores=scores)
    return _PairRanking.apply(scores.reshape(distortions, levels, images), float(margin))


def euclidean_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """sum((prediction - target)^2) / (2 N), N the first dimension (a scalar tensor).

    Raises ValueError unless both are floating point, of one shape, with N >= 1.
    Source: Caffe's EuclideanLoss; upstream src/FT/*/train_*.prototxt.
    """
    _floating(prediction=prediction, target=target)
    if prediction.shape != target.shape or prediction.dim() == 0 or prediction.shape[0] == 0:
        raise ValueError(
            f"prediction, target: expected one shape (N, ..), got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    return (prediction - target).square().sum() / (2 * prediction.shape[0])


class _Contrastive(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
        difference = a - b  # N C
        distance = difference.square().sum(1).sqrt()  # N
        short = (margin - distance).clamp_min(0)  # N, how far inside the margin
        ctx.save_for_backward(difference, distance, short, dissimilar)
        return torch.where(dissimilar, short, distance).square().sum() / (2 * len(a))

    @staticmethod
    def backward(ctx, grad: Tensor):
        difference, distance, short, dissimilar = ctx.saved_tensors
        # CAFFE: 1e-4 keeps the division from 0 (contrastive_loss_layer.cpp); two equal rows then get no gradient
        factor = torch.where(dissimilar, -short / (distance + 1e-4), torch.ones_like(distance))
        grad_a = grad / len(difference) * factor[:, None] * difference
        return grad_a, -grad_a, None, None


def contrastive_loss(a: Tensor, b: Tensor, dissimilar: Tensor, *, margin: float) -> Tensor:
    """Siamese networks' contrastive loss: mean over N of half of D^2 (similar) or max(0, margin - D)^2 (dissimilar).

    a, b: (N, C) floating point, the features of the two sides; D is their Euclidean distance, row by row.
    dissimilar: (N,), y of the literature: 1 or True for a dissimilar pair, 0 or False for a similar one.
    Caffe's ContrastiveLoss takes the opposite label (1 = similar); with that minded, loss and gradient are its own.
    Raises ValueError for other shapes, dtypes or labels.
    Source: Hadsell, Chopra and LeCun 2006 (paper's [Siamese] reference); Caffe's contrastive_loss_layer.
    """
    _floating(a=a, b=b)
    if a.dim() != 2 or a.shape != b.shape or a.shape[0] == 0:
        raise ValueError(f"a and b: expected one shape (N, C), got {tuple(a.shape)} and {tuple(b.shape)}")
    if dissimilar.shape != a.shape[:1]:
        raise ValueError(f"dissimilar: expected shape ({a.shape[0]},), got {tuple(dissimilar.shape)}")
    if not ((dissimilar == 0) | (dissimilar == 1)).all():
        raise ValueError("dissimilar: expected 0 (similar) or 1 (dissimilar), got other values")
    return _Contrastive.apply(a, b, dissimilar.to(torch.bool), float(margin))
