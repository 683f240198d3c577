"""`rankiqa.metric`: the score of `rankiqa.score` on batches of tensors, its gradients, its meaning, its errors."""

import numpy as np
import pytest
import torch

import rankiqa
from lib.rated_inputs import as_batch, higher_better_weights, lower_better_weights, pictures


@pytest.fixture(scope="module")
def images(photograph):
    return pictures(photograph)


@pytest.fixture(scope="module")
def batch(images):
    return as_batch(images)


@pytest.fixture
def falling(write, tmp_path):
    return lower_better_weights(write, tmp_path)


@pytest.fixture
def rising(write, tmp_path):
    return higher_better_weights(write, tmp_path)


CROPS = 12  # two chunks

SCORE_RTOL = 1e-5  # v / 255 * 255 may change a pixel's last bit


def test_equals_the_score_of_8_bit_images(weights, images, batch):
    model = rankiqa.load(weights)
    expected = [rankiqa.score(model, np.ascontiguousarray(image), crops=CROPS, seed=3).score for image in images]
    scores = rankiqa.metric(weights, crops=CROPS, seed=3)(batch)
    assert scores.shape == (3,) and scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, rtol=SCORE_RTOL)
    turned = rankiqa.metric(weights, crops=CROPS, seed=3)(batch.flip(1))
    assert not np.allclose(turned.numpy(), expected, rtol=100 * SCORE_RTOL)  # BGR gives another score
    assert not np.allclose(rankiqa.metric(weights, crops=CROPS)(batch).numpy(), expected, rtol=100 * SCORE_RTOL)


def test_float32_whatever_is_around(weights, batch):
    """Autocast changes no bit of a score; weights of another type are refused with a clear error."""
    metric = rankiqa.metric(weights, crops=2)
    expected = metric(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(batch), expected)
    with pytest.raises(ValueError, match=r"metric: expected weights in float32, got torch\.bfloat16"):
        metric.bfloat16()(batch)


def test_neither_batch_nor_neighbours_matter(weights, batch):
    metric = rankiqa.metric(weights, crops=CROPS)
    together = metric(batch)
    assert torch.equal(together, torch.cat([metric(image[None]) for image in batch]))
    assert torch.equal(metric(batch[[2, 0]]), together[[2, 0]])
    assert torch.equal(metric.train()(batch), together)  # dropout stays off
    torch.manual_seed(9)
    assert torch.equal(metric(batch), together)


def test_gradients_reach_the_image(falling, rising, batch):
    small = batch[:1, :, :240, :240].clone().requires_grad_()
    metric = rankiqa.metric(falling, crops=2)
    metric(small).sum().backward()
    assert small.grad is not None and small.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in metric.parameters())
    step = 1e-3 * small.grad / small.grad.abs().max()
    inside = (small.detach() - step).clamp(0, 1)
    assert metric(inside) < metric(small.detach())
    values = [rankiqa.metric(path, crops=2, as_loss=True)(batch) for path in (falling, rising)]
    assert values[0].shape == () and torch.equal(values[0], -values[1])
    assert values[0].item() == pytest.approx(rankiqa.metric(falling, crops=2)(batch).mean().item())


def test_what_the_score_means(weights, falling, rising):
    assert (rankiqa.metric(falling).lower_better, rankiqa.metric(falling).score_range) == (True, (0.0, 100.0))
    assert (rankiqa.metric(rising).lower_better, rankiqa.metric(rising).score_range) == (False, None)
    assert rankiqa.metric(weights).lower_better is None
    assert rankiqa.metric(rising, as_loss=True).lower_better is True
    with pytest.raises(ValueError, match="as_loss: expected weights that say"):
        rankiqa.metric(weights, as_loss=True)


def test_a_network_that_is_given_stays_as_it_was(weights, batch):
    model = rankiqa.load(weights).train()
    metric = rankiqa.metric(model, crops=2)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    before = metric(batch[:1])
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert torch.equal(metric(batch[:1]), before)


