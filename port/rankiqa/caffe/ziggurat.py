"""Normal random numbers from 32-bit words as in boost 1.74: Marsaglia and Tsang's ziggurat, 128 layers, float32.

Source: Marsaglia and Tsang 2000; boost 1.74 random/{normal,exponential}_distribution.hpp (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache

import numpy as np

_ONE = np.float32(1)
# The start of the tail and the area of a layer, chosen such that the topmost layer ends at x = 0
_NORMAL = ("3.44261985589665212142432049146733970433759739", "0.00991256303533646107909568530581016219737970128")
_EXPONENTIAL = ("7.69711747013104971404462804801521549911396864", "0.00394965982258155721997757195681486109191281237")


@cache
def _layers(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the layers' right ends x and heights y, float64 (129,) or (257,), lowest layer first (x decreases)."""
    with localcontext() as context:
        context.prec = 45
        if kind == "normal":
            (start, area), count = map(Decimal, _NORMAL), 128

            def height(x):
                return (-x * x / 2).exp()

            def end(y):
                return (-2 * y.ln()).sqrt()
        else:
            (start, area), count = map(Decimal, _EXPONENTIAL), 256

            def height(x):
                return (-x).exp()

            def end(y):
                return -y.ln()

        x = [area / height(start), start]
        while len(x) < count:
            x.append(end(area / x[-1] + height(x[-1])))
        x.append(Decimal(0))
        y = [Decimal(0), *(height(value) for value in x[1:])]
        return np.array([float(v) for v in x]), np.array([float(v) for v in y])


def _under(kind: str, layer, x, height_word):
    """Return whether the point at x, at a random height of its layer, is under the curve. Float32 arrays or scalars."""
    ends, heights = _layers(kind)
    end, y_end = ends[layer].astype(np.float32), heights[layer].astype(np.float32)
    step = (ends[layer] - ends[layer + 1]).astype(np.float32)
    rise = (heights[layer + 1] - heights[layer]).astype(np.float32)
    u = height_word.astype(np.float32) * np.float32(2.0**-32)
    y = y_end + u * rise
    chord = step * u - (end - x)
    if kind == "normal":
        tangent = y - (y_end + (end - x) * y_end * end)
        convex = ends[layer] >= 1
        upper, lower = np.where(convex, chord, tangent), np.where(convex, tangent, chord)
        curve = np.exp(-(x * x / np.float32(2)).astype(np.float64)).astype(np.float32)  # rounds like glibc's expf
    else:
        next_end, next_y = ends[layer + 1].astype(np.float32), heights[layer + 1].astype(np.float32)
        upper, lower = chord, y - (next_y + (next_end - x) * next_y)
        curve = np.exp(-x.astype(np.float64)).astype(np.float32)
    return (upper < 0) & ((lower < 0) | (y < curve))


def _height_word(take: Callable[[], np.uint32]) -> np.uint32:
    word = take()
    while np.float32(word) * np.float32(2.0**-32) >= _ONE:  # it rounds to 1, so boost draws again
        word = take()
    return word


def _exponential(take: Callable[[], np.uint32]) -> np.float32:
    """Draw an exponential number of mean 1 (float32)."""
    ends, _ = _layers("exponential")
    shift = np.float32(0)
    while True:
        word = take()
        layer = int(word & np.uint32(255))
        x = np.float32(word >> np.uint32(8)) * np.float32(2.0**-24) * np.float32(ends[layer])
        if x < np.float32(ends[layer + 1]):
            return shift + x
        if layer == 0:
            shift += np.float32(ends[1])
        elif _under("exponential", layer, x, _height_word(take)):
            return x + shift


def _tail(take: Callable[[], np.uint32]) -> np.float32:
    """Draw a number from the tail beyond the lowest layer."""
    start = np.float32(_layers("normal")[0][1])
    while True:
        x, y = _exponential(take) / start, _exponential(take)
        if 2 * y > x * x:
            return x + start


def _special(words: np.ndarray, at: int, layer: int, x: np.float32) -> tuple[np.float32, bool, int]:
    """Draw from the tail, or draw a height again; return (x, accepted, index of the next draw's first word)."""
    index = at

    def take() -> np.uint32:
        nonlocal index
        index += 1
        return words[index]

    if layer == 0:
        return _tail(take), True, index + 1
    return x, bool(_under("normal", layer, x, _height_word(take))), index + 1


def normals(words: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Convert a sequence of words to normal numbers.

    Args:
        words: uint32 (W,).
        most: The maximum number of normal numbers.

    Returns:
        The numbers, float32, at most `most`, and the number of words used. Words at the end that are too few for
        another number are not used.
    """
    ends, _ = _layers("normal")
    layer = ((words & np.uint32(255)) >> np.uint32(1)).astype(np.intp)
    x = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24) * ends.astype(np.float32)[layer]
    slow = np.flatnonzero(~(x < ends[layer + 1]))  # the other draws, about 99%, are certainly under the curve
    heights = words[np.minimum(slow + 1, len(words) - 1)]
    under = _under("normal", layer[slow], x[slow], heights)
    special = (layer[slow] == 0) | (heights.astype(np.float32) * np.float32(2.0**-32) >= _ONE)
    keep, following, at, used = np.ones(len(words), bool), {}, 0, len(words)
    for p, accepted, is_special in zip(slow.tolist(), under.tolist(), special.tolist(), strict=True):
        if p < at:  # the draw before used this word
            continue
        try:
            if p + 1 >= len(words):
                raise IndexError
            at = p + 2
            if is_special:
                x[p], accepted, at = _special(words, p, int(layer[p]), np.float32(x[p]))
        except IndexError:  # the words end before this draw is complete
            used = p
            break
        keep[p + 1 : at] = False
        keep[p] = accepted
        following[p] = at
    keep[used:] = False
    starts = np.flatnonzero(keep)
    if len(starts) >= most:
        starts = starts[:most]
        last = int(starts[-1])
        used = following.get(last, last + 1)
    return np.where(words[starts] & np.uint32(1), x[starts], -x[starts]), used
