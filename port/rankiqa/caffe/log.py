"""The log of `caffe train`: the wording of its lines and the smoothed loss.

Source: Caffe 1.0 solver.cpp (behaviour, not code).
"""

from __future__ import annotations

import numpy as np


def test_begins(iteration: int) -> str:
    """Return the line before a test phase."""
    return f"Iteration {iteration}, Testing net (#0)"


def test_output(number: int, name: str, value: float) -> str:
    """Return the line for one output of the test net; a loss is followed by its weighted value."""
    weighted = f" (* 1 = {value:.6g} loss)" if name == "loss" else ""
    return f"    Test net output #{number}: {name} = {value:.6g}{weighted}"


def display(
    iteration: int, loss: float, *, done: int, seconds: float, every: int, output_name: str, output: float, rate: float
) -> list[str]:
    """Return the three lines of a displayed iteration.

    Args:
        iteration: The iteration that is displayed.
        loss: The smoothed loss.
        done: Number of iterations since the last displayed one.
        seconds: The duration of these iterations.
        every: The solver's `display`.
        output_name: The name of the loss in the net.
        output: The loss of the last forward pass.
        rate: The learning rate.
    """
    speed = f"{done / seconds:.6g} iter/s, {seconds:.6g}s/{every} iters"
    return [
        f"Iteration {iteration} ({speed}), loss = {loss:.6g}",
        # CAFFE: with iter_size, the output is that of the last pass and the loss is the mean (solver.cpp)
        f"    Train net output #0: {output_name} = {output:.6g} (* 1 = {output:.6g} loss)",
        f"Iteration {iteration}, lr = {rate:.6g}",
    ]


def last_loss(iteration: int, loss: float) -> str:
    """Return the line of the forward pass after the last iteration."""
    return f"Iteration {iteration}, loss = {loss:.6g}"


class SmoothedLoss:
    """The running mean of the last `window` losses, computed in float32 like Caffe (average_loss)."""

    def __init__(self, window: int):
        self.window, self.mean, self.at = window, np.float32(0), 0
        self.losses: list[np.float32] = []

    def add(self, loss: np.float32) -> np.float32:
        """Add a loss and return the mean."""
        size = len(self.losses)
        if size < self.window:
            self.losses.append(loss)
            self.mean = np.float32((self.mean * np.float32(size) + loss) / np.float32(size + 1))
        else:
            self.mean = np.float32(self.mean + (loss - self.losses[self.at % size]) / np.float32(self.window))
            self.losses[self.at % size] = loss
        self.at += 1
        return self.mean
