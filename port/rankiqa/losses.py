"""The pair ranking loss of RankIQA, the Euclidean loss of its fine-tuning, and Siamese networks' contrastive loss.

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
    """Raise ValueError unless each is a whole number, `least` of it or more."""
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
    """For each of `scores`: with how many of `others` its pair has a loss. (R, n), (R, m) -> (R, n), int64.

    Such pairs are those with margin - (score - other) > 0. Rounding included, once that is true it stays true as
    `other` grows, so a binary search among the sorted others finds where it begins.
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
    """The pair loss in n log n log L time and linear memory.

    A score's gradient is a count of pairs, and the loss follows from the counts. The levels are halved again and again;
    each halving takes the pairs between an earlier and a later half at once.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, margin: float) -> Tensor:  # scores: D L B
        _, levels, images = scores.shape
        limit = scores.new_full((), margin)  # filled there: a GPU is not waited for
        span = 1 << (levels - 1).bit_length()  # L rounded up to a power of 2; a score of -inf has no loss in any pair
        filled = F.pad(scores, (0, 0, 0, span - levels), value=-torch.inf)
        counts = torch.zeros_like(filled, dtype=torch.int64)  # each score's gradient, times N
        pairs = counts.new_zeros(())
        while span > 1:
            span //= 2
            earlier, later = filled.view(-1, 2, span * images).unbind(1)
            # The loss falls with s_i and rises with s_j; negated scores turn a later one into an earlier one
            falls, rises = _active(earlier, later, limit), _active(-later, -earlier, limit)
            counts.view(-1, 2, span * images).add_(torch.stack((-falls, rises), 1))
            pairs += falls.sum()
        counts = counts[:, :levels].double()
        # The sum of margin - (s_i - s_j) over the pairs, collected by score
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
    """Hinge loss over every ordered pair of levels of each distortion, summed and divided by N.

    A pair is a score of an earlier level i and a score of a later level j of the same distortion; its loss is
    max(0, margin - (s_i - s_j)). The sum is taken in float64; the gradient, a whole number over N, is exact. Unlike
    upstream's layer it multiplies by the gradient of what follows, so a loss weight works. A nan or an infinite score
    makes the loss nan or infinite.

    Args:
        scores: (N,) floating point, N = distortions * levels * images: for each distortion, for each level in the order
            of the ranking (the score should fall from one level to the next), the images of that level.
        distortions: D, 1 or more.
        levels: L, 2 or more.
        images: B, images of each level, 1 or more.
        margin: In units of the scores; the paper's epsilon.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: For another shape, an integer dtype, or sizes out of range.

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
    """Hinge loss of every pristine image against the versions of other distortions, summed and divided by N.

    Together with `pair_ranking_loss` each pair of a pristine image and a version of level `above` or more counts once.

    Args:
        scores: (N,) floating point, in the order of `pair_ranking_loss`; the first level is pristine.
        distortions: D, 1 or more.
        levels: L, 2 or more.
        images: B, images of each level.
        margin: In units of the scores.
        above: The mildest level that counts, 1..L - 1.

    Returns:
        A scalar tensor; 0 for one distortion.

    Raises:
        ValueError: For another shape, or a level out of range.

    Source: none of the original's.
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
    """Which versions of different distortions are ranked by their fidelity.

    Args:
        fidelity: (N,) of each version to its pristine image; the larger, the better. The versions of one distortion
            stand together.
        distortions: D, a divisor of N.
        gap: Pairs that differ by less are not ranked; above 0.

    Returns:
        (N, N) bool: whether version i is ranked above version j.

    Raises:
        ValueError: For another shape or a gap out of range.

    Source: dipIQ (Ma et al., IEEE TIP 2017), whose pairs are those of which full-reference measures are sure.
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
    """Hinge loss over the pairs of `fidelity_pairs`, summed and divided by N.

    Together with `pair_ranking_loss`, which ranks the versions of one distortion, each pair counts once.

    Args:
        scores: (N,) floating point; the higher, the better.
        fidelity: (N,), as `fidelity_pairs` takes it.
        distortions: D.
        margin: In units of the scores.
        gap: Of the fidelities.

    Returns:
        A scalar tensor; 0 where no pair is ranked.

    Raises:
        ValueError: For other shapes or a gap out of range.

    Source: none of the original's.
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
    """sum((prediction - target)^2) / (2 N), N the first dimension.

    Args:
        prediction: (N, ..) floating point.
        target: The same shape.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: Unless both are floating point, of one shape, with N >= 1.

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
    @once_differentiable  # a gradient of this one would leave out what was saved
    def backward(ctx, grad: Tensor):
        difference, distance, short, dissimilar = ctx.saved_tensors
        # CAFFE: 1e-4 keeps the division from 0 (contrastive_loss_layer.cpp); two equal rows then get no gradient
        factor = torch.where(dissimilar, -short / (distance + 1e-4), torch.ones_like(distance))
        grad_a = grad / len(difference) * factor[:, None] * difference
        return grad_a, -grad_a, None, None


def contrastive_loss(a: Tensor, b: Tensor, dissimilar: Tensor, *, margin: float) -> Tensor:
    """Siamese networks' contrastive loss: mean over N of half of D^2 (similar) or max(0, margin - D)^2 (dissimilar).

    Caffe's ContrastiveLoss takes the opposite label (1 = similar). Apart from that, values and gradients match Caffe's.

    Args:
        a: (N, C) floating point, the features of one side.
        b: The same of the other side; D is the Euclidean distance of a and b, row by row.
        dissimilar: (N,), y of the literature: 1 or True for a dissimilar pair, 0 or False for a similar one.
        margin: In units of the distance.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: For other shapes, dtypes or labels.

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
