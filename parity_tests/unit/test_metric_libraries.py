"""The metric in torchmetrics, pyiqa and torch.hub."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rankiqa


def test_torchmetrics(falling, metric_batch):
    pytest.importorskip("torchmetrics")
    from rankiqa.scoring.torchmetrics_metric import RankIQA

    measure = RankIQA(falling, crops=2)
    assert measure.higher_is_better is False and measure.is_differentiable
    expected = rankiqa.metric(falling, crops=2)(metric_batch)
    measure.update(metric_batch[:2])
    measure.update(metric_batch[2:])
    assert measure.compute().item() == pytest.approx(expected.mean().item(), rel=1e-6)
    other = RankIQA(falling, crops=2)
    other.update(metric_batch[:1])
    # the score of this batch only
    assert measure(metric_batch[:1]).item() == pytest.approx(expected[0].item(), rel=1e-6)
    assert measure.total == 4
    measure.reset()
    assert measure.total == 0
    pytest.importorskip("matplotlib").use("Agg")
    figure, axes = other.plot()
    assert figure is not None and axes is not None


RANKS = """
import sys, torch, torch.distributed as dist
from rankiqa.scoring.torchmetrics_metric import RankIQA
rank, store, weights = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
images = torch.rand(3, 3, 240, 240, generator=torch.Generator().manual_seed(0))
measure = RankIQA(weights, crops=2)
measure.update(images[:1] if rank == 0 else images[1:])
print(repr(measure.compute().item()))
"""


def test_torchmetrics_over_ranks(falling, tmp_path):
    pytest.importorskip("torchmetrics")
    words = [sys.executable, "-c", RANKS]
    runs = [
        subprocess.Popen([*words, str(rank), str(tmp_path / "store"), str(falling)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    answers = [float(run.communicate(timeout=180)[0]) for run in runs]
    images = torch.rand(3, 3, 240, 240, generator=torch.Generator().manual_seed(0))
    expected = rankiqa.metric(falling, crops=2)(images).mean().item()
    # The mean over 1 + 2 images, which differs from the mean of two means
    assert answers[0] == answers[1] == pytest.approx(expected, rel=1e-5)


def test_pyiqa(falling, rising, write, tmp_path, metric_batch):
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed (its licence is its own)")
    rankiqa.pyiqa.register()
    expected = rankiqa.metric(falling, crops=2)(metric_batch)
    metric = pyiqa.create_metric("rankiqa", device="cpu", path=str(falling), crops=2)
    assert torch.equal(metric(metric_batch).squeeze(1), expected)
    assert metric.net.lower_better is True
    rankiqa.pyiqa.register(falling)
    rankiqa.pyiqa.register(rising, "rankiqa-tid2013")
    metric = pyiqa.create_metric("rankiqa", device="cpu", crops=2)
    assert metric.lower_better is True and metric.score_range == "~0, ~100"
    assert torch.equal(metric(metric_batch).squeeze(1), expected)
    assert pyiqa.create_metric("rankiqa-tid2013", device="cpu").lower_better is False
    assert {"rankiqa", "rankiqa-tid2013"} <= set(pyiqa.list_models("NR"))
    loss = pyiqa.create_metric("rankiqa", device="cpu", crops=2, as_loss=True)
    image = metric_batch[:1].clone().requires_grad_()
    loss(image).backward()
    assert image.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="under another name"):
        pyiqa.create_metric("rankiqa", device="cpu", path=str(rising))
    with pytest.raises(ValueError, match="a name that pyiqa does not use"):
        rankiqa.pyiqa.register(falling, "niqe")


def test_pyiqa_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(ValueError, match="expected the package pyiqa"):
        rankiqa.pyiqa.register()


def test_torch_hub(falling, metric_batch):
    port = str(Path(__file__).resolve().parents[2] / "port")
    metric = torch.hub.load(port, "rankiqa", path=falling, crops=2, source="local")
    assert torch.equal(metric(metric_batch), rankiqa.metric(falling, crops=2)(metric_batch))
    network = torch.hub.load(port, "rankiqa_network", path=falling, source="local")
    assert network.arch == "shallow"
