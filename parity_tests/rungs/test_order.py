"""Parity test `order`: lines and crops of 1,000 minibatches of the original's four data layers, from one seed."""

import functools
import hashlib
import itertools
import json

import numpy as np
import pytest

import rankiqa
from lib.tolerances import EXACT
from rankiqa.data import order as order_module
from rankiqa.data.argsort_2017 import argsort_2017
from rankiqa.data.minibatches import Crops, minibatches
from rankiqa.data.order import FAITHFUL, SANE, Quirks
from rankiqa.training.presets import PRESETS
from rankiqa.training.tasks import task_of
from sample_networks import CROPS

CROP, SEED, ITERATIONS = 24, 11, 1000
PHOTOGRAPHS = sorted(CROPS.glob("*.png"))
RANK, FINE_TUNE = (task_of(PRESETS[name]) for name in ("live-rank", "live-ft"))
LINES = {
    "live-rank": 4 * 6 * 31,
    "tid2013-rank": 18 * 5 * 7,
    "live-ft": 779,
    "tid2013-ft": 2280,
}  # 31 is odd: with two images per level, one image is left over


def _labels(name):
    if name == "live-rank":
        return np.tile(np.repeat(np.arange(6), 31), 4)
    if name == "tid2013-rank":
        return np.tile(np.repeat(np.arange(5), 7), 18)
    scores = np.random.RandomState(3).beta(2, 2, LINES[name]) * (100 if name == "live-ft" else 8)
    return np.round(scores, 2)  # two decimals, as in the original's lists: some labels are equal


def _list(name):
    lines = zip(itertools.cycle(PHOTOGRAPHS), _labels(name), strict=False)
    return "".join(f"{path.name} {label:.2f}\n" for path, label in lines)


def _net(name):
    preset = PRESETS[name]
    param = {"list": "list.txt", "crop": CROP, "seed": SEED, "cache_mb": 500}
    if preset.task == "rank":
        param.update(list_groups=preset.list_groups, groups=preset.groups, levels=preset.levels, images=preset.images)
        layer = 'module: "caffe_ref.layers.rank_data" layer: "RankData"'
    else:
        param.update(batch=preset.batch, sort_by_label=preset.sort_by_label)
        layer = 'module: "caffe_ref.layers.ft_data" layer: "FTData"'
    text = json.dumps(json.dumps(param))
    return (
        f'layer {{ name: "d" type: "Python" top: "data" top: "label" python_param {{ {layer} param_str: {text} }} }}\n'
    )


@pytest.fixture
def image_list(tmp_path):
    """Return a function that writes and reads the list of a data layer."""

    def make(name):
        path = tmp_path / f"{name}.txt"
        path.write_text(_list(name))
        return rankiqa.data.image_lists.read_list(path, CROPS)

    return make


def _fed(images, name, iterations=ITERATIONS, workers=0, **options):
    """Return (labels (iterations, N), SHA-256 of the crops (iterations, 32)) of the port's minibatches."""
    options = {"seed": SEED, "quirks": FAITHFUL, **options}
    order = task_of(PRESETS[name]).order(images, options["seed"], options["quirks"])
    loader = minibatches(images, order, spec=rankiqa.InputSpec(CROP), workers=workers, cache_mb=500, **options)
    labels, digests = [], []
    for crops, label in itertools.islice(loader, iterations):
        labels.append(label.numpy())
        digests.append(np.frombuffer(hashlib.sha256(crops.numpy().tobytes()).digest(), np.uint8))
    return np.array(labels), np.array(digests)


def _ask(caffe, name):
    files = {"net.prototxt": _net(name), "list.txt": _list(name), **{p.name: p for p in PHOTOGRAPHS}}
    job = {"name": "m", "kind": "minibatches", "net": "net.prototxt", "iterations": ITERATIONS}
    return caffe.ask(f"order/{name}", [job], {}, files)


def _apart(answer, digests):
    """Count the minibatches in which any pixel differs."""
    return float((answer.array("m/sha256")[: len(digests)] != digests).any(1).sum())


@pytest.mark.parametrize("name", LINES)
def test_minibatches(caffe, parity, image_list, name):
    answer = _ask(caffe, name)
    labels, digests = _fed(image_list(name), name)
    parity.check("order", f"{name}: labels of 1,000 minibatches", answer.error("m/labels", labels), EXACT)
    parity.check("order", f"{name}: crops of 1,000 minibatches", _apart(answer, digests), EXACT)
    _, other = _fed(image_list(name), name, 20, seed=SEED + 1)
    parity.must_fail("order", f"wrong: {name}, the next seed", _apart(answer, other), EXACT)


WRONG = {
    "live-rank": ["last_offset_never_drawn", "sequential"],
    "tid2013-rank": ["last_offset_never_drawn", "sequential"],
    "live-ft": ["last_offset_never_drawn"],
    "tid2013-ft": ["last_offset_never_drawn", "sorted_batch"],
}


