"""Losses: RankIQA's pair ranking loss, its Euclidean loss for fine-tuning, and the Siamese contrastive loss.

Shapes: D distortions, L levels, B images per level; N = D * L * B scores.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def _floating(**tensors: Tensor) -> None:
    _tensors(**tensors)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: expected a floating-point tensor, got {tensor.dtype}")


def _tensors(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name}: expected a tensor, got {type(tensor).__name__}")


def _sizes(least: dict[str, int], **sizes: int) -> None:
    """Raise ValueError unless each size is a whole number that is at least `least[name]`."""
    wrong = {
        name: size for name, size in sizes.items()
        if isinstance(size, bool) or not isinstance(size, Integral) or size < least[name]
    }  # fmt: skip
    if wrong:
        wanted = ", ".join(f"{name} >= {number}" for name, number in least.items() if name in sizes)
        got = ", ".join(f"{name} {size!r}" for name, size in wrong.items())
        raise ValueError(f"expected whole numbers, {wanted}, got {got}")


LEAST = {"distortions": 1, "levels": 2, "images": 1}


def _margin(margin: float) -> float:
    if isinstance(margin, bool) or not isinstance(margin, Real) or not math.isfinite(margin):
        raise ValueError(f"margin: expected a finite number, got {margin!r}")
    return float(margin)


def _active(scores: Tensor, others: Tensor, margin: Tensor) -> Tensor:
    """Count, for each score, the `others` with which it forms a pair of nonzero loss. (R, n), (R, m) -> (R, n), int64.

    A pair has a loss if margin - (score - other) > 0. The condition is monotonic in `other`, also after rounding, so a
    binary search among the sorted others finds the first one that meets it.
    """
    others = others.sort(dim=1).values
    last = others.shape[1] - 1
    low = torch.zeros_like(scores, dtype=torch.int64)
    high = torch.full_like(low, last + 1)
    for _ in range((last + 1).bit_length()):
        middle = (low + high) // 2
        # CAFFE: a pair exactly at the margin has no gradient (upstream's netloss: loss > 0)
        loses = margin - (scores - others.gather(1, middle.clamp_max(last))) > 0
        low, high = torch.where(loses | (low == high), low, middle + 1), torch.where(loses, middle, high)
    return last + 1 - low


class _PairRanking(torch.autograd.Function):
    """The pair ranking loss in O(n log n log L) time and linear memory.

    The gradient of a score is a count of pairs, and the loss follows from the counts. The levels are split into halves
    recursively. Each split handles all pairs between its earlier and its later half at once.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, margin: float) -> Tensor:  # scores: D L B
        _, levels, images = scores.shape
        limit = scores.new_full((), margin)  # created on the device, which avoids a synchronisation with the GPU
        # L is padded to a power of 2 with scores of -inf, which have no loss in any pair
        span = 1 << (levels - 1).bit_length()
        filled = F.pad(scores, (0, 0, 0, span - levels), value=-torch.inf)
        counts = torch.zeros_like(filled, dtype=torch.int64)  # each score's gradient, times N
        pairs = counts.new_zeros(())
        while span > 1:
            span //= 2
            earlier, later = filled.view(-1, 2, span * images).unbind(1)
            # The loss falls with s_i and rises with s_j. Negating the scores swaps the roles of earlier and later
            falls, rises = _active(earlier, later, limit), _active(-later, -earlier, limit)
            counts.view(-1, 2, span * images).add_(torch.stack((-falls, rises), 1))
            pairs += falls.sum()
        counts = counts[:, :levels].double()
        # The sum of margin - (s_i - s_j) over the pairs, with the terms grouped by score
        total = pairs * limit.double() + (counts * scores.double()).sum()
        # CAFFE: divided by the number of images, not of pairs (upstream's netloss: bottom[0].num)
        ctx.save_for_backward((counts / scores.numel()).to(scores.dtype))
        return (total / scores.numel()).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (slope,) = ctx.saved_tensors
        return grad * slope, None


