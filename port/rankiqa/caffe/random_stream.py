"""Caffe's CPU random numbers, bit for bit: fillers and dropout masks from one mt19937 stream.

Caffe draws everything from one stream: the fillers of the train net, layer by layer, then those of the TEST net, then
a dropout mask at each forward pass. A `CaffeRandom` is that stream; the caller decides what to draw and in which order.

Source: Caffe 1.0 filler.hpp, math_functions.cpp, dropout_layer.cpp, linked with boost 1.74 (behaviour, not code).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from rankiqa.caffe.fillers import Filler
from rankiqa.caffe.ziggurat import normals

_CHUNK = 1 << 16  # words drawn together; they fit into the cache
_WORD = np.float32(2.0**-32)
_NORMS = ("fan_in", "fan_out", "average")


def _size(shape: Sequence[int], what: str) -> int:
    whole = isinstance(shape, Sequence) and len(shape) > 0 and all(isinstance(n, (int, np.integer)) for n in shape)
    if not whole or min(shape) < 1:
        raise ValueError(f"{what} shape: expected sizes of 1 or more, (n, ..), got {shape!r}")
    return math.prod(shape)


def _fan(shape: Sequence[int], norm: str) -> np.float32:
    """Return n of the xavier and msra fillers."""
    if norm not in _NORMS:
        raise ValueError(f"variance_norm: expected one of {', '.join(_NORMS)}, got {norm!r}")
    size = _size(shape, "weight")
    # CAFFE: fan_out is count / shape(1), which is the number of outputs for an inner product (filler.hpp)
    fan_in, fan_out = size // shape[0], size // shape[1] if len(shape) > 1 else size
    if norm == "average":
        return np.float32(np.float32(fan_in + fan_out) / np.float32(2))
    return np.float32(fan_in if norm == "fan_in" else fan_out)


class CaffeRandom:
    """The random stream of a Caffe process on the CPU after `random_seed: seed`.

    Each call advances the stream and returns a NumPy array of the requested shape, float32 (masks: bool).

    Args:
        seed: 0..2^32 - 1.

    Raises:
        ValueError: For a seed out of range.
    """

    def __init__(self, seed: int):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
            raise ValueError(f"seed: expected a whole number, 0..{2**32 - 1}, got {seed!r}")
        self._stream = np.random.RandomState(int(seed))

    def words(self, n: int) -> np.ndarray:
        """Return the next n words, uint32 (n,). Raises ValueError unless n is a whole number of 0 or more."""
        if not isinstance(n, (int, np.integer)) or n < 0:
            raise ValueError(f"words: expected a whole number of 0 or more, got {n!r}")
        return self._stream.randint(0, 2**32, n, np.uint32)

    def state(self) -> np.ndarray:
        """Return the stream's state, uint32 (625,): mt19937's words, then the position in them."""
        _, words, position, *_ = self._stream.get_state(legacy=True)
        return np.append(words, np.uint32(position))

    def set_state(self, state: np.ndarray) -> None:
        """Restore a state that `state()` returned. Raises ValueError for another array."""
        if state.shape != (625,) or state.dtype != np.uint32 or state[-1] > 624:
            raise ValueError(f"random state: expected uint32 (625,), got {state.dtype} {state.shape}")
        self._stream.set_state(("MT19937", state[:-1], int(state[-1]), 0, 0.0))

    def uniform(
        self, shape: Sequence[int], low: float | np.float32 = 0.0, high: float | np.float32 = 1.0
    ) -> np.ndarray:
        """Draw uniform numbers in low..high, both included. Raises ValueError unless low <= high, both finite."""
        low, high = np.float32(low), np.float32(high)
        if not (low <= high and float(high) - float(low) <= float(np.finfo(np.float32).max)):
            raise ValueError(f"uniform: expected finite numbers, low <= high, got {low} and {high}")
        out = np.empty(_size(shape, "uniform"), np.float32)
        end = np.nextafter(high, np.float32(np.inf))
        span, filled = end - low, 0
        while filled < len(out):
            values = self.words(min(_CHUNK, len(out) - filled)).astype(np.float32)
            values *= _WORD
            values *= span
            values += low
            good = values < end
            if not good.all():  # CAFFE: a number that rounds to `end` is drawn again (boost's uniform_real)
                values = values[good]
            out[filled : filled + len(values)] = values
            filled += len(values)
        return out.reshape(shape)

    def xavier(self, shape: Sequence[int], variance_norm: str = "fan_in") -> np.ndarray:
        """Draw uniform numbers in -s..s, s = sqrt(3 / n).

        Args:
            shape: The parameter's shape.
            variance_norm: Selects n: count / shape[0] ("fan_in"), count / shape[1] ("fan_out") or their mean
                ("average").
        """
        bound = np.sqrt(np.float32(3) / _fan(shape, variance_norm))
        return self.uniform(shape, -bound, bound)

    def gaussian(
        self, shape: Sequence[int], std: float | np.float32 = 1.0, mean: float | np.float32 = 0.0
    ) -> np.ndarray:
        """Draw normal numbers with a mean and a standard deviation above 0. Caffe's `sparse` is not supported."""
        std, mean = np.float32(std), np.float32(mean)
        if not (0 < std < np.inf and np.isfinite(mean)):
            raise ValueError(f"gaussian: expected finite numbers, std > 0, got std {std} and mean {mean}")
        out = np.empty(_size(shape, "gaussian"), np.float32)
        filled, rest = 0, np.empty(0, np.uint32)
        while filled < len(out):
            before = self._stream.get_state()
            drawn = self.words(min(_CHUNK, 2 * (len(out) - filled) + 64))
            words = np.concatenate([rest, drawn])
            values, used = normals(words, len(out) - filled)
            out[filled : filled + len(values)] = values * std + mean
            filled += len(values)
            if filled == len(out):  # return the unused words to the stream, for the next call
                self._stream.set_state(before)
                self.words(used - len(rest))
            rest = words[used:]
        return out.reshape(shape)

    def msra(self, shape: Sequence[int], variance_norm: str = "fan_in") -> np.ndarray:
        """Draw normal numbers with mean 0 and standard deviation sqrt(2 / n), with n as in `xavier`."""
        return self.gaussian(shape, np.sqrt(np.float32(2) / _fan(shape, variance_norm)))

    def constant(self, shape: Sequence[int], value: float = 0.0) -> np.ndarray:
        """Return an array filled with `value`, without drawing from the stream."""
        return np.full(tuple(shape), value, np.float32)

    def dropout_mask(self, shape: Sequence[int], ratio: float) -> np.ndarray:
        """Draw the mask of a dropout layer in phase TRAIN: bool, True (kept) with probability 1 - ratio.

        Raises ValueError for a ratio outside 0..1.
        """
        if not isinstance(ratio, Real) or not 0 <= ratio <= 1:
            raise ValueError(f"dropout ratio: expected 0..1, got {ratio!r}")
        # CAFFE: the ratio is float; 1. - ratio and the comparison are double (dropout_layer.cpp, boost's bernoulli)
        keep = 1.0 - float(np.float32(ratio))
        size = _size(shape, "dropout_mask")
        if keep == 0:  # CAFFE: draws nothing in this case (boost's bernoulli)
            return np.zeros(tuple(shape), bool)
        most = np.uint32(math.floor(keep * (2**32 - 1)))
        return (self.words(size) <= most).reshape(tuple(shape))

    def fill(self, shape: Sequence[int], filler: Filler) -> np.ndarray:
        """Return the initial values that Caffe's filler gives a parameter, float32.

        Args:
            shape: Caffe's shape of the parameter; for weights (out, in / group, kernel, kernel) or (out, in).
            filler: The filler's settings; "constant" draws nothing from the stream.

        Raises:
            ValueError: For an unknown filler type.
        """
        if filler.type == "xavier":
            return self.xavier(shape)
        if filler.type == "gaussian":
            return self.gaussian(shape, filler.std)
        if filler.type == "constant":
            return self.constant(shape, filler.value)
        raise ValueError(f"filler: expected xavier, gaussian or constant, got {filler.type!r}")
