"""Colour quantisation with dithering (CQD)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from rankiqa.distortions.rounding import to_uint8

BITS = 5  # of each channel; colours with the same bits share a cell when the palette is made
SIDE = 1 << BITS


def _moments(image: np.ndarray) -> np.ndarray:
    """Return cumulative moments, (5, 33, 33, 33): count, sums of R, G, B and of their squares below each corner."""
    colours = image.reshape(-1, 3)
    cells = (colours >> (8 - BITS)).astype(np.int64) @ [SIDE * SIDE, SIDE, 1]
    wide = colours.astype(np.float64)
    sums = [np.bincount(cells, minlength=SIDE**3)]
    sums += [np.bincount(cells, weights, SIDE**3) for weights in (*wide.T, (wide**2).sum(1))]
    moments = np.zeros((5, SIDE + 1, SIDE + 1, SIDE + 1))
    moments[:, 1:, 1:, 1:] = np.reshape(sums, (5, SIDE, SIDE, SIDE))
    return moments.cumsum(1).cumsum(2).cumsum(3)


def _inside(moments: np.ndarray, low: tuple, high: tuple) -> np.ndarray:
    """Return the sums of boxes low..high (exclusive) of the colour cube, (5, N); a bound may be an array (N,)."""
    total = np.zeros(1)
    for corner in np.ndindex(2, 2, 2):
        at = [np.atleast_1d(bounds[axis]) for axis, bounds in enumerate((low, high)[c] for c in corner)]
        total = total + (-1) ** (3 - sum(corner)) * moments[:, at[0], at[1], at[2]]
    return total


def _spread(moments: np.ndarray, low: tuple, high: tuple) -> float:
    """Return the summed squared distance of a box's pixels from their mean."""
    sums = _inside(moments, low, high)[:, 0]
    return float(sums[4] - (sums[1:4] ** 2).sum() / sums[0]) if sums[0] else 0.0


def _best_cut(moments: np.ndarray, low: tuple, high: tuple):
    """Return (explained sum, axis, position) of the cut that leaves the least variance; None for a single cell."""
    best = None
    for axis in range(3):
        positions = np.arange(low[axis] + 1, high[axis])
        if not len(positions):
            continue
        first = _inside(moments, low, (*high[:axis], positions, *high[axis + 1 :]))
        second = _inside(moments, (*low[:axis], positions, *low[axis + 1 :]), high)
        explained = np.where(
            (first[0] > 0) & (second[0] > 0),
            (first[1:4] ** 2).sum(0) / np.maximum(first[0], 1) + (second[1:4] ** 2).sum(0) / np.maximum(second[0], 1),
            -1.0,
        )
        index = int(explained.argmax())
        if explained[index] >= 0 and (best is None or explained[index] > best[0]):
            best = (float(explained[index]), axis, int(positions[index]))
    return best


def minimum_variance_palette(image: np.ndarray, colours: int) -> np.ndarray:
    """Choose a palette by repeatedly cutting the colour cube where the variance is largest.

    Args:
        image: uint8 (H, W, 3) RGB.
        colours: The largest number of colours.

    Returns:
        uint8 (N, 3).

    Source:
        Wu, Efficient statistical computations for optimal color quantization, Graphics Gems II, 1991. MATLAB's rgb2ind
        is a minimum-variance quantiser, too; its code is not published.
    """
    moments = _moments(image)
    whole = ((0, 0, 0), (SIDE, SIDE, SIDE))
    boxes: list[tuple] = [(_spread(moments, *whole), *whole)]
    while len(boxes) < colours:
        boxes.sort(key=lambda box: box[0])
        spread, low, high = boxes.pop()
        cut = _best_cut(moments, low, high) if spread > 0 else None
        if cut is None:
            boxes.append((0.0, low, high))
            if not any(box[0] > 0 for box in boxes):
                break
            continue
        _, axis, position = cut
        for part in (
            (low, (*high[:axis], position, *high[axis + 1 :])),
            ((*low[:axis], position, *low[axis + 1 :]), high),
        ):
            boxes.append((_spread(moments, *part), *part))
    sums = np.concatenate([_inside(moments, low, high) for _, low, high in boxes], 1).T
    return to_uint8(sums[:, 1:4] / sums[:, :1])


def dithered(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the image in these colours (N, 3), by Floyd and Steinberg's error diffusion, row by row from the left."""
    palette = Image.new("P", (1, 1))
    filled = np.resize(colours, (256, 3)) if len(colours) < 256 else colours  # Pillow would fill up with black
    palette.putpalette(filled.tobytes())
    indexed = Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return np.array(indexed.convert("RGB"))


def colour_quantisation(image: np.ndarray, colours: float, rng: object) -> np.ndarray:
    """Reduce the image to this many of its own colours, with dithering (CQD).

    Source:
        Upstream data/rank_tid2013/tid2013_generator.m (rgb2ind, ind2rgb).
    """
    return dithered(image, minimum_variance_palette(image, int(colours)))
