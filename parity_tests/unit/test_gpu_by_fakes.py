"""Code for GPUs tested without one: on torch's fake tensors, which have a device but no values, and by its settings.

A fake tensor refuses an operation between devices, as a GPU does.
"""

import subprocess
import sys
import threading

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

import rankiqa
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.caffe.sgd import CaffeSGD
from rankiqa.cli import main
from rankiqa.cli.arguments import usable_device
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.modes import IEEE, TF32, float32_products
from rankiqa.models.network import Network
from rankiqa.scoring import ray_scoring
from rankiqa.scoring.engines import TorchEngine
from rankiqa.scoring.image_score import views_of
from rankiqa.scoring.metric import Metric
from rankiqa.training.distributed import Ranks, own_device
from rankiqa.training.forward_pass import ForwardPass
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.setup import first_network


@pytest.fixture
def on_fake_gpu(monkeypatch):
    """(move, waits): move(model) puts a network on a fake GPU; waits lists calls that would wait for the GPU.

    Such calls copy pageable memory or read a value.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            torch.zeros(2, device="cuda") + 1
        except (RuntimeError, AssertionError):
            pytest.skip("this PyTorch has no fake GPU")
    waits = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    new_tensor = torch.Tensor.new_tensor
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: waits.append("item") or 1.0)
    monkeypatch.setattr(torch.Tensor, "new_tensor", lambda *a, **k: waits.append("new_tensor") or new_tensor(*a, **k))

    def move(model):
        for module in model.modules():
            for name, parameter in module._parameters.items():
                fake = torch.empty(parameter.shape, device="cuda")
                module._parameters[name] = torch.nn.Parameter(fake, requires_grad=parameter.requires_grad)
        return model

    return move, waits


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("arch", ["shallow", "alexnet", "vgg16"])
def test_nothing_stays_on_the_cpu(arch, on_fake_gpu):
    move, waits = on_fake_gpu
    model = Network(ARCHITECTURES[arch])
    model.use_random(CaffeRandom(1))
    crop = model.crop
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(model)
        crops = torch.zeros(4, 3, crop, crop)
        assert TorchEngine(model).scores(crops).device.type == "cuda"
        image = torch.zeros(3, crop + 9, crop + 30, device="cuda")
        with unset_fake_temporarily():
            views = views_of(model, crop + 9, crop + 30, 3, 0)
        assert Metric(model, crops=3)._score(image, views, model.input_spec).device.type == "cuda"
        model.requires_grad_()
        optimizer = CaffeSGD(model.parameters(), 1e-3, 0.9, 5e-4, iter_size=2, clip_gradients=10.0)
        assert not waits
        for recipe in (Recipe(), Recipe(precision="tf32"), Recipe(precision="bf16", channels_last=True)):
            forward = ForwardPass.__new__(ForwardPass)  # __init__ makes a generator on the GPU, which needs a real one
            forward.model = forward._run = model
            forward.recipe, forward.share, forward._device = recipe, None, torch.device("cuda")
            forward._layout = torch.channels_last
            forward.train_mode()
            with forward.running():
                scores = forward(crops.to("cuda"))
                loss = rankiqa.pair_ranking_loss(scores, distortions=2, levels=2, images=1)
                assert loss.device.type == "cuda"
                assert rankiqa.euclidean_loss(scores, torch.zeros(4, device="cuda")).device.type == "cuda"
            assert not waits
            for parameter in model.parameters():  # a backward pass would need a real GPU's streams
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            assert waits == ["item"]  # the norm that clips the gradients
            waits.clear()


def test_masks_go_to_a_gpu_from_pinned_memory(on_fake_gpu, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.shape) or tensor)
    dropout = Network(ARCHITECTURES["vgg16"]).drop6
    for device, expected in (("cpu", []), ("cuda", [(2, 7)])):
        dropout.random = CaffeRandom(3)
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert dropout.train()(torch.ones(2, 7, device=device)).device.type == device
        assert pinned == expected


# TF32: PyTorch's settings, which a process may change at any time

SETTINGS = """
import torch
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.modes import IEEE, TF32, float32_products
b = torch.backends
def settings():
    return [b.fp32_precision, b.cudnn.fp32_precision, b.cuda.matmul.fp32_precision, b.cudnn.conv.fp32_precision]
def change(number):
    if number == 0: b.fp32_precision = "ieee"
    if number == 1: b.cudnn.fp32_precision = "tf32"
    if number == 2: b.cudnn.conv.fp32_precision = "ieee"; b.fp32_precision = "tf32"
    if number == 3: b.cuda.matmul.allow_tf32 = True
