"""Train RankIQA (Shallow) in the original Caffe with our prototxts, our data layers and `caffe train`."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import caffemodel
from caffe_client import Live

ARCH = "shallow"
SEED = 1
NETS = "/opt/caffe_ref/nets.py"  # in the container
UNTRAINED, START = "xavier.caffemodel", "start.caffemodel"


@dataclass(frozen=True)
class Recipe:
    """The settings of a run, found by experiment so that two cores train in about two minutes."""

    rank_iterations: int = 120
    rank_base_lr: float = 2e-5
    rank_stepsize: int = 60
    rank_clip_gradients: float = 300  # the first gradients are large, because the input is 0..255
    ft_iterations: int = 120
    ft_batch: int = 12  # the original uses 30
    ft_base_lr: float = 3e-6
    ft_stepsize: int = 40
    ft_clip_gradients: float = 1000
    gamma: float = 0.5  # Caffe's momentum contains the old rate, so a sharper drop would leave it too large
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crops: int = 10  # per scored image (the original uses 30)


def write_networks(caffe: Live, folder: Path, recipe: Recipe, seed: int) -> None:
    """Write the four networks and two solvers of caffe_ref/nets.py into `folder` as prototxt files."""
    commands = []
    for task in ("rank", "ft"):
        data = {"seed": seed, "cache_mb": 400}
        data.update({phase: {"list": f"{task}_{phase.lower()}.txt"} for phase in ("TRAIN", "TEST")})
        if task == "ft":
            data["TRAIN"]["batch"] = recipe.ft_batch
        solver = {
            "net": f"{task}_train.prototxt",
            "base_lr": getattr(recipe, f"{task}_base_lr"),
            "stepsize": getattr(recipe, f"{task}_stepsize"),
            "gamma": recipe.gamma,
            "max_iter": getattr(recipe, f"{task}_iterations"),
            "clip_gradients": getattr(recipe, f"{task}_clip_gradients"),
            "momentum": recipe.momentum,
            "weight_decay": recipe.weight_decay,
            "test_iter": [1],
            "test_interval": 20 if task == "rank" else 40,
            "display": 5,
            "average_loss": 5,
            "snapshot": 10 * getattr(recipe, f"{task}_iterations"),  # only the one at the end
            "snapshot_prefix": task,
            "random_seed": seed,
            "solver_mode": "CPU",
        }
        names = f"{ARCH} {task} live"
        commands += [
            f"python3 {NETS} net {names} train --data {shlex.quote(json.dumps(data))} > {task}_train.prototxt",
            f"python3 {NETS} net {names} deploy > {task}_deploy.prototxt",
            f"python3 {NETS} solver {names} --set {shlex.quote(json.dumps(solver))} > {task}_solver.prototxt",
        ]
    caffe.run(["sh", "-c", " && ".join(commands)], folder)
    (folder / "recipe.json").write_text(json.dumps({**asdict(recipe), "seed": seed}, indent=1))


def write_start(caffe: Live, folder: Path, seed: int) -> None:
    """Write the initial weights: UNTRAINED, as Caffe's fillers draw them, and START, for the training.

    START equals UNTRAINED except that conv1's 3x3 filters sum to zero. The input is 0..255 without mean subtraction,
    and a xavier filter responds almost only to the mean: with UNTRAINED, the same scores take about four times as many
    iterations. The original does not have this problem, because it starts from ImageNet's filters.
    """
    job = {"name": "filled", "kind": "forward", "net": "net.prototxt", "seed": seed, "return": ["caffemodel"]}
    answer = caffe.ask("reproduce/start", [job], files={"net.prototxt": folder / "rank_deploy.prototxt"})
    drawn = folder / UNTRAINED
    drawn.write_bytes(answer.array("filled/caffemodel").tobytes())
    net = caffemodel.read(drawn)
    (filters,) = (layer.blobs[0] for layer in net.layers if layer.name == "conv1")
    weights = filters.float32()  # (32, 3, 3, 3)
    filters.assign(weights - weights.mean((2, 3), keepdims=True, dtype=np.float64).astype(np.float32))
    caffemodel.write(net, folder / START)


def train(caffe: Live, folder: Path, task: str, weights: str, recipe: Recipe, progress) -> tuple[Path, dict]:
    """Run `caffe train` for one task and write its log to TASK.log.

    Args:
        caffe: The original in its container.
        folder: The folder with the networks, solvers and lists.
        task: "rank" or "ft".
        weights: The name of the initial weights in the folder.
        recipe: The settings.
        progress: Called with a line every 20 iterations.

    Returns:
        (the final caffemodel, the loss curves as `curves` returns them).
    """
    iterations = getattr(recipe, f"{task}_iterations")

    def watch(line: str) -> None:
        """Report the progress from a line of the log."""
        if match := ITERATION.search(line):
            number = int(match[1])
            if number and number % 20 == 0:
                progress(f"iteration {number} of {iterations}, loss {float(match[2]):.3g}")

    # One BLAS thread: more are not faster for such small matrices, and the sums are the same for any number of cores
    command = ["env", "OPENBLAS_NUM_THREADS=1", "caffe", "train", f"--solver={task}_solver.prototxt"]
    log = caffe.run([*command, f"--weights={weights}"], folder, watch)
    (folder / f"{task}.log").write_text(log)
    return folder / f"{task}_iter_{iterations}.caffemodel", curves(log)


ITERATION = re.compile(r"\] Iteration (\d+) .*loss = (\S+)$")
TESTING = re.compile(r"\] Iteration (\d+), Testing net")
TESTED = re.compile(r"Test net output #\d+: (\w+) = (\S+)")


def curves(log: str) -> dict[str, list[list[float]]]:
    """Read the losses from Caffe's log: {"train": [[iteration, loss], ..], "test_NAME": the same for a test output}."""
    points: dict[str, list[list[float]]] = {"train": []}
    iteration = 0
    for line in log.splitlines():
        if match := TESTING.search(line):
            iteration = int(match[1])
        elif match := TESTED.search(line):
            points.setdefault(f"test_{match[1]}", []).append([iteration, float(match[2])])
        elif match := ITERATION.search(line):
            points["train"].append([int(match[1]), float(match[2])])
    return points
