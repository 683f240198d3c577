"""Fixtures of tests that run the original's verified files in the image, on small data sets in its layout."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "caffe_ref"))

import look_alikes  # noqa: E402
import run_original  # noqa: E402

import get_upstream  # noqa: E402
from caffe_client import IMAGE, Live  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("upstream")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """Return a folder of the original's verified files; skip the test without RANKIQA_UPSTREAM."""
    place = os.environ.get("RANKIQA_UPSTREAM")
    if not place:
        pytest.skip("the original's files are not here: RANKIQA_UPSTREAM=PATH names a checkout, mirror or archive")
    folder = tmp_path_factory.mktemp("upstream") / "RankIQA"
    get_upstream.get(folder, place)
    return folder


@pytest.fixture(scope="session")
def live(checkout, caffe):
    """Return live Caffe with the original's files in its image and numpy's seed 7 in its layers, without recordings."""
    if not isinstance(caffe, Live):
        pytest.skip("the original's files run in live Caffe only")
    return Live(caffe.client, environment={"CAFFE_SEED": "7"})


@pytest.fixture(scope="session")
def run(live):
    """Return original.run for the default image."""
    return partial(run_original.run, IMAGE)


@pytest.fixture(scope="session")
def ready(live, checkout, tmp_path_factory):
    """Return root/{data,models,results} with every data set, initial weights, and lists of upstream's generators."""
    root = tmp_path_factory.mktemp("original")
    data = look_alikes.layout(root, checkout)
    assert run_original.run(IMAGE, root, "upstream_data").status == 0
    look_alikes.rank_live(data, images=10)
    look_alikes.rank_tid2013(data, images=5)
    look_alikes.tid2013(data)
    look_alikes.live(data)
    look_alikes.weights(root / "models")
    for folder, script in run_original.GENERATORS:
        result = run_original.run(IMAGE, root, "python", script, folder=folder, CAFFE_SEED=3)
        assert result.status == 0, result
    for path in (data / "rank_tid2013").glob("*.txt"):
        shutil.move(path, data / path.name)
    run_original.own(root)
    return root
