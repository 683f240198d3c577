"""The score of an image: its crops, its repeatability, and the state that it does not change."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import rankiqa
from rankiqa.scoring.image_score import score_crops


@pytest.fixture(scope="module")
def image(photograph):
    return rankiqa.read_image(photograph)


class Mean(nn.Module):
    """A stand-in for a network that returns the mean of a crop, so that expected scores are easy to compute."""

    crop = 224
    input_spec = rankiqa.InputSpec(224)

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))
        self.batches, self.modes = [], []

    def forward(self, x):
        self.batches.append(len(x))
        self.modes.append((self.training, torch.is_inference_mode_enabled()))
        return x.mean((1, 2, 3))[:, None] * self.one


def test_by_hand(image):
    rng = np.random.RandomState(5)
    expected = []
    for _ in range(7):
        top, left = rng.randint(image.shape[0] - 224), rng.randint(image.shape[1] - 224)
        expected.append(image[top : top + 224, left : left + 224].astype(np.float64).mean())
    result = rankiqa.score(Mean(), image, crops=7, seed=5)
    np.testing.assert_allclose(result.values, expected, rtol=1e-6)
    assert result.score == pytest.approx(np.mean(expected), rel=1e-6)
    assert result.median == pytest.approx(np.median(expected), rel=1e-6)
    assert (result.crops, result.seed, result.values.dtype) == (7, 5, np.float32)
    assert abs(result.score - result.median) > 1e-3


def test_defaults_and_chunks(image):
    model = Mean().train()
    result = rankiqa.score(model, image)
    assert (result.crops, result.seed, len(result.values)) == (30, 0, 30)
    assert sum(model.batches) == 30 and max(model.batches) <= 10
    assert set(model.modes) == {(False, True)}
    assert model.training


def test_the_same_on_each_run(model, image):
    first = rankiqa.score(model, image, crops=12)
    np.random.seed(1)
    torch.manual_seed(99)
    rankiqa.score(model, image[::-1].copy(), crops=12, seed=3)
    again = rankiqa.score(model, image, crops=12)
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, rankiqa.score(model, image, crops=12, seed=1).values)


def test_the_global_random_numbers_are_left_alone(model, image):
    np.random.seed(1)
    torch.manual_seed(1)
    rankiqa.score(model, image, crops=2)
    drawn = np.random.rand(), torch.rand(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (np.random.rand(), torch.rand(1))


def test_train_mode_gives_the_same_score_and_is_restored(image):
    torch.manual_seed(0)
    model = rankiqa.build("alexnet").eval()
    expected = rankiqa.score(model, image, crops=2).values
    model.train()
    model.drop7.eval()
    assert np.array_equal(rankiqa.score(model, image, crops=2).values, expected)
    assert model.training and model.drop6.training and not model.drop7.training
    with torch.no_grad():
        crops = rankiqa.take_crops(
            image, rankiqa.crop_offsets(*image.shape[:2], 227, 2, np.random.RandomState(0)), model.input_spec
        )
        assert not np.array_equal(model(crops).squeeze(1).numpy(), expected)  # dropout left on


def test_the_mode_is_restored_after_an_error(image):
    class Broken(Mean):
        def forward(self, x):
            raise RuntimeError("broken")

    model = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        rankiqa.score(model, image, crops=1)
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_tf32_is_off_and_left_as_it_was(image):
    old = not hasattr(torch.backends.cudnn, "conv")  # before PyTorch 2.9
    name, off = ("allow_tf32", False) if old else ("fp32_precision", "ieee")
    operators = torch.backends.cuda.matmul, torch.backends.cudnn if old else torch.backends.cudnn.conv
    seen = []

    class Watching(Mean):
        def forward(self, x):
            seen.append([getattr(operator, name) for operator in operators])
            return super().forward(x)

    before = [getattr(operator, name) for operator in operators]
    assert before != [off, off]
    rankiqa.score(Watching(), image, crops=1)
    assert seen == [[off, off]]
    assert [getattr(operator, name) for operator in operators] == before


def test_crops_that_are_given(model, image):
    offsets = np.array([[0, 0], [10, 20], [0, 0]])
    values = score_crops(model, image, offsets)
    assert values[0] == pytest.approx(values[2], rel=1e-6) != pytest.approx(values[1], rel=1e-6)


def test_bgr_matters(model, image):
    rgb, bgr = (rankiqa.score(model, x, crops=3).score for x in (image, image[..., ::-1].copy()))
    assert abs(rgb - bgr) > 1e-3


def test_a_large_image_needs_the_memory_of_its_crops():
    image = np.zeros((6000, 8000, 3), np.uint8)
    largest = 0

    class Watching(Mean):
        def forward(self, x):
            nonlocal largest
            largest = max(largest, x.numel())
            return super().forward(x)

    rankiqa.score(Watching(), image)
    assert largest == 10 * 3 * 224 * 224


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"crops": 0}, "crops: expected 1 or more, got 0"),
        ({"seed": -1}, "seed: expected"),
        ({"seed": 2**32}, "seed: expected"),
        ({"seed": None}, "seed: expected"),
        ({"image": np.zeros((300, 300, 3), np.float32)}, "uint8"),
        ({"image": np.zeros((300, 300), np.uint8)}, "uint8"),
        ({"image": np.zeros(300, np.uint8)}, "uint8"),
        ({"image": "photograph.jpg"}, "expected an array from rankiqa.read_image, got str"),
        ({"image": torch.zeros(300, 300, 3, dtype=torch.uint8)}, "got Tensor"),
        ({"image": np.zeros((224, 300, 3), np.uint8)}, "above 224"),
    ],
)
def test_refuses(changes, message, image):
    arguments = {"image": image, "crops": 1, **changes}
    with pytest.raises(ValueError, match=message):
        rankiqa.score(Mean(), **arguments)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_score_that_is_not_finite(weight, image):
    model = Mean()
    with torch.no_grad():
        model.one.fill_(weight)
    with pytest.raises(ValueError, match="expected finite scores"):
        rankiqa.score(model, image, crops=2)


def test_device(model, image):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    expected = rankiqa.score(model, image, crops=3)
    result = rankiqa.score(model, image, crops=3, device=device)
    assert next(model.parameters()).device.type == device
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-5)


def test_threads_share_a_model_that_trains(image):
    """Eight threads score with a model in train mode that has dropout; every score equals a single thread's."""
    model = rankiqa.build("alexnet").train()
    expected = rankiqa.score(model, image, crops=2).score
    with ThreadPoolExecutor(8) as threads:
        scores = list(threads.map(lambda _: rankiqa.score(model, image, crops=2).score, range(16)))
    assert scores == [expected] * 16
    assert all(module.training for module in model.modules())
