"""Parity test `nets`: caffe_ref's prototxts equal the original's as messages, as our code and Caffe parse them."""

import subprocess
import sys

import pytest

from lib.tolerances import EXACT
from sample_networks import ROOT

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

PINNED = tomllib.loads((ROOT / "caffe_ref" / "upstream.toml").read_text())


def _nets(*arguments):
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _texts():
    """Return {path upstream: (text, is it a solver)}."""
    texts = {}
    for task, folder in (("rank", "RankIQA"), ("ft", "FT")):
        for dataset in ("live", "tid2013"):
            name = "live" if (task, dataset) == ("ft", "live") else "vgg"
            path = f"src/{folder}/{dataset}"
            train = _nets("net", "vgg16", task, dataset, "train", "--layers", "upstream")
            texts[f"{path}/train_{name}.prototxt"] = train, False
            texts[f"{path}/deploy_vgg.prototxt"] = _nets("net", "vgg16", task, dataset, "deploy"), False
            texts[f"{path}/solver_{name}.prototxt"] = _nets("solver", "vgg16", task, dataset), True
    return texts


def test_twelve_files_are_pinned():
    assert len(PINNED["canonical"]) == 12
    assert set(PINNED["canonical"]) == set(_texts())


def test_digests_are_the_originals():
    ours = dict(reversed(line.split()) for line in _nets("digests").splitlines())
    assert ours == PINNED["canonical"]


def test_caffe_reads_the_same(caffe, parity):
    texts = _texts()
    jobs, files = [], {}
    for number, (text, solver) in enumerate(texts.values()):
        files[f"{number}.prototxt"] = text
        jobs.append({"name": f"{number}", "kind": "parse", "file": f"{number}.prototxt", "solver": solver})
    name = "src/RankIQA/live/train_vgg.prototxt"
    changed = texts[name][0].replace("lr_mult: 20", "lr_mult: 2", 1)
    assert changed != texts[name][0]
    files["changed.prototxt"] = changed
    jobs.append({"name": "changed", "kind": "parse", "file": "changed.prototxt"})
    answer = caffe.ask("nets", jobs, {}, files)
    for number, path in enumerate(texts):
        digest = answer.array(f"{number}/digest").tobytes().hex()
        parity.check("nets", path, float(digest != PINNED["canonical"][path]), EXACT)
    digest = answer.array("changed/digest").tobytes().hex()
    parity.must_fail("nets", "wrong: one lr_mult", float(digest != PINNED["canonical"][name]), EXACT)


@pytest.mark.parametrize("arch", ["alexnet", "shallow"])
def test_the_other_two_follow_the_same_rules(arch):
    rank, ft = (_nets("net", arch, task, "live", "train") for task in ("rank", "ft"))
    head = {"alexnet": "fc8", "shallow": "fc1"}[arch]
    assert f'name: "{head}_m"' in rank and f'name: "{head}"' in ft
    assert "lr_mult: 10" in rank and "lr_mult: 20" in rank
    assert "PairRankingLoss" in rank and "EuclideanLoss" in ft and "Correlation" in ft
    assert '"crop": 227' in rank.replace("\\", "")
    with pytest.raises(subprocess.CalledProcessError):
        _nets("net", arch, "rank", "live", "train", "--layers", "upstream")
