"""Parity tests `fillers` and `masks`: both engines draw the same numbers from one seed, bit by bit."""

import functools

import numpy as np
import pytest
import torch

import rankiqa
from lib.tolerances import EXACT
from rankiqa.caffe.layers import Dropout
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.network import fill
from sample_networks import deploy_text

REDRAWN = 198  # a seed that has a word that rounds to 2^32 among its first 100,000
BETWEEN = 86  # a seed that has a word that a float comparison with 2^31 would keep among its first 160,000
SHAPE = (20, 10, 20, 50)  # 200,000 numbers: hundreds in the wedges of the ziggurat, tens in its tail

# name: (Caffe's filler, the port's)
FILLERS = {
    "xavier": ('type: "xavier"', lambda r: r.xavier(SHAPE)),
    "gaussian": ('type: "gaussian" std: 0.01', lambda r: r.gaussian(SHAPE, 0.01)),
    "constant": ('type: "constant" value: 0.1', lambda r: r.constant(SHAPE, 0.1)),
    "uniform": ('type: "uniform" min: -0.3 max: 0.7', lambda r: r.uniform(SHAPE, -0.3, 0.7)),
    "msra": ('type: "msra"', lambda r: r.msra(SHAPE)),
    "gaussian with a mean": ('type: "gaussian" std: 3 mean: 110', lambda r: r.gaussian(SHAPE, 3, 110)),
    "xavier, fan_out": ('type: "xavier" variance_norm: FAN_OUT', lambda r: r.xavier(SHAPE, "fan_out")),
    "msra, average": ('type: "msra" variance_norm: AVERAGE', lambda r: r.msra(SHAPE, "average")),
    "uniform afterwards": ('type: "uniform"', lambda r: r.uniform(SHAPE)),  # it fails if the streams' positions differ
}


def _bits(array):
    """Return float values as their bits, so that comparisons are exact."""
    return np.ascontiguousarray(array, np.float32).view(np.int32)


def _apart(caffe, ours):
    """Count the values that differ in any bit."""
    return float((_bits(caffe) != _bits(ours)).sum())


def _fillers_net():
    dims = " ".join(f"dim: {n}" for n in SHAPE)
    return "".join(
        f'layer {{ name: "{name}" type: "DummyData" top: "{name}" '
        f"dummy_data_param {{ shape {{ {dims} }} data_filler {{ {filler} }} }} }}\n"
        for name, (filler, _) in FILLERS.items()
    )


class _Float32Words(CaffeRandom):
    """A wrong variant: use 24 bits of each word, as PyTorch and NumPy usually do."""

    def uniform(self, shape, low=0.0, high=1.0):
        words = self.words(int(np.prod(shape))) >> 8
        return (words * np.float32(2.0**-24) * np.float32(high - low) + np.float32(low)).reshape(shape)


def test_fillers(caffe, parity):
    job = {"name": "f", "kind": "forward", "net": "net.prototxt", "seed": REDRAWN, "return": ["tops"]}
    answer = caffe.ask("random/fillers", [job], {}, {"net.prototxt": _fillers_net()})
    random, second = CaffeRandom(REDRAWN), CaffeRandom(REDRAWN + 1)
    for name, (_, draw) in FILLERS.items():
        theirs = answer[f"f/top/{name}/0"]
        at = slice(None) if theirs.at is None else theirs.at
        parity.check("fillers", name, _apart(theirs.values, draw(random).reshape(-1)[at]), EXACT)
        if name != "constant":
            wrong = _apart(theirs.values, draw(second).reshape(-1)[at])
            parity.must_fail("fillers", f"wrong: {name}, the next seed", wrong, EXACT)
    theirs = answer["f/top/xavier/0"]
    wrong = _Float32Words(REDRAWN).xavier(SHAPE).reshape(-1)[slice(None) if theirs.at is None else theirs.at]
    parity.must_fail("fillers", "wrong: 24 bits of a word", _apart(theirs.values, wrong), EXACT)


