"""Compare the efficient method with a standard Siamese network that computes the same pairs.

Shapes: N images of a minibatch, P their pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.image_lists import ImageList
from rankiqa.data.minibatches import Crops
from rankiqa.data.order import RankOrder
from rankiqa.experiments.csv_tables import read_csv, write_csv
from rankiqa.training.presets import RankPreset
from rankiqa.training.recipe import ORIGINAL
from rankiqa.training.setup import first_network
from rankiqa.training.tasks import RankTask

COLUMNS = (
    "method", "pairs", "images_forwarded", "seconds", "loss", "gradient_difference", "ratio_images", "ratio_seconds",
    "paper_ratio",
)  # fmt: skip
REPEATS = 4


def measured(path: Path, arch: str, preset: RankPreset, images: ImageList, seed: int) -> list[dict]:
    """Time the forward and backward pass of one minibatch by both methods. The result is stored in `path` and reused.

    Args:
        path: The CSV file.
        arch: The network, with new weights and without dropout.
        preset: Levels, distortions and margin; one photograph of each distortion at every level is used.
        images: The training list.
        seed: The seed of weights, images and crops.

    Returns:
        One row per method. gradient_difference: the largest difference between the gradients of both methods, relative
            to the largest gradient. paper_ratio: n - 1 for n levels.
    """
    stored = read_csv(path)
    if stored:
        return [_numbers(row) for row in stored]
    preset = preset.but(images=1)
    task, model = RankTask(preset), first_network(preset, arch, CaffeRandom(seed), ORIGINAL, test_net=False)
    model.eval()
    crops = Crops(images, spec=model.input_spec, seed=seed)
    order = task.order(images, seed, crops.quirks)
    assert isinstance(order, RankOrder)  # true for every list
    keys = next(iter(order))
    batch = torch.stack([crops[line, number][0] for line, number in keys])
    pairs = [
        (group * preset.levels + i, group * preset.levels + j)
        for group in range(preset.groups) for i in range(preset.levels) for j in range(i + 1, preset.levels)
    ]  # fmt: skip
    first, second = (batch[[pair[side] for pair in pairs]] for side in (0, 1))

    def efficient() -> Tensor:
        return task.loss(model(batch).squeeze(1), torch.empty(0))

    def standard() -> Tensor:
        difference = model(first).squeeze(1) - model(second).squeeze(1)
        return (preset.margin - difference).clamp_min(0).sum() / len(batch)

    methods = {"efficient": (efficient, len(batch)), "standard Siamese": (standard, 2 * len(pairs))}
    passes: dict[str, list[tuple[float, float, Tensor]]] = {name: [] for name in methods}
    for _ in range(REPEATS + 1):  # alternate, so that load on the machine affects both; the first pass is a warm-up
        for name, (loss_of, _) in methods.items():
            passes[name].append(_timed(model, loss_of))
    rows, gradients = [], []
    for name, (_, count) in methods.items():
        seconds = min(timed[0] for timed in passes[name][1:])  # other programs can only add time, so take the minimum
        _, loss, gradient = passes[name][-1]
        gradients.append(gradient)
        rows.append({"method": name, "pairs": len(pairs), "images_forwarded": count, "seconds": seconds, "loss": loss})
    largest = float(gradients[0].abs().max()) or 1.0
    difference = float((gradients[0] - gradients[1]).abs().max()) / largest
    for row in rows:
        row |= {
            "gradient_difference": difference,
            "ratio_images": row["images_forwarded"] / rows[0]["images_forwarded"],
            "ratio_seconds": row["seconds"] / rows[0]["seconds"],
            "paper_ratio": 1 if row is rows[0] else preset.levels - 1,
        }
    write_csv(path, COLUMNS, rows)
    return rows


def _numbers(row: dict[str, str]) -> dict:
    whole = ("pairs", "images_forwarded", "paper_ratio")
    return {
        name: value if name == "method" else (int if name in whole else float)(value) for name, value in row.items()
    }


def _timed(model: torch.nn.Module, loss_of: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Return (seconds, loss, gradient as a vector) of a forward and backward pass."""
    model.zero_grad()
    begin = time.perf_counter()
    loss = loss_of()
    loss.backward()
    seconds = time.perf_counter() - begin
    return seconds, float(loss.item()), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
