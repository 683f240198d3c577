"""Compare Caffe's answers with the port's: weights, layers, scores, correlations."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from distorted_images import LEVELS, PRISTINE, Image
from prepared_photographs import CROP
from safetensors.numpy import load_file

import rankiqa
from caffe_client import Answer, Live
from rankiqa.scoring.image_score import score_crops

ROOT = Path(__file__).resolve().parents[2]
CONVERT = ROOT / "conversion" / "convert.py"
# untrained: weights as Caffe fills them; start: the initial weights of `caffe train` (caffe_training.py)
OUTPUT = {"untrained": "fc1_m", "start": "fc1_m", "rank": "fc1_m", "ft": "fc1"}
TRAINED = ("rank", "ft")
UNTRAINED_CROPS = 3  # number of crops per image for the two networks that are only a baseline
# Scores and layers: float32 sums in another order differ by this much; correlations: such scores can change ranks
SCORE_TOLERANCE, LAYER_TOLERANCE, CORRELATION_TOLERANCE = 1e-5, 1e-5, 1e-6


class ConversionError(RuntimeError):
    """convert.py failed; the message is that of convert.py."""


@dataclass
class CaffeSide:
    """Caffe's results, live or from the recording.

    Attributes:
        images: The held-out images.
        pixels: The SHA-256 (hex) of each image's pixels as Caffe read them.
        offsets: int (images, crops, 2), the top and left of each crop.
        layer_crops: uint8 (n, 3, 227, 227), BGR, the crops for which layers are compared.
        models: {"rank", "ft": caffemodel}.
        scores: {name in OUTPUT: float32 (images, crops)}.
        layers: {"rank", "ft": Answer with keys LAYER/k}.
        curves: {"rank", "ft": loss curves as caffe_training.curves returns them}.
    """

    images: list[Image]
    pixels: list[str]
    offsets: np.ndarray
    layer_crops: np.ndarray
    models: dict[str, Path]
    scores: dict[str, np.ndarray]
    layers: dict[str, Answer]
    curves: dict[str, dict]


@dataclass
class Compared:
    """The results of both sides.

    Attributes:
        side: Caffe's results.
        pixels: The held-out images as the port reads them, uint8 (H, W, 3), RGB.
        port: The port's scores for each of TRAINED, float32 (images, crops).
        weights_equal: For each of TRAINED, whether the converted weights are equal bit for bit.
        left_out: The recorded images that have other pixels with this machine's codecs.
    """

    side: CaffeSide
    pixels: list[np.ndarray]
    port: dict[str, np.ndarray]
    weights_equal: dict[str, bool]
    left_out: list[str]


def draw_offsets(pixels: list[np.ndarray], crops: int, seed: int) -> np.ndarray:
    """Draw the positions of the crops, int (images, crops, 2), as rankiqa.score does for each image."""
    return np.stack(
        [rankiqa.crop_offsets(*image.shape[:2], CROP, crops, np.random.RandomState(seed)) for image in pixels]
    )


def layer_input(images: list[Image], pixels: list[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Return the crops for comparing layers: a pristine one and one of each distortion at level 3."""
    wanted = [(PRISTINE, 0), *((name, LEVELS[2]) for name in ("GB", "GN", "JPEG", "JP2K"))]
    first = {(image.distortion, image.level): i for i, image in reversed(list(enumerate(images)))}
    picked = [first[kind] for kind in wanted if kind in first]
    return np.concatenate(
        [rankiqa.take_crops(pixels[i], offsets[i, :1], rankiqa.InputSpec(CROP)).numpy() for i in picked]
    ).astype(np.uint8)


