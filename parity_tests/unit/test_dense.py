"""Dense scores compared with the network itself at every position."""

import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.scoring import dense
from rankiqa.scoring.dense import dense_forward, score_dense, stride_of

ROUNDING = 1e-5  # relative to the largest score: the same products are summed in another order


@pytest.fixture(scope="module", params=["shallow", "alexnet"])
def model(request):
    torch.manual_seed(0)
    return rankiqa.build(request.param).eval()


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return rankiqa.build("vgg16").eval()


def test_one_crop_is_the_network(model):
    crops = torch.randint(0, 256, (2, 3, model.crop, model.crop)).float()
    with torch.no_grad():
        ours, theirs = dense_forward(model, crops), model(crops)
    assert ours.shape == (2, 1, 1, 1)
    assert (ours.view(2, 1) - theirs).abs().max() <= ROUNDING * theirs.abs().max()


@pytest.mark.slow
def test_one_crop_is_vgg16(vgg):
    crops = torch.randint(0, 256, (1, 3, 224, 224)).float()
    with torch.no_grad():
        ours, theirs = dense_forward(vgg, crops), vgg(crops)
    assert (ours.view(1, 1) - theirs).abs().max() <= ROUNDING * theirs.abs().max()


def test_map_by_hand(model):
    """The map equals the fully-connected layers applied at each position of the blob before them."""
    image = np.random.default_rng(0).integers(0, 256, (300, 341, 3), np.uint8)
    result = score_dense(model, image)
    x = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1).float()[None]
    flat = model.steps.index("flatten")
    with torch.no_grad():
        for name in model.steps[:flat]:
            x = model.get_submodule(name)(x)
        side = {"shallow": 1, "alexnet": 6}[model.arch]
        expected = np.empty_like(result.map)
        for i, j in np.ndindex(expected.shape):
            vector = x[:, :, i : i + side, j : j + side].reshape(1, -1)
            for name in model.steps[flat + 1 :]:
                vector = model.get_submodule(name)(vector)
            expected[i, j] = vector.item()
    stride = {"shallow": 16, "alexnet": 32}[model.arch]
    assert (result.stride, result.crop) == (stride, 227)
    assert result.map.shape == ((300 - 227) // stride + 1, (341 - 227) // stride + 1)
    assert np.abs(result.map - expected).max() <= ROUNDING * np.abs(expected).max()
    assert np.abs(result.map - expected.mean()).max() > 100 * ROUNDING * np.abs(expected).max()
    assert result.score == pytest.approx(expected.mean(), rel=1e-4)


def test_strides(model):
    assert stride_of(model) == {"shallow": 16, "alexnet": 32}[model.arch]


def test_tiles_join(model, monkeypatch):
    """Scores do not depend on the number or the borders of the tiles."""
    image = np.random.default_rng(1).integers(0, 256, (520, 470, 3), np.uint8)
    whole = score_dense(model, image)
    monkeypatch.setattr(dense, "TILE", 64)
    tiled = score_dense(model, image)
    assert tiled.map.shape == whole.map.shape
    assert np.abs(tiled.map - whole.map).max() <= ROUNDING * np.abs(whole.map).max()


def test_refusals(model):
    small = np.zeros((model.crop - 1, 400, 3), np.uint8)
    with pytest.raises(rankiqa.ImageError, match="expected both sides at least 227"):
        score_dense(model, small)
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
        score_dense(model, small.astype(float))
    with pytest.raises(ValueError, match="expected vgg16, alexnet or shallow, got Linear"):
        score_dense(torch.nn.Linear(1, 1), small)


def test_same_as_crops_on_ranked_photographs():
    """Dense scores of a trained Shallow rank distorted photographs as scores of crops do."""
    from lib.trained import distorted_photographs, trained_shallow

    model = trained_shallow()
    images = [image for image, *_ in distorted_photographs(photographs=2)]
    crops = [rankiqa.score(model, image).score for image in images]
    whole = [score_dense(model, image).score for image in images]
    assert rankiqa.srocc(crops, whole) >= 0.98
