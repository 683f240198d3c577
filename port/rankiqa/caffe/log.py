"""What `caffe train` prints of a training: the smoothed loss and the wording of its lines.

Source: Caffe 1.0 solver.cpp (behaviour, not code).
"""

from __future__ import annotations

import numpy as np


def test_begins(iteration: int) -> str:
    """The line before a test phase."""
    return f"Iteration {iteration}, Testing net (#0)"


def test_output(number: int, name: str, value: float) -> str:
    """One output of the test net; a loss carries its weighted value."""
    weighted = f" (* 1 = {value:.6g} loss)" if name == "loss" else ""
    return f"    Test net output #{number}: {name} = {value:.6g}{weighted}"


def display(
    iteration: int, loss: float, *, done: int, seconds: float, every: int, output_name: str, output: float, rate: float
) -> list[str]:
    """The three lines of a displayed iteration.

    Args:
        iteration: The iteration that is displayed.
        loss: The smoothed loss.
        done: Iterations since the last displayed one.
        seconds: The time that they took.
        every: `display` of the solver.
        output_name: Name of the loss in the net.
        output: The loss of the last forward pass.
        rate: The learning rate.
    """
    speed = f"{done / seconds:.6g} iter/s, {seconds:.6g}s/{every} iters"
    return [
        f"Iteration {iteration} ({speed}), loss = {loss:.6g}",
        # CAFFE: with iter_size, the output is the last pass's, the loss the mean (solver.cpp)
        f"    Train net output #0: {output_name} = {output:.6g} (* 1 = {output:.6g} loss)",
        f"Iteration {iteration}, lr = {rate:.6g}",
    ]


def last_loss(iteration: int, loss: float) -> str:
    """The line of the forward pass after the last iteration."""
    return f"Iteration {iteration}, loss = {loss:.6g}"


class SmoothedLoss:
    """The mean of the last `window` losses, summed in float32 as Caffe does (average_loss)."""

    def __init__(self, window: int):
        self.window, self.mean, self.at = window, np.float32(0), 0
        self.losses: list[np.float32] = []

    def add(self, loss: np.float32) -> np.float32:
        """Take one more loss; returns the mean."""
        size = len(self.losses)
        if size < self.window:
            self.losses.append(loss)
            self.mean = np.float32((self.mean * np.float32(size) + loss) / np.float32(size + 1))
        else:
            self.mean = np.float32(self.mean + (loss - self.losses[self.at % size]) / np.float32(self.window))
            self.losses[self.at % size] = loss
        self.at += 1
        return self.mean
