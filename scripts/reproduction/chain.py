"""The chain of the comparison, with live Caffe or with its recorded answers."""

from __future__ import annotations

import contextlib
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import caffe_training
import compare
import distorted_images
import numpy as np
import recorded_run
from compare import CaffeSide, Compared
from prepared_photographs import Photograph

from caffe_client import Live


class Progress:
    """Print lines to stderr with the time since the start, and measure the time of each step."""

    def __init__(self):
        self.began, self.timings = time.monotonic(), {}

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"reproduce: {time.monotonic() - self.began:4.0f} s  {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, name: str, text: str):
        """Print a line and measure the time of the block."""
        self.say(text)
        start = time.monotonic()
        yield
        self.timings[name] = round(time.monotonic() - start, 1)


def live(
    caffe: Live,
    photographs: list[Photograph],
    folder: Path,
    recipe: caffe_training.Recipe,
    seed: int,
    progress: Progress,
) -> Compared:
    """Distort the photographs, train and score in Caffe, convert, and score in the port.

    While Caffe trains (on one thread, so that runs are repeatable), scores are computed on the other cores.

    Args:
        caffe: The original in its container.
        photographs: The photographs.
        folder: The output folder.
        recipe: The settings.
        seed: The seed of noise, crops and training.
        progress: Prints and measures the steps.
    """
    job = folder / "caffe"
    with progress.step("distort", f"distorting {len(photographs)} photographs: GB GN JPEG JP2K at five levels"):
        images = distorted_images.make(photographs, job, seed)
        distorted_images.write_lists(images, job)
    held = [image for image in images if image.held_out]
    pixels = [compare.rankiqa.read_image(job / image.file) for image in held]
    offsets = compare.draw_offsets(pixels, recipe.crops, seed)
    crops = compare.layer_input(held, pixels, offsets)
    with progress.step(
        "networks", "writing networks, solvers and starting weights (caffe_ref/nets.py, Caffe's fillers)"
    ):
        caffe_training.write_networks(caffe, job, recipe, seed)
        caffe_training.write_start(caffe, job, seed)
    scores, layers, port, equal, read, curves = {}, {}, {}, {}, [], {}

    def ask(name: str, model: Path) -> None:
        """Get Caffe's answers for a network."""
        at = offsets if name in compare.TRAINED else offsets[:, : compare.UNTRAINED_CROPS]
        scores[name], digests, layer_errors = compare.ask_caffe(caffe, job, name, model, held, at, crops)
        if name in compare.TRAINED:
            layers[name] = layer_errors
            read[:] = digests

    def baselines() -> None:
        """Get Caffe's answers for the networks that were not trained."""
        ask("untrained", job / caffe_training.UNTRAINED)
        ask("start", job / caffe_training.START)

    def both(name: str, model: Path) -> None:
        """Get the answers of Caffe and of the port for a network."""
        ask(name, model)
        port[name] = score_in_port(name, model)

    def score_in_port(name: str, model: Path) -> np.ndarray:
        """Convert a network and return the port's scores."""
        weights = folder / f"{name}.safetensors"
        equal[name] = compare.convert(model, weights)
        return compare.score_port(weights, pixels, offsets)

    with ThreadPoolExecutor(max_workers=1) as beside:
        waiting: list[Future] = [beside.submit(baselines)]
        with progress.step("rank_training", f"rank training in Caffe: {recipe.rank_iterations} iterations of 48 crops"):
            rank, curves["rank"] = caffe_training.train(caffe, job, "rank", caffe_training.START, recipe, progress.say)
        waiting.append(beside.submit(both, "rank", rank))
        with progress.step(
            "fine_tuning", f"fine-tuning in Caffe: {recipe.ft_iterations} iterations of {recipe.ft_batch} crops"
        ):
            ft, curves["ft"] = caffe_training.train(caffe, job, "ft", rank.name, recipe, progress.say)
        with progress.step(
            "scoring", f"scoring {len(held)} held-out images, {recipe.crops} crops each, in Caffe and the port"
        ):
            waiting.append(beside.submit(ask, "ft", ft))
            port["ft"] = score_in_port("ft", ft)
            for future in waiting:
                future.result()
    side = CaffeSide(held, read, offsets, crops, {"rank": rank, "ft": ft}, scores, layers, curves)
    return Compared(side, pixels, port, equal, [])


def recorded(photographs: list[Photograph], folder: Path, side: CaffeSide, seed: int, progress: Progress) -> Compared:
    """Do the same with the recording: create only the held-out images, and compare those with the recorded pixels."""
    job = folder / "caffe"
    with progress.step("distort", "distorting the held-out photographs: GB GN JPEG JP2K at five levels"):
        images = distorted_images.make([photograph for photograph in photographs if photograph.held_out], job, seed)
        side, left_out = recorded_run.only(side, {image.name: image.digest for image in images})
    pixels = [compare.rankiqa.read_image(job / image.file) for image in side.images]
    port, equal = {}, {}
    with progress.step("scoring", f"scoring {len(side.images)} held-out images in the port, on the recorded crops"):
        for name in compare.TRAINED:
            weights = folder / f"{name}.safetensors"
            equal[name] = compare.convert(side.models[name], weights)
            port[name] = compare.score_port(weights, pixels, side.offsets)
    return Compared(side, pixels, port, equal, left_out)
