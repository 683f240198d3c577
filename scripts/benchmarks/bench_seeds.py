"""Trainings of scripts/reproduce over several seeds: the ranking of Shallow by the original Caffe and by the port.

A seed decides starting weights, crops and noise; both engines start from the same weights. Afterwards rounding makes
them two trainings (the port multiplies by PyTorch's own products). SROCC is that of held-out images' scores with their
true level. port_from_caffe: how far the means are apart, in standard deviations of Caffe's seeds: at most 1 is wanted.
--rounds N: N seeds.
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
import chosen_photographs
import compare
import distorted_images


def _say(line):
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _train_port(job, recipe, seed):
    """`rankiqa train` with the settings of `caffe_training.write_networks`; the weights that it ends at."""
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
    """{engine: (SROCC of held-out images, seconds of the training)}; "start": before."""
    images = distorted_images.make(photographs, job, seed)
    distorted_images.write_lists(images, job)
    caffe_training.write_networks(caffe, job, recipe, seed)
    caffe_training.write_start(caffe, job, seed)
    ends = {}
    begun = time.monotonic()
    theirs, _ = caffe_training.train(caffe, job, "rank", caffe_training.START, recipe, _say)
    ends["caffe"] = (job / "caffe.safetensors", time.monotonic() - begun)
    compare.convert(theirs, ends["caffe"][0])
    begun = time.monotonic()
    ends["port"] = (_train_port(job, recipe, seed), time.monotonic() - begun)
    ends["start"] = (job / "start.safetensors", 0.0)
    held = [image for image in images if image.held_out]
    pixels = [rankiqa.read_image(job / image.file) for image in held]
    offsets = compare.draw_offsets(pixels, recipe.crops, seed)
    levels = np.array([image.level for image in held], float)
    return {
        name: (compare.correlations(compare.score_port(weights, pixels, offsets), levels)["srocc"], seconds)
        for name, (weights, seconds) in ends.items()
    }


def measure(rounds):
    memory.keep_freed()
    recipe = caffe_training.Recipe()
    photographs, _ = chosen_photographs.load(None)
    by_engine = {"caffe": [], "port": [], "start": []}
    with engine.engine() as client:
        build.build(client)
        for seed in range(1, rounds + 1):
            with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
                found = _of_a_seed(Live(client), photographs, Path(folder), recipe, seed)
            for name, (srocc, seconds) in found.items():
                by_engine[name].append((srocc, seconds))
            _say(f"seed {seed}: " + ", ".join(f"{name} {srocc:.4f}" for name, (srocc, _) in found.items()))
    srocc = {name: np.array([value for value, _ in values]) for name, values in by_engine.items()}
    numbers = {f"srocc_{name}_mean": float(values.mean()) for name, values in srocc.items()}
    if rounds > 1:
        numbers |= {f"srocc_{name}_deviation": float(values.std(ddof=1)) for name, values in srocc.items()}
        apart = abs(srocc["port"].mean() - srocc["caffe"].mean())
        numbers["port_from_caffe"] = float(apart / srocc["caffe"].std(ddof=1))
    medians = {f"{name}_s": float(np.median([s for _, s in by_engine[name]])) for name in ("caffe", "port")}
    return numbers, medians
