"""Parity test `data`: minibatches of our Caffe data layers, against the original's order as plain loops."""

import json

import numpy as np
import pytest

import rankiqa
from caffe_client import CaffeError, Live
from lib.minibatch_order import ft_order, rank_order
from lib.tolerances import EXACT
from sample_networks import CROPS

CROP = 224
PHOTOGRAPHS = sorted(CROPS.glob("*.png"))


def _prototxt(module, layer, param):
    python = f'module: "caffe_ref.layers.{module}" layer: "{layer}" param_str: {json.dumps(json.dumps(param))}'
    return f'layer {{ name: "data" type: "Python" top: "data" top: "label" python_param {{ {python} }} }}\n'


def _list(lines):
    """Return a list whose labels are the line numbers, so that a minibatch shows which lines it has."""
    return "".join(f"{PHOTOGRAPHS[i % len(PHOTOGRAPHS)].name} {i}\n" for i in range(lines))


def _crops(lines, before, seed):
    """Return the crops of lines after `before` images were read; RandomState([seed, n]) draws the n-th image's crop."""
    crops = []
    for n, line in enumerate(lines, start=before):
        image = rankiqa.read_image(PHOTOGRAPHS[line % len(PHOTOGRAPHS)])
        offsets = rankiqa.crop_offsets(*image.shape[:2], CROP, 1, np.random.RandomState([seed, n]))
        crops.append(rankiqa.take_crops(image, offsets, rankiqa.InputSpec(CROP)).numpy()[0])
    return np.stack(crops)


LIVE = {"list_groups": 4, "groups": 4, "levels": 6, "images": 2}
TID = {"list_groups": 6, "groups": 3, "levels": 5, "images": 1}
# name: (module, layer, parameters, lines, the expected order)
LAYERS = {
    "rank, LIVE": ("rank_data", "RankData", LIVE, 120, lambda p, s: rank_order(p, s, **LIVE, per_level=5)),
    "rank, TID2013": ("rank_data", "RankData", TID, 90, lambda p, s: rank_order(p, s, **TID, per_level=3)),
    "ft, LIVE": ("ft_data", "FTData", {"batch": 6}, 18, lambda p, s: ft_order(p, s, 18, 6, False)),
    "ft, TID2013": (
        "ft_data", "FTData", {"batch": 5, "sort_by_label": True}, 18, lambda p, s: ft_order(p, s, 18, 5, True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_minibatches(caffe, parity, name):
    module, layer, param, lines, order = LAYERS[name]
    seed, passes = 7, (1, 2, 3, 7)
    text = _prototxt(module, layer, {**param, "list": "list.txt", "crop": CROP, "seed": seed})
    jobs = [
        {"name": f"{p}", "kind": "forward", "net": "net.prototxt", "forwards": p, "return": ["tops"]} for p in passes
    ]
    files = {"net.prototxt": text, "list.txt": _list(lines), **{p.name: p for p in PHOTOGRAPHS}}
    answer = caffe.ask(f"data/{name.replace(', ', '_')}", jobs, {}, files)
    for p in passes:
        expected = np.array(order(p, seed), np.float32)
        parity.check("data", f"{name}: lines of minibatch {p}", answer.error(f"{p}/top/data/1", expected), EXACT)
        crops = _crops(expected.astype(int), (p - 1) * len(expected), seed)
        parity.check("data", f"{name}: crops of minibatch {p}", answer.error(f"{p}/top/data/0", crops), EXACT)
    other = np.array(order(2, seed), np.float32)
    parity.must_fail("data", f"wrong: {name}, one minibatch early", answer.error("3/top/data/1", other), EXACT)
    shifted = _crops(order(1, seed), 1, seed)
    parity.must_fail("data", f"wrong: {name}, crops of the next image", answer.error("1/top/data/0", shifted), EXACT)


BAD = {
    "expected JSON": ("rank_data", "RankData", "{'list': 'list.txt'}"),
    "missing ['crop'": ("rank_data", "RankData", '{"list": "list.txt"}'),
    "unexpected ['batsh']": ("ft_data", "FTData", '{"list": "list.txt", "crop": 224, "batch": 2, "batsh": 3}'),
    "batch: expected int, got '2'": ("ft_data", "FTData", '{"list": "list.txt", "crop": 224, "batch": "2"}'),
    "expected more than 50 lines": ("ft_data", "FTData", '{"list": "list.txt", "crop": 224, "batch": 50}'),
    "expected 4 distortions x 3 levels": (
        "rank_data", "RankData",
        '{"list": "list.txt", "crop": 224, "list_groups": 4, "groups": 4, "levels": 3, "images": 2}',
    ),
    "expected both sides above 400": ("ft_data", "FTData", '{"list": "list.txt", "crop": 400, "batch": 2}'),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_wrong_parameters_are_named(caffe, message):
    """Errors name the wrong parameter; param_str is parsed as JSON and never evaluated."""
    if not isinstance(caffe, Live):
        pytest.skip("Caffe's own errors need live Caffe")
    module, layer, text = BAD[message]
    python = f'module: "caffe_ref.layers.{module}" layer: "{layer}" param_str: {json.dumps(text)}'
    net = f'layer {{ name: "data" type: "Python" top: "data" top: "label" python_param {{ {python} }} }}\n'
    files = {"net.prototxt": net, "list.txt": _list(10), **{p.name: p for p in PHOTOGRAPHS}}
    with pytest.raises(CaffeError) as error:
        caffe.ask("bad", [{"name": "n", "kind": "forward", "net": "net.prototxt"}], {}, files)
    assert message in str(error.value)
