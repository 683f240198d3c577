"""Pictures and weights with a stated meaning of their score, for the tests of the metric."""

import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.models.score_meaning import MEANINGS


def pictures(photograph):
    """Return a photograph, the same upside down and its negative: uint8 (3, 300, 450, 3), RGB."""
    image = rankiqa.read_image(photograph)
    return np.stack([image, image[::-1], 255 - image])


@pytest.fixture(scope="session")
def metric_batch(photograph):
    """The pictures as a float32 tensor (3, 3, 300, 450), RGB, 0..1."""
    return torch.from_numpy(pictures(photograph)).permute(0, 3, 1, 2) / 255


@pytest.fixture
def falling(write, tmp_path):
    """A weights file whose metadata says that a lower score is better."""
    return write(tmp_path / "falling.safetensors", **MEANINGS["live-ft"].metadata())


@pytest.fixture
def rising(write, tmp_path):
    """The same weights; the metadata says that a higher score is better."""
    return write(tmp_path / "rising.safetensors", **MEANINGS["tid2013-rank"].metadata())
