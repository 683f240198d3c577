"""Rung `same-blas`: with Caffe's own matrix products under it, the port trains to Caffe's weights, bit for bit.

At rates that learn, where the last bits of another BLAS library grow to whole percents. Live only: the library comes
out of the image.
"""

import numpy as np
import pytest

import same_blas
import trajectory
from reference import IMAGE, Live
from test_trajectory import caffe_walk, distances, port_walk
from tolerances import EXACT, ROUNDED_LOSS

ITERATIONS = 60
RATES = {
    "rank": {"images": 1, "base_lr": 2e-6, "stepsize": 30},
    "ft": {"batch": 12, "base_lr": 2e-8, "stepsize": 30},
}


@pytest.fixture(scope="module")
def blas(caffe, tmp_path_factory):
    if not isinstance(caffe, Live):
        pytest.skip("needs live Caffe: its BLAS is taken out of the image")
    if caffe.image != IMAGE:
        pytest.skip(f"OpenBLAS is looked for in {IMAGE}, not in {caffe.image}")
    return same_blas.Blas(caffe.client, caffe.image, tmp_path_factory.mktemp("blas"))


def _check(parity, answer, task, walked, name):
    losses, model = walked
    worst = max(distances(answer.array(f"{task}/losses"), losses).values())
    parity.check("same-blas", f"{name} {task}: loss, every iteration", worst, ROUNDED_LOSS)
    for layer, error in trajectory.layer_errors(answer, f"{task}/param", model).items():
        parity.check("same-blas", f"{name} {task}: {layer} at the end", error, EXACT)


def test_shallow(caffe, blas, parity, images, tmp_path):
    presets = trajectory.presets("shallow", "live", ITERATIONS, **RATES)
    answer = caffe_walk(caffe.unverified(), "same_blas/shallow", images, "shallow", presets)
    walked = port_walk(images, "shallow", presets, tmp_path, prepare=lambda trainer: same_blas.use(blas, trainer.model))
    for task, found in walked.items():
        _check(parity, answer, task, found, "shallow")

    def one_ulp(trainer):
        same_blas.use(blas, trainer.model)
        weight = trainer.model.conv1.weight.data.view(-1)
        weight[0] = float(np.nextafter(np.float32(weight[0]), np.float32(9)))

    short = {"rank": presets["rank"].but(max_iter=ITERATIONS // 2)}
    for name, prepare in {
        "one weight moved by one ulp": one_ulp,
        "PyTorch's own products": lambda trainer: None,
    }.items():
        losses, _ = port_walk(images, "shallow", short, tmp_path, prepare=prepare)["rank"]
        wrong = max(distances(answer.array("rank/losses")[: len(losses)], losses).values())
        parity.must_fail("same-blas", f"wrong: {name}", wrong, ROUNDED_LOSS)


@pytest.mark.slow
def test_vgg16(caffe, blas, parity, images, tmp_path):
    presets = trajectory.presets(
        "vgg16", "live", 3, rank={"images": 1, "test_interval": 1000, "base_lr": 4e-6, "stepsize": 2}
    )
    del presets["ft"]
    answer = caffe_walk(caffe.unverified(), "same_blas/vgg16", images, "vgg16", presets)
    walked = port_walk(images, "vgg16", presets, tmp_path, prepare=lambda trainer: same_blas.use(blas, trainer.model))
    _check(parity, answer, "rank", walked["rank"], "vgg16")
