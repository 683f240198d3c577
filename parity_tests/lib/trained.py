"""A trained network, and distorted photographs to score with it."""

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
    """Return Shallow with the weights that Caffe trained for the recording of scripts/reproduce."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rank.safetensors")
        assert convert([str(WEIGHTS), "--out", str(out)]) == 0
        return rankiqa.load(out)


def distorted_photographs(photographs=4, seed=0):
    """Yield (image, type, level): pristine photographs as level 0, then LIVE's types at every level.

    Images are uint8 (H, W, 3), RGB.
    """
    for number, path in enumerate(PHOTOGRAPHS[-photographs:]):
        image = rankiqa.read_image(path)
        yield image, "pristine", 0
        for kind in LIVE:
            for level in range(1, 6):
                yield rankiqa.distort(image, kind, level, np.random.default_rng([seed, number, level])), kind, level