for number in {numbers}:
    change(number)
    if {used}:
        for kind in (IEEE, TF32):
            with float32_products(kind):
                assert settings()[2:] == [kind, kind], (number, kind, settings())
    print(settings())
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch before 2.9 has other settings")
@pytest.mark.parametrize("numbers", [[9, 0], [9, 1, 0], [9, 2, 0], [3, 0, 1]])
def test_settings_are_followed_after_a_score_as_before(numbers):
    """Scoring does not fix a setting that was not set before: it still follows the setting above it."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", SETTINGS.format(numbers=numbers, used=used)], capture_output=True, text=True
        )
        for used in (False, True)
    ]
    assert [run.stderr for run in runs] == ["", ""]
    assert runs[0].stdout == runs[1].stdout


def test_two_threads_that_want_different_products():
    """Two overlapping uses, of which the first ends first, leave the setting as it was."""
    cudnn = torch.backends.cudnn
    name = "fp32_precision" if hasattr(cudnn, "conv") else "allow_tf32"
    owner = cudnn.conv if hasattr(cudnn, "conv") else cudnn
    before, inside, go_on = getattr(owner, name), threading.Event(), threading.Event()

    def first():
        with float32_products(IEEE):
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with float32_products(TF32):
        go_on.set()
        thread.join()
        assert getattr(owner, name) in (TF32, True)
    assert getattr(owner, name) == before


def test_products_inside_products():
    cudnn = torch.backends.cudnn
    name = "fp32_precision" if hasattr(cudnn, "conv") else "allow_tf32"
    owner = cudnn.conv if hasattr(cudnn, "conv") else cudnn
    before = getattr(owner, name)
    with float32_products(IEEE):
        plain = getattr(owner, name)
        with float32_products(TF32), float32_products(TF32):
            assert getattr(owner, name) != plain
        assert getattr(owner, name) == plain
    assert getattr(owner, name) == before


# Several ranks and other machines


@pytest.mark.parametrize(
    ("size", "name", "own"),
    [(1, "cuda", "cuda"), (1, "cuda:2", "cuda:2"), (2, "cpu", "cpu"), (2, "cuda", "cuda:3")],
)
def test_each_rank_has_its_own_gpu(size, name, own, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device(Ranks(1, size), name) == own


@pytest.mark.parametrize(
    ("name", "local", "words"), [("cuda:0", "0", "got|expected cuda"), ("cuda", "x", "LOCAL_RANK")]
)
def test_ranks_do_not_share_a_gpu(name, local, words, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", local)
    with pytest.raises(ValueError, match=words):
        own_device(Ranks(0, 2), name)


def test_a_training_of_a_gpu_goes_on_without_one():
    """A snapshot of a GPU holds the state of the GPU's random numbers, which the CPU drops."""
    forward = ForwardPass(rankiqa.build("efficientnet_lite0"), Recipe(), seed=0)
    forward.random = {**forward.random, "cuda": torch.zeros(16, dtype=torch.uint8)}
    forward.train_mode()
    with forward.running():
        torch.rand(1)
    assert set(forward.random) == {"cpu"}


def test_first_weights_leave_the_random_numbers_of_every_gpu_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    preset = PRESETS["live-rank"]
    first_network(preset, "efficientnet_lite0", CaffeRandom(3), Recipe(), test_net=False)
    assert not seeded


def test_a_cluster_without_a_gpu_is_said(monkeypatch):
    """Actors that need a GPU would wait forever."""

    class Ray:
        data = type("data", (), {"from_items": staticmethod(lambda *_, **__: pytest.fail("asked of the cluster"))})

        @staticmethod
        def nodes():
            return [{"Alive": True, "Resources": {"CPU": 4.0}}]

    settings = ray_scoring.ScoreSettings(crops=1)
    engine = ray_scoring.RemoteEngine(None, "0", "torch", "fp32", "cuda:1", 1, torch.__version__)
    with pytest.raises(ValueError, match="expected a GPU in the cluster"):
        next(ray_scoring._pipeline(Ray, engine, [(0, ray_scoring.ImageSource("a.png", "a.png"))], settings))


def test_an_actor_takes_the_gpu_that_ray_gives_it(monkeypatch):
    class Moved(Exception):
        pass

    class Model:
        def to(self, device):
            raise Moved(device)

    monkeypatch.setattr(ray_scoring.rankiqa, "load", lambda path: Model())
    monkeypatch.setattr(ray_scoring.torch, "set_num_threads", lambda number: None)
    for device, expected in (("cuda:1", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")):
        engine = ray_scoring.RemoteEngine(None, "0", "torch", "fp32", device, 1, torch.__version__)
        with pytest.raises(Moved) as moved:
            ray_scoring._Actor(engine, ray_scoring.ScoreSettings(crops=1))
        assert str(moved.value) == expected


def test_a_device_without_float64_trains_nothing(monkeypatch):
    """mps is such a device; the ranking loss is summed in float64."""
    ones = torch.ones

    def without(*size, device=None, dtype=None, **more):
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return ones(*size, dtype=dtype, **more)

    monkeypatch.setattr(torch, "ones", without)
    assert usable_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match=r"--device cpu: expected a device .*float64"):
        usable_device("cpu", "float64")


@pytest.mark.parametrize("name", ["cuda:7", "xpu", "foo", "", "meta", "cuda:x"])
def test_a_device_that_is_not_here(name, capsys):
    if name == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("it is here")
    assert main(["score", "no.png", "--device", name]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "expected a device" in err or "expected text" in err
