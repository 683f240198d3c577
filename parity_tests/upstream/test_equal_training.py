"""Two iterations of upstream's Rank live with VGG-16, and of the same run with our prototxt and layers, agree.

Both have the same weights, seed and lists. Images of 225 pixels leave one place for a crop, so that pixels are equal.
"""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import caffemodel
from caffe_client import Array
from sample_networks import ROOT

SEED = 5
SETTINGS = {"max_iter": 2, "display": 1, "average_loss": 1, "test_iter": [1], "random_seed": SEED}
OURS = {"net": "models/ours/train.prototxt", "snapshot_prefix": "models/ours/my_siamese", "solver_mode": "CPU"}


def nets(*words):
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def losses(run):
    """Return the losses that Caffe prints at each iteration, and then the test net's first loss."""
    assert run.status == 0, str(run)
    lines = re.findall(r"Iteration (\d+)[^\n]*, loss = ([\d.e+-]+)", run.output)
    tested = re.findall(r"Test net output #0: loss = ([\d.e+-]+)", run.output)
    return [float(loss) for _, loss in lines] + [float(tested[0])]


@pytest.mark.slow
def test_rank_live(run, ready, parity):
    folder = ready / "models" / "ours"
    folder.mkdir()
    (folder / "train.prototxt").write_text(nets("net", "vgg16", "rank", "live", "train"))
    changes = json.dumps({**SETTINGS, **OURS})
    (folder / "solver.prototxt").write_text(nets("solver", "vgg16", "rank", "live", "--set", changes))
    weights = "models/VGG_ILSVRC_16_layers.caffemodel"
    ours = run(ready, "caffe", "train", "--solver", "models/ours/solver.prototxt", "--weights", weights)
    overrides = "max_iter: 2 display: 1 average_loss: 1 test_iter: 1"
    theirs = run(ready, "./src/RankIQA/live/train_vgg.sh", CAFFE_SOLVER=overrides, CAFFE_SEED=SEED)
    expected, actual = np.array(losses(theirs)), np.array(losses(ours))
    assert len(expected) == 4
    parity.check("training", "rank live, VGG-16: losses as printed", np.abs(actual / expected - 1).max(), 1e-6)
    upstream, ours_trained, start = (
        {layer.name: layer.blobs for layer in caffemodel.read(ready / path).layers if layer.blobs}
        for path in (
            "models/rank_live/my_siamese_iter_2.caffemodel",
            "models/ours/my_siamese_iter_2.caffemodel",
            weights,
        )
    )
    assert set(upstream) == set(ours_trained)
    for name, blobs in upstream.items():
        for k, blob in enumerate(blobs):
            error = Array.whole(blob.float32()).error(ours_trained[name][k].float32())
            parity.check("training", f"rank live, VGG-16: {name} blob {k} after two iterations", error, 1e-6)
    moved = Array.whole(upstream["conv5_3"][1].float32()).error(start["conv5_3"][1].float32().reshape(-1))
    parity.must_fail("training", "wrong: rank live, VGG-16, weights as at the start", moved, 1e-6)
