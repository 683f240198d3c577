"""The views (sizes) of an image from which crops are taken, and the positions of the crops in each.

Shapes: H x W pixels of the image, C channels. `pixels` are (H, W, C) in numpy, (C, H, W) in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.crops import crop_offsets
from rankiqa.data.images import ImageError

ROUNDED_UP_FROM = 0.501  # not 0.5, so that a mean of exactly a half rounds up even if float32 makes it slightly smaller


@dataclass(frozen=True, eq=False)
class View:
    """One size of an image.

    Attributes:
        reduction: The factor by which the image is reduced, 1 or more.
        rows: For each row of the mirrored image, the row of the original image; None if the image is not mirrored.
        columns: The same for columns.
        offsets: The positions of the crops in the view, int64 (n, 2), top and left.
    """

    reduction: float
    rows: np.ndarray | None
    columns: np.ndarray | None
    offsets: np.ndarray

    @property
    def is_whole(self) -> bool:
        """Whether the view is the image itself."""
        return self.reduction == 1 and self.rows is None

    def of(self, pixels: Tensor) -> Tensor:
        """Return this view of an image (C, H, W), float, 0..255.

        Values of a reduced image are rounded to whole numbers, like the reduced photographs in training. Gradients pass
        through the rounding unchanged.
        """
        if self.rows is not None:
            pixels = pixels[:, self.rows][:, :, self.columns]
        if self.reduction == 1:
            return pixels
        means = _reduced(_reduced(pixels, self.reduction, 1), self.reduction, 2)
        whole = torch.floor(means.detach() + ROUNDED_UP_FROM)
        return whole + (means - means.detach())


def views(
    height: int,
    width: int,
    crop: int,
    crops: int,
    rng: np.random.RandomState,
    *,
    reductions: Sequence[float] = (1,),
    least_side: int | None = None,
    longest_side: int | None = None,
) -> list[View]:
    """Return the views of an image that get at least one crop.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        crop: Side of a crop in pixels.
        crops: Total number of crops. If it cannot be divided evenly, the first views get one more.
        rng: The random numbers; advanced by 2 `crops` draws.
        reductions, least_side, longest_side: See `rankiqa.models.score_sampling.Sampling`.

    Raises:
        ImageError: If the image is too small.
    """
    rows = columns = None
    if least_side is not None and min(height, width) <= crop:
        if min(height, width) < least_side:
            raise ImageError(f"expected both sides of at least {least_side} pixels, got {height} x {width} (H x W)")
        rows, columns = (_mirrored(side, crop) for side in (height, width))
        height, width = len(rows), len(columns)
    first = 1 if longest_side is None else -(-max(height, width) // longest_side)
    most = max(1, min(height, width) / (crop + 1))  # with a larger reduction, a side would not exceed the crop
    result = []
    for number, reduction in enumerate(reductions):
        each = len(range(number, crops, len(reductions)))
        if each:
            by = min(first * reduction, most)
            size = _reduced_side(height, by), _reduced_side(width, by)
            result.append(View(by, rows, columns, crop_offsets(*size, crop, each, rng)))
    return result


def _reduced_side(side: int, by: float) -> int:
    return int(side / by + 1e-9)  # tolerates a quotient that rounding makes slightly smaller than a whole number


def _reduced(pixels: Tensor, by: float, axis: int) -> Tensor:
    """Return the means of every `by` pixels along an axis. A pixel in two windows contributes to both in proportion.

    The sums add whole rows or columns in a fixed order, so the bits depend on neither threads nor the batch.
    """
    side = pixels.shape[axis]
    edges = np.arange(_reduced_side(side, by) + 1) * by
    first, total = edges[:-1].astype(int), None
    for number in range(int(np.ceil(by)) + 1):
        at = first + number
        shares = np.minimum(edges[1:], at + 1) - np.maximum(edges[:-1], at)
        weights = torch.from_numpy(np.maximum(shares, 0) / by).to(pixels)
        part = pixels.index_select(axis, torch.from_numpy(np.minimum(at, side - 1)).to(pixels.device))
        part = part * (weights[:, None] if axis == 1 else weights)
        total = part if total is None else total + part
    assert total is not None
    return total


def _mirrored(side: int, crop: int) -> np.ndarray:
    """Return, for each row of the mirrored image, the row of the original image, int64 (at least crop + 1,)."""
    more = max(0, crop + 1 - side)
    return np.pad(np.arange(side), (more // 2, more - more // 2), mode="symmetric")
