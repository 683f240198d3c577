"""What several unit tests use: photographs, and a small network's weights as convert.py would write them."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import rated_photographs
import tiny_experiments
import torch
from PIL import Image
from safetensors.torch import save_file

import rankiqa
from lib.distort_command import copied_photographs, distort, small_photographs, undisturbed  # noqa: F401
from lib.evaluate_command import evaluate, evaluate_json  # noqa: F401
from lib.lists_command import copy_data_set, data_set, make_lists, refuse_lists  # noqa: F401
from lib.pristine_sets import places, waterloo  # noqa: F401
from lib.rated_inputs import falling, metric_batch, rising  # noqa: F401
from lib.scored_folder import expected_rows, scored_folder  # noqa: F401
from rankiqa.cli import main

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "photographs"


@pytest.fixture(scope="session")
def photograph():
    """A path: 450 x 300, 8-bit colour."""
    return PHOTOGRAPHS / "cat.jpg"


@pytest.fixture(scope="session")
def noise_picture():
    """A Pillow RGB image, 50 wide and 60 high: blurred noise, which compresses a little."""
    noise = np.random.RandomState(0).randint(0, 256, (60, 50, 3), dtype=np.uint8)
    return Image.fromarray(cv2.GaussianBlur(noise, (5, 5), 2))


@pytest.fixture(scope="session")
def rated_folder(tmp_path_factory):
    """A folder: photographs by distortion type, and list.txt with made-up opinions."""
    return rated_photographs.make(tmp_path_factory.mktemp("rated"), PHOTOGRAPHS)


@pytest.fixture(scope="session")
def levels_folder(tmp_path_factory):
    """A folder with a finished `rankiqa experiment levels` of two iterations."""
    folder = tmp_path_factory.mktemp("experiment")
    assert main(tiny_experiments.command(folder)) == 0
    return folder


@pytest.fixture(scope="session")
def real():
    """A folder: real images with people's scores."""
    folder = Path(os.environ.get("RANKIQA_REAL") or PHOTOGRAPHS.parents[2] / "shared" / "real")
    if not folder.is_dir():
        pytest.skip(f"{folder}: no real images (RANKIQA_REAL names their folder)")
    return folder


def write_weights(path, *, state=None, **metadata):
    """A file of Shallow's weights with the metadata that the port reads; keywords change it, None removes an entry."""
    torch.manual_seed(0)
    model = rankiqa.build("shallow")
    entries = {"format": "rankiqa", "version": "1", "arch": "shallow", "head": model.head, "fc": json.dumps(model.fc)}
    entries = {key: value for key, value in (entries | metadata).items() if value is not None}
    save_file(model.state_dict() if state is None else state, path, metadata=entries)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A path: Shallow with fixed random weights."""
    return write_weights(tmp_path_factory.mktemp("weights") / "shallow.safetensors")


@pytest.fixture
def model(weights):
    return rankiqa.load(weights)


@pytest.fixture
def write():
    return write_weights