@pytest.mark.parametrize("arch", ["shallow", "alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_networks(caffe, parity, arch):
    seed = 1701
    job = {"name": "f", "kind": "forward", "net": "net.prototxt", "seed": seed, "return": ["params"]}
    answer = caffe.ask(f"random/{arch}", [job], {}, {"net.prototxt": deploy_text(arch)})
    state = rankiqa.build(arch, random=CaffeRandom(seed)).state_dict()
    torch.manual_seed(seed)
    pytorch = rankiqa.build(arch).state_dict()
    for key, ours in state.items():
        layer, part = key.rsplit(".", 1)
        theirs = answer[f"f/param/{layer}/{('weight', 'bias').index(part)}"]
        assert tuple(ours.shape) == theirs.shape
        at = slice(None) if theirs.at is None else theirs.at
        parity.check("fillers", f"{arch} {key}", _apart(theirs.values, ours.numpy().reshape(-1)[at]), EXACT)
        if part == "weight":
            wrong = _apart(theirs.values, pytorch[key].numpy().reshape(-1)[at])
            parity.must_fail("fillers", f"wrong: {arch} {key} from PyTorch's seed", wrong, EXACT)


def _masks_net(ratio):
    return (
        'layer { name: "one" type: "DummyData" top: "one" '
        "dummy_data_param { shape { dim: 200000 } data_filler { value: 1 } } }\n"
        'layer { name: "drop" type: "Dropout" bottom: "one" top: "drop" '
        f"dropout_param {{ dropout_ratio: {ratio} }} }}\n"
    )


@pytest.mark.parametrize("ratio", [0.5, 0.3])
def test_masks(caffe, parity, ratio):
    jobs = [
        {"name": f"{n}", "kind": "forward", "net": "net.prototxt", "phase": "TRAIN", "seed": BETWEEN, "forwards": n,
         "return": ["tops"]}
        for n in (1, 2)
    ]  # fmt: skip
    answer = caffe.ask(f"random/masks_{ratio}", jobs, {}, {"net.prototxt": _masks_net(ratio)})
    random = CaffeRandom(BETWEEN)
    layer = Dropout(ratio, random)
    for n in ("1", "2"):
        theirs = answer[f"{n}/top/drop/0"]
        at = slice(None) if theirs.at is None else theirs.at
        ours = layer(torch.ones(200_000)).numpy()[at]
        parity.check("masks", f"ratio {ratio}, forward pass {n}", _apart(theirs.values, ours), EXACT)
    torch.manual_seed(BETWEEN)
    wrong = torch.nn.functional.dropout(torch.ones(200_000), ratio).numpy()[at]
    parity.must_fail("masks", f"wrong: ratio {ratio}, PyTorch's dropout", _apart(theirs.values, wrong), EXACT)
    if ratio == 0.5 and theirs.at is None:
        words = np.random.RandomState(BETWEEN).randint(0, 2**32, 200_000, np.uint32)
        wrong = np.where(words.astype(np.float32) <= np.float32(0.5) * np.float32(2**32 - 1), 2, 0)
        apart = _apart(answer.array("1/top/drop/0"), wrong)
        parity.must_fail("masks", "wrong: ratio 0.5, words compared as float32", apart, EXACT)


NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 40 dim: 30 } shape { dim: 40 dim: 50 } data_filler { value: 1 } data_filler { value: 0 } } }
layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden"
  inner_product_param { num_output: 50 weight_filler { FILLER } } }
layer { name: "drop" type: "Dropout" bottom: "hidden" top: "drop" }
layer { name: "loss" type: "EuclideanLoss" bottom: "drop" bottom: "label" top: "loss" }
"""  # noqa: E501
SOLVER = 'net: "net.prototxt" base_lr: 1e-9 lr_policy: "fixed" random_seed: 5 snapshot: 0 '


@pytest.mark.parametrize("tests", [0, 1, 2])
@pytest.mark.parametrize("filler", ["xavier", "gaussian"])
def test_stream_after_test_nets(caffe, parity, tests, filler):
    """A solver's TEST nets also draw weights, before the first mask."""
    text = SOLVER + (f"test_interval: 1000 test_initialization: false {'test_iter: 1 ' * tests}" if tests else "")
    files = {"net.prototxt": NET.replace("FILLER", f'type: "{filler}"'), "solver.prototxt": text}
    job = {"name": "s", "kind": "solve", "solver": "solver.prototxt", "steps": 2, "return": ["blobs"]}
    answer = caffe.ask(f"random/stream_{filler}_{tests}", [job], {}, files)

    def mask(test_nets):
        random = CaffeRandom(5)
        fill = functools.partial(getattr(random, filler), (50, 30))
        for _ in range(1 + test_nets):
            fill()
        random.dropout_mask((40, 50), 0.5)
        return random.dropout_mask((40, 50), 0.5)

    kept = answer["s/blob/drop"]
    at = slice(None) if kept.at is None else kept.at
    apart = float(((kept.values != 0) != mask(tests).reshape(-1)[at]).sum())
    parity.check("masks", f"second pass after {tests} TEST nets of {filler}", apart, EXACT)
    wrong = float(((kept.values != 0) != mask(tests + 1).reshape(-1)[at]).sum())
    parity.must_fail("masks", f"wrong: {filler}, TEST nets miscounted ({tests})", wrong, EXACT)


def test_architectures_are_filled_in_caffes_order():
    random = CaffeRandom(0)
    filled = fill(ARCHITECTURES["shallow"], random)
    assert list(filled) == [f"{name}.{part}" for name in ("conv1", "conv2", "conv3", "conv4", "fc1_m")
                            for part in ("weight", "bias")]  # fmt: skip
