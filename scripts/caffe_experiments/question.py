"""Run the efficient method's training in the original Caffe, and score held-out crops with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import sample_training
from caffe_client import Live
from rankiqa.data.image_lists import ImageList
from rankiqa.data.images import read_image
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.training_runs import centred
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.scorer import Scorer
from rankiqa.training.presets import RankPreset

LIST = "rank_train.txt"  # the name in sample_training's prototxts
OUTPUT_BATCH = 8  # crops that Caffe scores at once


@dataclass(frozen=True)
class Answer:
    """The results of Caffe.

    Attributes:
        scores: {iteration: float32 (lines,)}, the scores of the held-out crops.
        same_start: Whether Caffe's initial weights equal the port's.
        same_pixels: For each line of the held-out list, whether Caffe and the port read the same pixels.
    """

    scores: dict[int, np.ndarray]
    same_start: bool
    same_pixels: list[bool]


def ask(
    caffe: Live, arch: str, preset: RankPreset, train: ImageList, held_out: HeldOut, start: Scorer, *, seed: int,
    centre: bool, given: bool, iterations: Sequence[int],
) -> Answer:  # fmt: skip
    """Train and score in Caffe.

    Args:
        caffe: The original in its container.
        arch: The network.
        preset: The settings of the training.
        train: The training list.
        held_out: The images to score.
        start: The network that the port starts from.
        seed: The seed of weights, minibatches and crops.
        centre: Whether the first filters are centred, like the port's.
        given: Whether the port started from the weights of a file; Caffe then uses the same weights, otherwise it draws
            them.
        iterations: The iterations after which held-out images are scored, in ascending order; 0 is the start, and the
            last is the end of the training.

    Raises:
        CaffeError: If Caffe refuses or fails; the message is Caffe's.
    """
    files = sample_training.caffe_files(arch, preset, seed, test_net=False)
    parameters = {key: array.numpy() for key, array in blobs_of(start).items()}
    own = dict(parameters) if given else _drawn(caffe, files, seed)
    if centre and not given:
        first = next(iter(own))
        own[first] = centred(torch.from_numpy(own[first])).numpy()
    same_start = all(np.array_equal(own[key], parameters[key]) for key in parameters)
    train_names = {path: f"train_{n:06}{Path(path).suffix}" for n, path in enumerate(dict.fromkeys(train.paths))}
    lines = zip(train.paths, train.labels, strict=True)
    files[LIST] = "".join(f"{train_names[path]} {label:g}\n" for path, label in lines)
    names = [f"held_out_{n:06}{Path(path).suffix}" for n, path in enumerate(held_out.images.paths)]
    files.update((name, Path(path)) for path, name in train_names.items())
    files.update(zip(names, map(Path, held_out.images.paths), strict=True))
    weights = {key: key.replace("/", "_") for key in own}
    job = {"name": "rank", "kind": "solve", "solver": "rank_solver.prototxt", "steps": preset.solver.max_iter,
           "set": weights, "save": True}  # fmt: skip
    score = {"kind": "score", "net": "rank_deploy.prototxt", "output": start.head, "crop": start.crop,
             "batch": OUTPUT_BATCH, "offsets": "offsets", "images": [{"path": name} for name in names]}  # fmt: skip
    jobs = [{**score, "name": "0", "set": weights}, job]
    jobs += [{**score, "name": str(n), "weights": f"rank_iter_{n}.caffemodel"} for n in iterations if n]
    arrays = {name: own[key] for key, name in weights.items()}
    answer = caffe.ask("experiment", jobs, arrays | {"offsets": held_out.offsets(start.input_spec)}, files)
    pixels = [
        hashlib.sha256(np.ascontiguousarray(read_image(path)[..., ::-1])).digest() for path in held_out.images.paths
    ]
    read = [digest.tobytes() for digest in answer.array(f"{iterations[0]}/pixels")]
    scores = {n: answer.array(f"{n}/scores")[:, 0] for n in iterations}
    return Answer(scores, same_start, [ours == caffes for ours, caffes in zip(pixels, read, strict=True)])


def blobs_of(model: Scorer) -> dict[str, torch.Tensor]:
    """Return {"layer/0": weight, "layer/1": bias} of one of the original's networks, with Caffe's numbers of blobs."""
    assert model.arch in ARCHITECTURES, model.arch
    names = {"weight": 0, "bias": 1}
    return {
        f"{layer}/{names[part]}": value
        for (layer, part), value in ((key.rsplit(".", 1), value) for key, value in model.state_dict().items())
    }


def _drawn(caffe: Live, files: dict[str, str], seed: int) -> dict[str, np.ndarray]:
    """Return the weights that Caffe's fillers draw from the seed."""
    job = {"name": "drawn", "kind": "forward", "net": "rank_deploy.prototxt", "seed": seed, "return": ["params"]}
    answer = caffe.ask("experiment", [job], files={"rank_deploy.prototxt": files["rank_deploy.prototxt"]})
    keys = answer.keys_of("drawn/param/")
    return {name: answer.array(key) for name, key in keys.items()}
