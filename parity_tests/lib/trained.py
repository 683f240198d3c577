"""A network that has learnt something, and distorted photographs to try it on."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import rankiqa
from rankiqa.distortions import LIVE
from rankiqa_convert.cli import main as convert

HERE = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = sorted((HERE / "photographs").glob("*.jpg"))
WEIGHTS = HERE / "recorded" / "reproduce" / "rank.caffemodel"  # Shallow, ranked by Caffe in scripts/reproduce


@cache
def trained_shallow():
    """Shallow as Caffe trained it for the recording of scripts/reproduce."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rank.safetensors")
        assert convert([str(WEIGHTS), "--out", str(out)]) == 0
        return rankiqa.load(out)


def distorted_photographs(photographs=4, seed=0):
    """(image uint8 (H, W, 3) RGB, type, level) of LIVE's types at every level, and the pristine ones at level 0."""
    for number, path in enumerate(PHOTOGRAPHS[-photographs:]):
        image = rankiqa.read_image(path)
        yield image, "pristine", 0
        for kind in LIVE:
            for level in range(1, 6):
                yield rankiqa.distort(image, kind, level, np.random.default_rng([seed, number, level])), kind, level