def pair_ranking_loss(scores: Tensor, *, distortions: int, levels: int, images: int, margin: float = 10.0) -> Tensor:
    """Compute the hinge loss over every ordered pair of levels of each distortion, summed and divided by N.

    A pair consists of a score of an earlier level i and a score of a later level j of the same distortion. Its loss is
    max(0, margin - (s_i - s_j)). The sum is computed in float64. The gradient, a whole number over N, is exact. Unlike
    upstream's layer, this function multiplies by the incoming gradient, so loss weights work. A nan or infinite score
    makes the loss nan or infinite.

    Args:
        scores: (N,) floating point, N = distortions * levels * images, in this order: distortion, level, image. Levels
            follow the ranking: the score should fall from one level to the next.
        distortions: D, 1 or more.
        levels: L, 2 or more.
        images: B, the number of images per level, 1 or more.
        margin: The paper's epsilon, in units of the scores.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: If the shape is wrong, the dtype is not floating point, or a size is out of range.

    Source: paper eq. 4-6; upstream src/MyLossLayer/netloss_{live,tid2013}.py.
    """
    _sizes(LEAST, distortions=distortions, levels=levels, images=images)
    _floating(scores=scores)
    expected = (distortions * levels * images,)
    if tuple(scores.shape) != expected:
        hint = "; a network's (N, 1) output goes in as output.squeeze(1)" if scores.shape == (*expected, 1) else ""
        raise ValueError(
            f"scores: expected shape {expected} (distortions x levels x images), got {tuple(scores.shape)}{hint}"
        )
    return _PairRanking.apply(scores.reshape(distortions, levels, images), _margin(margin))


def pristine_ranking_loss(
    scores: Tensor, *, distortions: int, levels: int, images: int, margin: float = 10.0, above: int = 1
) -> Tensor:
    """Compute the hinge loss of every pristine image against the other distortions' versions, divided by N.

    Together, this loss and `pair_ranking_loss` count each pair of a pristine image and a version of level `above` or
    more once.

    Args:
        scores: (N,) floating point, in the order of `pair_ranking_loss`; the first level is pristine.
        distortions: D, 1 or more.
        levels: L, 2 or more.
        images: B, the number of images per level.
        margin: In units of the scores.
        above: The mildest level to include, 1..L - 1.

    Returns:
        A scalar tensor; 0 if there is only one distortion.

    Raises:
        ValueError: If the shape is wrong, the dtype is not floating point, or a size or level is out of range.

    Source: ours; the original has no such loss.
    """
    _sizes(LEAST, distortions=distortions, levels=levels, images=images)
    _floating(scores=scores)
    margin = _margin(margin)
    if scores.shape != (distortions * levels * images,):
        raise ValueError(f"scores: expected shape {(distortions * levels * images,)}, got {tuple(scores.shape)}")
    if isinstance(above, bool) or not isinstance(above, Integral) or not 1 <= above < levels:
        raise ValueError(f"above: expected a level, 1..{levels - 1}, got {above!r}")
    by_level = scores.view(distortions, levels, images)
    pristine, worse = by_level[:, 0], by_level[:, above:].reshape(distortions, -1)  # D B, D M
    losses = (margin - (pristine[:, :, None, None] - worse)).clamp_min(0)  # D B D M
    own = torch.eye(distortions, dtype=torch.bool, device=scores.device)[:, None, :, None]
    return losses.masked_fill(own, 0).sum() / scores.numel()


def fidelity_pairs(fidelity: Tensor, *, distortions: int, gap: float) -> Tensor:
    """Select the pairs of versions of different distortions that differ clearly in fidelity.

    Args:
        fidelity: (N,) fidelity of each version to its pristine image; higher is better. The versions of one distortion
            are adjacent.
        distortions: D, a divisor of N.
        gap: The smallest difference in fidelity of a ranked pair; above 0.

    Returns:
        (N, N) bool: True at [i, j] if version i is ranked above version j.

    Raises:
        ValueError: If the shape is wrong or the gap is out of range.

    Source: dipIQ (Ma et al., IEEE TIP 2017), which ranks the pairs that full-reference measures order with certainty.
    """
    _sizes(LEAST, distortions=distortions)
    _tensors(fidelity=fidelity)
    if fidelity.dim() != 1 or len(fidelity) == 0 or len(fidelity) % distortions:
        raise ValueError(f"fidelity: expected (N,), N a multiple of {distortions}, got {tuple(fidelity.shape)}")
    if not gap > 0:
        raise ValueError(f"gap: expected a number above 0, got {gap}")
    own = torch.arange(len(fidelity), device=fidelity.device) // (len(fidelity) // distortions)
    return (fidelity[:, None] - fidelity >= gap) & (own[:, None] != own)


