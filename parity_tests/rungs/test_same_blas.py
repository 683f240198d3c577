"""Parity test `same-blas`: with Caffe's matrix products (`CaffeBlas`) training gives Caffe's weights, bit by bit.

Both sides use the same number of threads for a product: one for Shallow, one for each core for the others.
"""

import ctypes
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

import rankiqa
from caffe_client import IMAGE, Live
from lib import trajectory
from lib.tolerances import EXACT, ROUNDED_LOSS, TRAINED_LOSS, TRAINED_WEIGHTS
from lib.trainings import (
    THREADS,
    distances,
    held_out_scores,
    shallow_presets,
    train_in_port,
    with_dropout,
)
from rankiqa.caffe.blas import DIGESTS, CaffeBlas

RECORDED_THREADS = 2  # the recordings were made on two cores
FOLDER = "/usr/lib/x86_64-linux-gnu"
# OpenBLAS in the image, after the libraries that it needs
LIBRARIES = ("libquadmath.so.0.0.0", "libgfortran.so.5.0.0", "openblas-pthread/libopenblasp-r0.3.13.so")


@pytest.fixture(scope="module")
def products(caffe):
    return CaffeBlas(None if isinstance(caffe, Live) else RECORDED_THREADS)


def _check(parity, answer, task, losses_and_model, name):
    losses, model = losses_and_model
    worst = max(distances(*trajectory.both(answer, task, losses)).values())
    parity.check("same-blas", f"{name} {task}: loss, every iteration", worst, ROUNDED_LOSS)
    for layer, error in trajectory.layer_errors(answer, f"{task}/param", model).items():
        parity.check("same-blas", f"{name} {task}: {layer} at the end", error, EXACT)


@pytest.mark.parametrize(
    "training", ["same_blas/shallow_short", pytest.param("same_blas/shallow", marks=pytest.mark.slow)]
)
def test_shallow(early_trainings, parity, images, tmp_path, training):
    """Train at rates that learn, where other products' last bits grow to whole percents (test_trajectory.py)."""
    presets, products = shallow_presets(training), CaffeBlas(THREADS)
    name = f"shallow, {presets['rank'].solver.max_iter} iterations"
    trained = train_in_port(images, "shallow", presets, tmp_path, products=products)
    answer = early_trainings.answer(training)
    for task, losses_and_model in trained.items():
        _check(parity, answer, task, losses_and_model, name)
    ours, levels = held_out_scores(trained["ft"][1].eval(), images)
    caffes = answer.array("s/scores")
    parity.check("same-blas", f"{name}: held-out scores", np.abs(ours - caffes).max() / np.ptp(caffes), EXACT)
    srocc = [rankiqa.srocc(scores.mean(1), -levels) for scores in (ours, caffes)]
    parity.check("same-blas", f"{name}: held-out SROCC, Caffe {srocc[1]:.3f}", abs(srocc[0] - srocc[1]), EXACT)

    def one_ulp(trainer):
        weight = trainer.model.conv1.weight.data.view(-1)
        weight[0] = float(np.nextafter(np.float32(weight[0]), np.float32(9)))

    short = {"rank": presets["rank"].but(max_iter=40)}
    wrong = {
        "one weight moved by one ulp": {"products": products, "prepare": one_ulp},
        "PyTorch's own products": {},
    }
    for change, options in wrong.items():
        losses, _ = train_in_port(images, "shallow", short, tmp_path, **options)["rank"]
        apart = max(distances(*trajectory.both(answer, "rank", losses)).values())
        parity.must_fail("same-blas", f"wrong: {name}, {change}", apart, ROUNDED_LOSS)


@pytest.mark.slow
def test_vgg16(caffe, products, parity, images, tmp_path):
    answer, presets = with_dropout(caffe, images, "trajectory/vgg16")
    trained = train_in_port(images, "vgg16", presets, tmp_path, products=products)
    _check(parity, answer, "rank", trained["rank"], "vgg16")


@pytest.mark.slow
def test_alexnet(caffe, products, parity, images, tmp_path):
    """PyTorch's local response normalisation rounds differently, so that bits differ."""
    answer, presets = with_dropout(caffe, images, "trajectory/alexnet")
    losses, model = train_in_port(images, "alexnet", presets, tmp_path, products=products)["rank"]
    worst = max(distances(*trajectory.both(answer, "rank", losses)).values())
    parity.check("same-blas", f"alexnet: loss of {len(losses)} iterations", worst, TRAINED_LOSS)
    for layer, error in trajectory.layer_errors(answer, "rank/param", model).items():
        parity.check("same-blas", f"alexnet: {layer} at the end", error, TRAINED_WEIGHTS)


def test_library_is_caffes(caffe, parity, tmp_path):
    """The image's own OpenBLAS gives the digests that `CaffeBlas` requires of every library."""
    if not isinstance(caffe, Live) or caffe.image != IMAGE:
        pytest.skip(f"needs live Caffe: OpenBLAS is copied from {IMAGE}")
    container = caffe.client.containers.create(caffe.image)
    try:
        for library in LIBRARIES:
            stream, _ = container.get_archive(f"{FOLDER}/{library}")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                (member,) = archive.getmembers()
                (tmp_path / Path(library).name).write_bytes(archive.extractfile(member).read())
    finally:
        container.remove()
    *needed, library = (tmp_path / Path(name).name for name in LIBRARIES)
    for path in needed:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    for owner, blas in (("the image's", CaffeBlas(path=library)), ("OpenCV's", CaffeBlas())):
        for threads, digest in DIGESTS.items():
            wrong = float(blas.digest(threads) != digest)
            parity.check("same-blas", f"{owner} OpenBLAS, {threads} threads: products", wrong, EXACT)
