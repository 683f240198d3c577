"""Pictures and weights with a stated meaning of their score, for the tests of the metric."""

import numpy as np
import torch

import rankiqa
from rankiqa.models.score_meaning import MEANINGS


def pictures(photograph):
    """Return a photograph, the same upside down and its negative: uint8 (3, 300, 450, 3), RGB."""
    image = rankiqa.read_image(photograph)
    return np.stack([image, image[::-1], 255 - image])


def as_batch(images):
    """Return uint8 images (N, H, W, 3) as a float32 tensor (N, 3, H, W), 0..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def lower_better_weights(write, folder):
    """Write weights for which a lower score is better; write: the fixture of that name."""
    return write(folder / "falling.safetensors", **MEANINGS["live-ft"].metadata())


def higher_better_weights(write, folder):
    """Write the same weights, for which a higher score is better; write: the fixture of that name."""
    return write(folder / "rising.safetensors", **MEANINGS["tid2013-rank"].metadata())
