"""Networks for parity tests and benchmarks: prototxts from caffe_ref/nets.py, and seeded weights for both sides."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np

import caffemodel
import rankiqa
from caffemodel import from_arrays
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa_convert import cli as convert
from rankiqa_convert.recognise import layer_types

ROOT = Path(__file__).resolve().parent.parent
CROPS = ROOT / "parity_tests" / "recorded" / "crops"  # PNG: the same pixels on every machine
TASKS = {"live-rank": ("rank", "live"), "live-ft": ("ft", "live"), "tid2013-rank": ("rank", "tid2013"),
         "tid2013-ft": ("ft", "tid2013")}  # fmt: skip


@cache
def deploy_text(arch, like="live-rank"):
    """Return the deploy prototxt from caffe_ref, run as a separate process because the two sides share no code."""
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", "net", arch, *TASKS[like], "deploy"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def with_batch(text, batch):
    """Return a deploy prototxt for a larger batch."""
    return text.replace("dim: 1\n", f"dim: {batch}\n", 1)


def random_arrays(arch, like="live-rank", seed=0):
    """Return {layer: [weight, bias]} in float32, scaled so that activations have the same magnitude in each layer."""
    architecture = ARCHITECTURES[arch]
    rng = np.random.default_rng(seed)
    parameters = {}
    for name, (weight, bias) in architecture.parameter_shapes(known_nets(architecture)[like]).items():
        scale = np.float32(np.sqrt(2.0 / np.prod(weight[1:])))
        arrays = rng.standard_normal(weight, np.float32) * scale, rng.standard_normal(bias, np.float32)
        parameters[name] = list(arrays)
    first = next(iter(parameters.values()))
    first[0] /= 50  # because inputs are up to 255
    return parameters


def random_caffemodel(path, arch, like="live-rank", seed=0):
    """Write a caffemodel with `random_arrays` and return its path."""
    architecture = ARCHITECTURES[arch]
    types = layer_types(architecture, known_nets(architecture)[like])
    arrays = random_arrays(arch, like, seed)
    caffemodel.write(from_arrays(arch, [(name, kind, arrays[name]) for name, kind in types.items()]), path)
    return path


def converted(path):
    """Convert a caffemodel with the converter, write the safetensors beside it and return the port's network."""
    weights = Path(path).with_suffix(".safetensors")
    assert convert.main([str(path), "--out", str(weights)]) == 0
    return rankiqa.load(weights)


def photograph_crops(n, crop, seed=0):
    """Return n random crops of photographs, cut as the original does: float32 (n, 3, crop, crop), BGR, whole 0..255."""
    images = [rankiqa.read_image(path) for path in sorted(CROPS.glob("*.png"))]
    rng, spec = np.random.RandomState(seed), rankiqa.InputSpec(crop)
    parts = []
    for i in range(n):
        image = images[i % len(images)]
        parts.append(rankiqa.take_crops(image, rankiqa.crop_offsets(*image.shape[:2], crop, 1, rng), spec).numpy())
    return np.concatenate(parts)