def test_another_input_spec(batch):
    """The metric follows an input spec of RGB with mean and deviation, as backbones have."""
    from rankiqa.data.input_spec import InputSpec

    class Mean(torch.nn.Module):
        input_spec = InputSpec(224, "RGB", 1.0, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
        lower_is_better, score_range, crop = None, None, 224

        def __init__(self):
            super().__init__()
            self.weights = torch.nn.Parameter(torch.tensor([1.0, 10.0, 100.0]))

        def forward(self, x):
            return (x.mean((2, 3)) * self.weights).sum(1, keepdim=True)

    image = (batch[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    expected = rankiqa.score(Mean(), np.ascontiguousarray(image), crops=3).score
    assert rankiqa.metric(Mean(), crops=3)(batch[:1]).item() == pytest.approx(expected, rel=SCORE_RTOL)


good = torch.rand(2, 3, 240, 250)


@pytest.mark.parametrize(
    "images, message",
    [
        (good * 255, r"values in 0\.\.1, got .* divide by 255"),
        (good - 0.5, r"values in 0\.\.1"),
        (good.where(good > 0.1, torch.nan), r"values in 0\.\.1, got nan"),
        (torch.zeros(2, 4, 240, 250), "alpha"),
        (torch.zeros(2, 1, 240, 250), r"expected \(N, 3, H, W\)"),
        (torch.zeros(3, 240, 250), "batch axis"),
        (torch.zeros(2, 240, 250, 3), r"got \(2, 240, 250, 3\)"),
        (torch.zeros(0, 3, 240, 250), "N of 1 or more"),
        (torch.zeros(2, 3, 240, 0), "expected pixels"),
        ((good * 255).to(torch.uint8), "divide by 255"),
        (torch.zeros(1, 3, 227, 250), "above 227"),
        (np.zeros((1, 3, 240, 250), np.float32), "expected a tensor"),
        (good.to("meta"), "device"),
    ],
)
def test_refuses(weights, images, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.metric(weights, crops=1)(images)


def test_refuses_options(weights):
    with pytest.raises(ValueError, match="crops: expected 1"):
        rankiqa.metric(weights, crops=0)
    with pytest.raises(ValueError, match="seed: expected"):
        rankiqa.metric(weights, seed=-1)


# torchmetrics


def test_torchmetrics(falling, batch):
    pytest.importorskip("torchmetrics")
    from rankiqa.scoring.torchmetrics_metric import RankIQA

    measure = RankIQA(falling, crops=2)
    assert measure.higher_is_better is False and measure.is_differentiable
    expected = rankiqa.metric(falling, crops=2)(batch)
    measure.update(batch[:2])
    measure.update(batch[2:])
    assert measure.compute().item() == pytest.approx(expected.mean().item(), rel=1e-6)
    other = RankIQA(falling, crops=2)
    other.update(batch[:1])
    assert measure(batch[:1]).item() == pytest.approx(expected[0].item(), rel=1e-6)  # of this batch alone
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
    assert answers[0] == answers[1] == pytest.approx(expected, rel=1e-5)  # 1 and 2 images, not the mean of two means


# pyiqa


def test_pyiqa(falling, rising, write, tmp_path, batch):
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed (its licence is its own)")
    rankiqa.pyiqa.register()
    expected = rankiqa.metric(falling, crops=2)(batch)
    metric = pyiqa.create_metric("rankiqa", device="cpu", path=str(falling), crops=2)
    assert torch.equal(metric(batch).squeeze(1), expected)
    assert metric.net.lower_better is True
    rankiqa.pyiqa.register(falling)
    rankiqa.pyiqa.register(rising, "rankiqa-tid2013")
    metric = pyiqa.create_metric("rankiqa", device="cpu", crops=2)
    assert metric.lower_better is True and metric.score_range == "~0, ~100"
    assert torch.equal(metric(batch).squeeze(1), expected)
    assert pyiqa.create_metric("rankiqa-tid2013", device="cpu").lower_better is False
    assert {"rankiqa", "rankiqa-tid2013"} <= set(pyiqa.list_models("NR"))
    loss = pyiqa.create_metric("rankiqa", device="cpu", crops=2, as_loss=True)
    image = batch[:1].clone().requires_grad_()
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


# torch.hub, torch.export, ONNX


def test_torch_hub(falling, batch):
    port = str(Path(__file__).resolve().parents[2] / "port")
    metric = torch.hub.load(port, "rankiqa", path=falling, crops=2, source="local")
    assert torch.equal(metric(batch), rankiqa.metric(falling, crops=2)(batch))
    network = torch.hub.load(port, "rankiqa_network", path=falling, source="local")
    assert network.arch == "shallow"


def crops_of(model, images, n):
    offsets = rankiqa.crop_offsets(*images[0].shape[:2], model.crop, n, np.random.RandomState(0))
    return rankiqa.take_crops(images[0], offsets, model.input_spec)


def test_torch_export_with_any_batch(weights, images):
    model = rankiqa.load(weights)
    program = torch.export.export(
        model, (crops_of(model, images, 2),), dynamic_shapes=({0: torch.export.Dim("N")},)
    ).module()
    for n in (1, 5):
        crops = crops_of(model, images, n)
        torch.testing.assert_close(program(crops), model(crops), rtol=1e-5, atol=1e-5)


def run_onnx(path, crops):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": crops.numpy()})[0], session.get_outputs()[0].name


@pytest.mark.parametrize("arch", ["shallow", "alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_onnx(arch, images, tmp_path):
    pytest.importorskip("onnxscript")
    if torch.__version__ < onnx_export.OLDEST:
        pytest.skip("this PyTorch cannot export live networks")
    torch.manual_seed(0)
    model = rankiqa.build(arch).train()
    path = tmp_path / "m.onnx"
    rankiqa.export_onnx(model, path)
    assert model.training and os.listdir(tmp_path) == ["m.onnx"]
    model.eval()
    for n in (1, 3):
        crops = crops_of(model, images, n)
        found, name = run_onnx(path, crops)
        with torch.no_grad():
            expected = model(crops).numpy()
        assert found.shape == (n, 1) and name == model.head
        assert np.abs(found - expected).max() <= ONNX_RTOL * np.abs(expected).max()
        with torch.no_grad():
            turned = model(crops.flip(1)).numpy()
        assert np.abs(found - turned).max() > ONNX_RTOL * np.abs(expected).max()
    if importlib.util.find_spec("openvino"):
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert np.abs(compiled(crops.numpy())[0] - expected).max() <= ONNX_RTOL * np.abs(expected).max()


def test_dense_onnx_of_any_size(tmp_path):
    """Batch and size are free: a single score, a row of scores, and a map whose pooling windows the border cuts."""
    pytest.importorskip("onnxscript")
    if torch.__version__ < onnx_export.OLDEST_DENSE:
        pytest.skip("this PyTorch cannot export with sizes left open")
    torch.manual_seed(0)
    model = rankiqa.build("shallow").train()
    path = tmp_path / "dense.onnx"
    rankiqa.export_onnx(model, path, dense=True)
    assert model.training
    model.eval()
    engines = [lambda x: run_onnx(path, x)[0]]
    if importlib.util.find_spec("openvino"):
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        engines.append(lambda x: compiled(x.numpy())[0])
    random = torch.Generator().manual_seed(0)
    for n, height, width in ((1, model.crop, model.crop), (2, model.crop + 101, model.crop + 5), (1, 300, 403)):
        images = torch.rand(n, 3, height, width, generator=random) * 255
        with torch.no_grad():
            expected = dense_forward(model, images).numpy()
        for engine in engines:
            found = engine(images)
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= ONNX_RTOL * np.abs(expected).max()


def test_torch_export_of_any_size(weights):
    """Batch and size are free, for maps of at least two rows and columns (torch.export takes a size of 1 apart)."""
    if torch.__version__ < onnx_export.OLDEST_DENSE:
        pytest.skip("this PyTorch cannot export with sizes left open")
    model = rankiqa.load(weights).eval()
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    example = torch.zeros(2, 3, 300, 290)
    program = torch.export.export(onnx_export.WholeImages(model).eval(), (example,), dynamic_shapes=(sizes,)).module()
    for n, height, width in ((1, 263, 300), (3, 401, 262)):
        images = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
        torch.testing.assert_close(program(images), dense_forward(model, images), rtol=1e-4, atol=1e-4)


def test_export_onnx_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"expected a network from rankiqa\.load, got Linear"):
        rankiqa.export_onnx(torch.nn.Linear(2, 1), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="dense: expected vgg16, alexnet or shallow, got Linear"):
        onnx_export.WholeImages(torch.nn.Linear(2, 1))
    assert list(Path(tmp_path).iterdir()) == []
