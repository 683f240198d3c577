"""A timm network that was trained here, as a metric of torchmetrics and pyiqa."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import rankiqa
from lib.backbone_trainings import TINY
from rankiqa.cli import main

pytest.importorskip("timm")
PHOTOGRAPHS = sorted((Path(__file__).parents[1] / "photographs").glob("*.jpg"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a timm network on three photographs that are distorted on the fly; return its weights file."""
    folder = tmp_path_factory.mktemp("timm")
    for photograph in PHOTOGRAPHS[:3]:
        pixels = cv2.resize(rankiqa.read_image(photograph), (240, 200), interpolation=cv2.INTER_AREA)
        Image.fromarray(pixels).save(folder / f"{photograph.stem}.png")
    settings = {"groups": 2, "levels": 3, "images": 1, "max_iter": 3, "snapshot": 0, "display": 0, "test_interval": 0}
    code = main([
        "train", "live-rank", "--distort", "live", "--photographs", str(folder), "--out", str(folder / "run"), "--arch",
        TINY, *(f"--set={name}={value}" for name, value in settings.items()),
    ])  # fmt: skip
    assert code == 0
    return folder / "run" / "live-rank_iter_3.safetensors"


@pytest.fixture(scope="module")
def rated(trained):
    """Return images (2, 3, H, W) and their scores by rankiqa.metric."""
    images = torch.rand(2, 3, 180, 200, generator=torch.Generator().manual_seed(0))
    scores = rankiqa.metric(trained, crops=2)(images)
    model = rankiqa.load(trained)
    assert model.arch == TINY
    pixels = (images[0] * 255).round().to(torch.uint8)
    single = rankiqa.score(model, np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), crops=2).score
    assert rankiqa.metric(trained, crops=2)(pixels[None] / 255).item() == pytest.approx(single, rel=1e-4, abs=1e-6)
    return images, scores


def test_a_network_of_timm_in_torchmetrics(trained, rated):
    pytest.importorskip("torchmetrics")
    from rankiqa.scoring.torchmetrics_metric import RankIQA

    images, scores = rated
    measure = RankIQA(trained, crops=2)
    for image in images:
        measure.update(image[None])
    assert measure.compute().item() == pytest.approx(scores.mean().item(), rel=1e-5)
    assert measure.higher_is_better is False


def test_a_network_of_timm_in_pyiqa(trained, rated):
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed (its licence is its own)")
    images, scores = rated
    rankiqa.pyiqa.register(trained, "rankiqa-timm")
    metric = pyiqa.create_metric("rankiqa-timm", device="cpu", crops=2)
    assert metric.lower_better is True
    assert torch.equal(metric(images).squeeze(1), scores)