def fidelity_ranking_loss(
    scores: Tensor, fidelity: Tensor, *, distortions: int, margin: float = 10.0, gap: float = 0.1
) -> Tensor:
    """Compute the hinge loss over the pairs of `fidelity_pairs`, summed and divided by N.

    `pair_ranking_loss` ranks the versions of one distortion; together, the two losses count each pair once.

    Args:
        scores: (N,) floating point; higher is better.
        fidelity: (N,), see `fidelity_pairs`.
        distortions: D.
        margin: In units of the scores.
        gap: The smallest difference in fidelity of a ranked pair.

    Returns:
        A scalar tensor; 0 if no pair is ranked.

    Raises:
        ValueError: If a shape is wrong or the gap is out of range.

    Source: ours; the original has no such loss.
    """
    _floating(scores=scores)
    _tensors(fidelity=fidelity)
    margin = _margin(margin)
    if scores.shape != fidelity.shape:
        raise ValueError(f"scores: expected shape {tuple(fidelity.shape)}, got {tuple(scores.shape)}")
    ranked = fidelity_pairs(fidelity, distortions=distortions, gap=gap)
    losses = (margin - (scores[:, None] - scores)).clamp_min(0)
    return losses.masked_fill(~ranked, 0).sum() / scores.numel()


def euclidean_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute sum((prediction - target)^2) / (2 N), where N is the size of the first dimension.

    Args:
        prediction: (N, ..) floating point.
        target: The same shape.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: Unless both are floating point and have the same shape, with N >= 1.

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
        short = (margin - distance).clamp_min(0)  # N, the amount by which a pair is inside the margin
        ctx.save_for_backward(difference, distance, short, dissimilar)
        return torch.where(dissimilar, short, distance).square().sum() / (2 * len(a))

    @staticmethod
    @once_differentiable  # a second derivative would ignore the dependence of the saved tensors on a and b
    def backward(ctx, grad: Tensor):
        difference, distance, short, dissimilar = ctx.saved_tensors
        # CAFFE: 1e-4 keeps the division from 0 (contrastive_loss_layer.cpp); two equal rows then get no gradient
        factor = torch.where(dissimilar, -short / (distance + 1e-4), torch.ones_like(distance))
        grad_a = grad / len(difference) * factor[:, None] * difference
        return grad_a, -grad_a, None, None


def contrastive_loss(a: Tensor, b: Tensor, dissimilar: Tensor, *, margin: float) -> Tensor:
    """Compute the contrastive loss of a Siamese network, the mean over its N pairs.

    A similar pair contributes D^2 / 2, a dissimilar one max(0, margin - D)^2 / 2, where D is the Euclidean distance of
    its rows of a and b. Caffe's ContrastiveLoss takes the opposite label (1 = similar). Apart from that, values and
    gradients match Caffe's.

    Args:
        a: (N, C) floating point, the features of one branch.
        b: (N, C) floating point, the features of the other branch.
        dissimilar: (N,), the y of the literature: 1 or True for a dissimilar pair, 0 or False for a similar one.
        margin: In units of the distance.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: For wrong shapes, dtypes or labels.

    Source: Hadsell, Chopra and LeCun 2006 (paper's [Siamese] reference); Caffe's contrastive_loss_layer.
    """
    _floating(a=a, b=b)
    if a.dim() != 2 or a.shape != b.shape or a.shape[0] == 0:
        raise ValueError(f"a and b: expected one shape (N, C), got {tuple(a.shape)} and {tuple(b.shape)}")
    _tensors(dissimilar=dissimilar)
    if dissimilar.shape != a.shape[:1]:
        raise ValueError(f"dissimilar: expected shape ({a.shape[0]},), got {tuple(dissimilar.shape)}")
    if not ((dissimilar == 0) | (dissimilar == 1)).all():
        raise ValueError("dissimilar: expected 0 (similar) or 1 (dissimilar), got other values")
    return _Contrastive.apply(a, b, dissimilar.to(torch.bool), _margin(margin))
