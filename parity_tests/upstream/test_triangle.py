"""Upstream's loss and data layers, ours in caffe_ref/layers, and the port agree."""

import json

import numpy as np
import pytest
import torch
from look_alikes import PHOTOGRAPHS, SIDE, photograph

import rankiqa
from lib.minibatch_order import ft_order, rank_order

CROP = 224
LOSSES = {  # dataset: (groups, levels, images)
    "live": (4, 6, 2),
    "tid2013": (9, 5, 1),
}


def _python(module, layer, param=None):
    text = f" param_str: {json.dumps(param if isinstance(param, str) else json.dumps(param))}" if param else ""
    return f'module: "{module}" layer: "{layer}"{text}'


def _loss_net(number, python):
    return (
        f'input: "scores" input_shape {{ dim: {number} dim: 1 }} input: "label" input_shape {{ dim: {number} }} '
        f'force_backward: true layer {{ name: "loss" type: "Python" bottom: "scores" bottom: "label" top: "loss" '
        f"loss_weight: 1 python_param {{ {python} }} }}"
    )


def _score_sets(number):
    """Return sets of scores: near and far, equal, exactly at the margin, sorted both ways."""
    rng = np.random.default_rng(number)
    sets = [rng.normal(0, scale, number) for scale in (1e-3, 1, 5, 10, 30, 1000) for _ in range(3)]
    sets += [np.zeros(number), rng.integers(-2, 3, number) * 10.0, rng.integers(0, 4, number) * 5.0]
    sets += [np.sort(rng.normal(0, 20, number)), -np.sort(rng.normal(0, 20, number))]
    return [scores.astype(np.float32).reshape(number, 1) for scores in sets]


@pytest.mark.parametrize("dataset", LOSSES)
def test_ranking_loss(live, parity, dataset):
    groups, levels, images = LOSSES[dataset]
    number = groups * levels * images
    sets = _score_sets(number)
    files = {
        "upstream.prototxt": _loss_net(number, _python(f"src.MyLossLayer.netloss_{dataset}", "MyLossLayer")),
        "ours.prototxt": _loss_net(
            number,
            _python(
                "caffe_ref.layers.ranking_loss",
                "PairRankingLoss",
                {"groups": groups, "levels": levels, "images": images},
            ),
        ),
    }
    arrays = {f"s{n}": scores for n, scores in enumerate(sets)} | {"label": np.zeros(number, np.float32)}
    jobs = [
        {
            "name": f"{who}/{n}",
            "kind": "forward",
            "net": f"{who}.prototxt",
            "inputs": {"scores": f"s{n}", "label": "label"},
            "backward": True,
            "return": ["tops", "diffs"],
        }
        for who in ("upstream", "ours")
        for n in range(len(sets))
    ]
    answer = live.ask(f"upstream/loss_{dataset}", jobs, arrays, files)
    for n, scores in enumerate(sets):
        loss, gradient = f"upstream/{n}/top/loss/0", f"upstream/{n}/diff/scores"
        for theirs, what in ((loss, "loss"), (gradient, "gradient")):
            ours = answer.array(theirs.replace("upstream", "ours", 1))
            parity.check("triangle", f"{dataset} {what} {n}: our layer", answer.error(theirs, ours), 0)
        port = torch.tensor(scores[:, 0], requires_grad=True)
        value = rankiqa.pair_ranking_loss(port, distortions=groups, levels=levels, images=images)
        value.backward()
        parity.check(
            "triangle", f"{dataset} loss {n}: port", answer.error(loss, value.detach().numpy().reshape(1)), 1e-6
        )
        parity.check(
            "triangle", f"{dataset} gradient {n}: port", answer.error(gradient, port.grad.numpy()[:, None]), 1e-6
        )
    wrong = rankiqa.pair_ranking_loss(
        torch.tensor(sets[4][:, 0]), distortions=groups, levels=levels, images=images, margin=1.0
    )
    error = answer.error("upstream/4/top/loss/0", wrong.numpy().reshape(1))
    parity.must_fail("triangle", f"wrong: {dataset}, margin 1", error, 1e-6)


# name: (batch size, (our module, layer, parameters), lines, the expected order)
TID = {"list_groups": 18, "groups": 9, "levels": 5, "images": 1}
LIVE = {"list_groups": 4, "groups": 4, "levels": 6, "images": 2}
LAYERS = {
    "rank_layer_live": (48, ("rank_data", "RankData", LIVE), 120, lambda p: rank_order(p, 7, **LIVE, per_level=5)),
    "rank_layer_tid2013": (45, ("rank_data", "RankData", TID), 180, lambda p: rank_order(p, 7, **TID, per_level=2)),
    "ft_layer_live": (30, ("ft_data", "FTData", {"batch": 30}), 95, lambda p: ft_order(p, 7, 95, 30, False)),
    "ft_layer_tid2013": (
        30, ("ft_data", "FTData", {"batch": 30, "sort_by_label": True}), 95, lambda p: ft_order(p, 7, 95, 30, True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_data_layers(live, parity, name, tmp_path):
    """Compare lines and pixels of minibatches 1, 2 and 5; images of 225 pixels leave one place for a crop."""
    import cv2

    batch, (module, layer, param), lines, order = LAYERS[name]
    pictures = {}
    for n in range(len(PHOTOGRAPHS)):
        pictures[f"{n}.png"] = tmp_path / f"{n}.png"
        cv2.imwrite(str(pictures[f"{n}.png"]), photograph(n))
    text = "".join(f"{n % len(pictures)}.png {n}\n" for n in range(lines))
    theirs = f"{{'pascal_root': '.', 'split': 'list', 'im_shape': [{CROP}, {CROP}], 'batch_size': {batch}}}"
    ours = {**param, "list": "list.txt", "crop": CROP, "seed": 7}
    net = 'layer {{ name: "data" type: "Python" top: "data" top: "label" python_param {{ {} }} }}'
    files = {
        "upstream.prototxt": net.format(_python(f"src.data_layer.{name}", "DataLayer", theirs)),
        "ours.prototxt": net.format(_python(f"caffe_ref.layers.{module}", layer, ours)),
        "list.txt": text,
        **pictures,
    }
    for passes in (1, 2, 5):
        # Ask each separately: upstream draws from numpy's global generator, which is seeded when the process starts
        jobs = [
            {"name": who, "kind": "forward", "net": f"{who}.prototxt", "forwards": passes, "return": ["tops"]}
            for who in ("upstream", "ours")
        ]
        answer = live.ask(f"upstream/{name}", jobs, {}, files)
        labels, data = "upstream/top/data/1", "upstream/top/data/0"
        for key, what in ((labels, "lines"), (data, "pixels")):
            error = answer.error(key, answer.array(key.replace("upstream", "ours", 1)))
            parity.check("triangle", f"{name}: {what} of minibatch {passes}", error, 0)
        expected = np.array(order(passes))
        parity.check("triangle", f"{name}: lines {passes} by hand", answer.error(labels, expected), 0)
        crops = [
            rankiqa.take_crops(
                photograph(n % len(pictures))[..., ::-1], np.array([[0, 0]]), rankiqa.InputSpec(CROP)
            ).numpy()[0]
            for n in expected
        ]
        parity.check("triangle", f"{name}: pixels {passes} by the port", answer.error(data, np.stack(crops)), 0)
        wrong = np.array(order(passes + 1))
        parity.must_fail("triangle", f"wrong: {name}, one minibatch late", answer.error(labels, wrong), 0)
    assert SIDE == CROP + 1