def ask_caffe(
    caffe: Live, folder: Path, name: str, model: Path, images: list[Image], offsets: np.ndarray, crops: np.ndarray
) -> tuple[np.ndarray, list[str], Answer]:
    """Run a network in Caffe.

    Returns:
        (the score of each crop, float32 (images, crops); the SHA-256 of each image's pixels as Caffe read them; the
        output of each layer for `crops`).
    """
    deploy = "ft_deploy.prototxt" if name == "ft" else "rank_deploy.prototxt"
    files = {Path(image.file).name: folder / image.file for image in images}
    files |= {deploy: folder / deploy, model.name: model}
    net = {"net": deploy, "weights": model.name}
    paths = [{"path": Path(image.file).name} for image in images]
    score = {"name": "score", "kind": "score", "output": OUTPUT[name], "images": paths, "offsets": "offsets"}
    layers = {"name": "layers", "kind": "forward", "inputs": {"data": "crops"}, "return": ["tops"]}
    jobs = [{**score, **net, "crop": CROP}, {**layers, **net}]
    answer = caffe.ask(f"reproduce/{name}", jobs, {"offsets": offsets, "crops": crops.astype(np.float32)}, files)
    pixels = [bytes(digest).hex() for digest in answer.array("score/pixels")]
    tops = Answer((layer, answer[key]) for layer, key in answer.keys_of("layers/top/").items())
    return answer.array("score/scores"), pixels, tops


def convert(model: Path, out: Path) -> bool:
    """Convert a caffemodel with conversion/convert.py; return whether all blobs are equal bit for bit."""

    def run(*arguments: str) -> dict:
        """Run convert.py and return its JSON output."""
        done = subprocess.run([sys.executable, CONVERT, *arguments, "--json"], capture_output=True, text=True)
        if done.returncode:
            raise ConversionError(done.stderr.strip() or f"convert.py: exit status {done.returncode}")
        return json.loads(done.stdout)

    run(str(model), "--out", str(out))
    theirs = {
        f"{layer['name']}.{kind}": blob["sha256"]
        for layer in run("inspect", str(model))["layers"]
        for kind, blob in zip(("weight", "bias"), layer["blobs"], strict=False)
    }
    ours = {
        name: hashlib.sha256(np.ascontiguousarray(array, "<f4")).hexdigest() for name, array in load_file(out).items()
    }
    return ours == theirs


def score_port(weights: Path, pixels: list[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Return the port's score of each crop, float32 (images, crops)."""
    model = rankiqa.load(weights)
    return np.stack([score_crops(model, image, at) for image, at in zip(pixels, offsets, strict=True)])


def layer_errors(weights: Path, crops: np.ndarray, caffe: Answer) -> dict[str, float]:
    """Return {layer: max|port - caffe| / max|caffe|}, in the network's order."""
    with torch.inference_mode():
        ours = rankiqa.load(weights).forward_layers(torch.from_numpy(crops.astype(np.float32)))
    return {name: float(caffe.error(f"{name}/0", output.numpy())) for name, output in ours.items()}


def score_difference(port: np.ndarray, caffe: np.ndarray) -> dict[str, float]:
    """Return the largest differences of images' scores (means over crops) and of single crops, and Caffe's range."""
    ours, theirs = (scores.mean(1, dtype=np.float64) for scores in (port, caffe))
    return {
        "max_abs_diff": float(np.abs(ours - theirs).max()),
        "range": float(theirs.max() - theirs.min()),
        "max_abs_diff_of_a_crop": float(np.abs(port.astype(np.float64) - caffe).max()),
    }


def correlations(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return SROCC and LCC between the scores (images, crops), averaged over crops, and labels (images,).

    Both are None if a correlation is undefined.
    """
    means = scores.mean(1, dtype=np.float64)
    try:
        return {"srocc": rankiqa.srocc(means, truth), "lcc": rankiqa.lcc(means, truth)}
    except ValueError:
        return {"srocc": None, "lcc": None}


def by_distortion(images: list[Image], scores: dict[str, np.ndarray]) -> dict[str, dict[str, float | None]]:
    """Return {distortion: {name of scores: SROCC with the true level}}, each including the pristine images."""
    srocc = {}
    for distortion in ("GB", "GN", "JPEG", "JP2K"):
        chosen = [i for i, image in enumerate(images) if image.distortion in (distortion, PRISTINE)]
        levels = np.array([images[i].level for i in chosen], np.float64)
        srocc[distortion] = {name: correlations(values[chosen], levels)["srocc"] for name, values in scores.items()}
    return srocc