@pytest.mark.parametrize(("name", "quirk"), [(name, quirk) for name in WRONG for quirk in WRONG[name]])
def test_each_quirk_counts(caffe, parity, image_list, name, quirk):
    """Without one of the original's quirks, minibatches differ."""
    _, digests = _fed(image_list(name), name, 80, quirks=Quirks(**{quirk: False}))
    parity.must_fail("order", f"wrong: {name} without {quirk}", _apart(_ask(caffe, name), digests), EXACT)


def test_last_batch_dropped(caffe, parity, tmp_path):
    """The quirk has an effect where whole minibatches fill the list: 25 minibatches of 30 in 750 lines."""
    lines = _list("live-ft").splitlines(keepends=True)[:750]
    files = {"net.prototxt": _net("live-ft"), "list.txt": "".join(lines), **{p.name: p for p in PHOTOGRAPHS}}
    job = {"name": "m", "kind": "minibatches", "net": "net.prototxt", "iterations": 60}
    answer = caffe.ask("order/live-ft_750", [job], {}, files)
    (tmp_path / "list.txt").write_text("".join(lines))
    images = rankiqa.data.image_lists.read_list(tmp_path / "list.txt", CROPS)
    _, digests = _fed(images, "live-ft", 60)
    parity.check("order", "live-ft, 750 lines: crops of 60 minibatches", _apart(answer, digests), EXACT)
    _, digests = _fed(images, "live-ft", 60, quirks=Quirks(last_batch_dropped=False))
    parity.must_fail("order", "wrong: live-ft without last_batch_dropped", _apart(answer, digests), EXACT)


def test_equal_labels_as_numpy_of_its_time(caffe, parity, image_list, monkeypatch):
    """numpy of 2017 did not keep equal labels in their order, so that a stable sort differs."""
    monkeypatch.setattr(order_module, "argsort_2017", functools.partial(np.argsort, kind="stable"))
    _, digests = _fed(image_list("tid2013-ft"), "tid2013-ft", 200)
    apart = _apart(_ask(caffe, "tid2013-ft"), digests)
    parity.must_fail("order", "wrong: tid2013-ft sorted by a stable sort", apart, EXACT)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_never_change_the_minibatches(image_list, name):
    images = image_list(name)
    _, alone = _fed(images, name, 12)
    for workers in (1, 4):
        _, digests = _fed(images, name, 12, workers=workers)
        assert (digests == alone).all()
    _, late = _fed(images, name, 5, workers=1, start=7)
    assert (late == alone[7:]).all()


def test_sane_order(image_list):
    """Without the quirks every image is used, and the labels instead of the list's order say which level is better."""
    images = image_list("live-rank")
    seen, sampler = set(), RANK.order(images, 0, SANE)
    for batch in itertools.islice(sampler, 300):
        seen.update(line for line, _ in batch)
    assert seen == set(range(LINES["live-rank"]))
    turned = rankiqa.data.image_lists.ImageList("turned", images.paths, -images.labels, "")
    (batch,) = itertools.islice(RANK.order(turned, 0, SANE), 1)
    assert (np.diff(turned.labels[[line for line, _ in batch]].reshape(4, 6, 2), axis=1) > 0).all()
    (batch,) = itertools.islice(RANK.order(turned, 0, FAITHFUL), 1)
    assert (np.diff(turned.labels[[line for line, _ in batch]].reshape(4, 6, 2), axis=1) < 0).all()


def test_sort_of_2017():
    """It sorts; without equal values there is only one right answer."""
    random = np.random.RandomState(0)
    for n in (1, 2, 16, 17, 18, 30, 31, 200):
        values = random.permutation(n) / 7
        assert (argsort_2017(values) == np.argsort(values)).all()


def test_bad_lists(tmp_path):
    path = tmp_path / "list.txt"
    cases = {
        "a.png 1\nb.png\n": "line 2: expected `path label`",
        "": "an empty file",
        "a.png nan\n": "expected a finite number",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            rankiqa.data.image_lists.read_list(path)
    with pytest.raises(ValueError, match=r"none\.txt: expected a list"):
        rankiqa.data.image_lists.read_list(tmp_path / "none.txt")
    path.write_text("a.png 1\n" * 30)
    images = rankiqa.data.image_lists.read_list(path)
    with pytest.raises(ValueError, match="expected at least 31 lines"):
        FINE_TUNE.order(images, 0, FAITHFUL)
    with pytest.raises(ValueError, match="4 distortions x 6 levels x at least 2 images, got 30 lines"):
        RANK.order(images, 0, FAITHFUL)
    with pytest.raises(ValueError, match=r"a\.png: expected an image, got no such file"):
        Crops(images, spec=rankiqa.InputSpec(8), seed=0)[0, 0]
