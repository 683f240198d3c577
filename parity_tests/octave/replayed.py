"""A random generator that returns given numbers in MATLAB's order."""

import numpy as np


class Replayed:
    """A replacement for numpy's generator that returns given numbers; `used` counts the numbers drawn so far."""

    def __init__(self, numbers):
        self.numbers, self.used = np.asarray(numbers, np.float64), 0

    def _take(self, size):
        shape = () if size is None else tuple(np.atleast_1d(size))
        count = int(np.prod(shape))
        assert self.used + count <= self.numbers.size, f"expected at most {self.numbers.size} numbers to be drawn"
        drawn = self.numbers[self.used : self.used + count]
        self.used += count
        return drawn.reshape(shape, order="F") if shape else float(drawn[0])  # MATLAB fills column by column

    def standard_normal(self, size=None):
        return self._take(size)

    def uniform(self, low=0.0, high=1.0, size=None):
        return low + (high - low) * self._take(size)


def matlab_salt_and_pepper(numbers, density):
    """Translate numbers so that MATLAB's rule changes the same values as Octave's rule does with the given ones.

    MATLAB: black where u < d/2, white where d/2 <= u < d. Octave: black where u <= d/2, white where u >= 1 - d/2.
    """
    u = np.asarray(numbers, np.float64)
    black, white = u <= density / 2, u >= 1 - density / 2
    return np.where(black, density / 8, np.where(white, density * 3 / 4, density + (1 - density) / 2))
