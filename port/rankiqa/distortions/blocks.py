"""Distortions by patches at random positions: NEPN, BW."""

from __future__ import annotations

import numpy as np

from rankiqa.distortions.randint import randint_inclusive
from rankiqa.distortions.rounding import to_uint8

PATCH, MOVED, MARGIN = 15, 5, 30
BLOCK = 32


def _need(image: np.ndarray, name: str, height: int, width: int) -> None:
    """Raise ValueError for an image below height x width pixels."""
    if image.shape[0] < height or image.shape[1] < width:
        got = f"{image.shape[0]} x {image.shape[1]}"
        raise ValueError(f"distort: {name} needs at least {height} x {width} pixels (H x W), got {got}")


def displaced_patches(image: np.ndarray, patches: float, rng) -> np.ndarray:
    """Replace 15 x 15 patches by the pixels five rows below and five columns to the right (NEPN).

    Args:
        image: uint8 (H, W, 3) RGB, at least 31 x 31.
        patches: The number of patches.
        rng: A numpy RandomState or Generator.

    Raises:
        ValueError: Below 31 x 31 pixels.

    Source:
        Upstream data/rank_tid2013/nepn.m.
    """
    _need(image, "NEPN", MARGIN + 1, MARGIN + 1)
    height, width = image.shape[:2]
    changed = image.copy()
    for _ in range(int(patches)):
        top, left = randint_inclusive(rng, 0, height - MARGIN - 1), randint_inclusive(rng, 0, width - MARGIN - 1)
        # UPSTREAM: reads from the original picture, even where an earlier patch has changed it.
        source = image[top + MOVED : top + MOVED + PATCH, left + MOVED : left + MOVED + PATCH]
        changed[top : top + PATCH, left : left + PATCH] = source
    return changed


def colour_of_blocks(image: np.ndarray, blocks: float) -> np.ndarray:
    """Return the uint8 colour (3,) of the blocks: the image's mean colour, with another red for less than 16 blocks."""
    # MATLAB: mean(mean()) averages the columns first and then adds their means one by one.
    columns = image.sum(0) / image.shape[0]
    red, green, blue = np.cumsum(columns, 0)[-1] / image.shape[1]
    if blocks < 4:
        red = 0.0
    elif blocks < 16:
        red += 50 if blocks < 8 else 30
    return to_uint8(np.array([red, green, blue]))


def colour_blocks(image: np.ndarray, blocks: float, rng) -> np.ndarray:
    """Cover 32 x 32 blocks with one colour, which differs more from the picture's mean the fewer blocks there are (BW).

    Args:
        image: uint8 (H, W, 3) RGB, at least 33 x 34.
        blocks: The number of blocks.
        rng: A numpy RandomState or Generator.

    Raises:
        ValueError: Below 33 x 34 pixels.

    Source:
        Upstream data/rank_tid2013/BlockWise.m.
    """
    _need(image, "BW", BLOCK + 1, BLOCK + 2)
    height, width = image.shape[:2]
    colour = colour_of_blocks(image, blocks)
    changed = image.copy()
    for _ in range(int(blocks)):
        top = randint_inclusive(rng, 0, height - BLOCK - 1)
        left = randint_inclusive(rng, 1, width - BLOCK - 1)  # UPSTREAM: the first column is never covered
        changed[top : top + BLOCK, left : left + BLOCK] = colour
    return changed
