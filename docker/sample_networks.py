"""Networks for the rungs: prototxts from caffe_ref/nets.py, weights from a seed, as a caffemodel and in the port."""

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
    """The deploy prototxt, from caffe_ref (in a process of its own: the two sides share no code)."""
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", "net", arch, *TASKS[like], "deploy"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def with_batch(text, batch):
    """A deploy prototxt for a larger batch."""
    return text.replace("dim: 1\n", f"dim: {batch}\n", 1)


def random_arrays(arch, like="live-rank", seed=0):
    """{layer: [weight, bias]} float32, scaled so that activations keep their size from layer to layer."""
    architecture = ARCHITECTURES[arch]
    rng = np.random.default_rng(seed)
    made = {}
    for name, (weight, bias) in architecture.parameter_shapes(known_nets(architecture)[like]).items():
        scale = np.float32(np.sqrt(2.0 / np.prod(weight[1:])))
        arrays = rng.standard_normal(weight, np.float32) * scale, rng.standard_normal(bias, np.float32)
        made[name] = list(arrays)
    first = next(iter(made.values()))
    first[0] /= 50  # inputs run to 255
    return made


def random_caffemodel(path, arch, like="live-rank", seed=0):
    """Write a caffemodel with those arrays."""
    architecture = ARCHITECTURES[arch]
    types = layer_types(architecture, known_nets(architecture)[like])
    arrays = random_arrays(arch, like, seed)
    caffemodel.write(from_arrays(arch, [(name, kind, arrays[name]) for name, kind in types.items()]), path)
    return path


def converted(path):
    """The port's network, by way of convert.py, from a caffemodel beside which the safetensors is written."""
    weights = Path(path).with_suffix(".safetensors")
    assert convert.main([str(path), "--out", str(weights)]) == 0
    return rankiqa.load(weights)


def photograph_crops(n, crop, seed=0):
    """n crops of real photographs, uint8-valued float32 (n, 3, crop, crop) BGR, taken as the original takes them."""
    images = [rankiqa.read_image(path) for path in sorted(CROPS.glob("*.png"))]
    rng, spec = np.random.RandomState(seed), rankiqa.InputSpec(crop)
    parts = []
    for i in range(n):
        image = images[i % len(images)]
        parts.append(rankiqa.take_crops(image, rankiqa.crop_offsets(*image.shape[:2], crop, 1, rng), spec).numpy())
    return np.concatenate(parts)
