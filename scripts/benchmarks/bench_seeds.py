"""Repeat the rank training of scripts/reproduce (Shallow) with several seeds in the original Caffe and in the port.

A seed determines the initial weights, crops and noise; both engines start from the same weights. Then rounding makes
their trainings differ, because the port uses PyTorch's own matrix products. SROCC is that of the held-out images'
scores with their true level. port_from_caffe: the distance of the means in standard deviations over Caffe's seeds; it
should be at most 1. --rounds N: N seeds.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import build
import engine
import rankiqa
from caffe_client import Live
from rankiqa.cli import main
from rankiqa.models import memory

sys.path.append(str(Path(__file__).resolve().parents[1] / "reproduction"))
import caffe_training
import compare
import distorted_images
import prepared_photographs


def _say(line):
    """Print a line to stderr."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _train_port(job, recipe, seed):
    """Run `rankiqa train` with the settings of `caffe_training.write_networks`; return the final weights' file."""
    start = job / "start.safetensors"
    compare.convert(job / caffe_training.START, start)
    settings = {
        "base_lr": recipe.rank_base_lr, "stepsize": recipe.rank_stepsize, "gamma": recipe.gamma,
        "max_iter": recipe.rank_iterations, "clip_gradients": recipe.rank_clip_gradients, "snapshot": 0,
        "momentum": recipe.momentum, "weight_decay": recipe.weight_decay, "display": 0, "test_interval": 0,
    }  # fmt: skip
    code = main([
        "train", "live-rank", "--arch", "shallow", "--train", str(job / "rank_train.txt"), "--root", str(job),
        "--weights", str(start), "--seed", str(seed), "--out", str(job / "port"), "--cache-mb", "400",
        *(f"--set={name}={value}" for name, value in settings.items()),
    ])  # fmt: skip
    if code:
        raise RuntimeError(f"rankiqa train: exit status {code}")
    return job / "port" / f"live-rank_iter_{recipe.rank_iterations}.safetensors"


def _of_a_seed(caffe, photographs, job, recipe, seed):
    """Return {engine: (SROCC of the held-out images, seconds of the training)}; "start" is the initial network."""
    images = distorted_images.make(photographs, job, seed)
    distorted_images.write_lists(images, job)
    caffe_training.write_networks(caffe, job, recipe, seed)
    caffe_training.write_start(caffe, job, seed)
    final = {}
    start_time = time.monotonic()
    theirs, _ = caffe_training.train(caffe, job, "rank", caffe_training.START, recipe, _say)
    final["caffe"] = (job / "caffe.safetensors", time.monotonic() - start_time)
    compare.convert(theirs, final["caffe"][0])
    start_time = time.monotonic()
    final["port"] = (_train_port(job, recipe, seed), time.monotonic() - start_time)
    final["start"] = (job / "start.safetensors", 0.0)
    held = [image for image in images if image.held_out]
    pixels = [rankiqa.read_image(job / image.file) for image in held]
    offsets = compare.draw_offsets(pixels, recipe.crops, seed)
    levels = np.array([image.level for image in held], float)
    return {
        name: (compare.correlations(compare.score_port(weights, pixels, offsets), levels)["srocc"], seconds)
        for name, (weights, seconds) in final.items()
    }


def measure(rounds):
    """Return ({SROCC or distance: value}, {median: seconds})."""
    memory.keep_freed()
    recipe = caffe_training.Recipe()
    photographs, _ = prepared_photographs.load(None)
    by_engine = {"caffe": [], "port": [], "start": []}
    with engine.engine() as client:
        build.build(client)
        for seed in range(1, rounds + 1):
            with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
                results = _of_a_seed(Live(client), photographs, Path(folder), recipe, seed)
            for name, (srocc, seconds) in results.items():
                by_engine[name].append((srocc, seconds))
            _say(f"seed {seed}: " + ", ".join(f"{name} {srocc:.4f}" for name, (srocc, _) in results.items()))
    srocc = {name: np.array([value for value, _ in values]) for name, values in by_engine.items()}
    numbers = {f"srocc_{name}_mean": float(values.mean()) for name, values in srocc.items()}
    if rounds > 1:
        numbers |= {f"srocc_{name}_deviation": float(values.std(ddof=1)) for name, values in srocc.items()}
        distance = abs(srocc["port"].mean() - srocc["caffe"].mean())
        numbers["port_from_caffe"] = float(distance / srocc["caffe"].std(ddof=1))
    medians = {f"{name}_s": float(np.median([s for _, s in by_engine[name]])) for name in ("caffe", "port")}
    return numbers, medians
