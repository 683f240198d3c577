"""The model that comes with the package, its network, and its sampling of crops from several sizes."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.cli import main
from rankiqa.data.views import ROUNDED_UP_FROM, views
from rankiqa.models.score_meaning import ScoreMeaning, from_metadata
from rankiqa.models.score_sampling import ORIGINAL, Sampling, sampling_of
from rankiqa.models.weights import SHIPPED

TWO_SIZES = Sampling(crops=5, reductions=(1, 1.25), least_side=32, longest_side=500)


@pytest.fixture(scope="module")
def lite0():
    torch.manual_seed(0)
    model = rankiqa.build("efficientnet_lite0").eval()
    with torch.no_grad():  # like a trained network's statistics, so that no batch norm is the identity
        for name, values in model.named_buffers():
            if name.endswith("running_var"):
                values.uniform_(0.5, 2.0)
    model.sampling, model.meaning = TWO_SIZES, ScoreMeaning("wild", "ranked", True, None, (1.5, 9.25), "photographs")
    return model


@pytest.fixture(scope="module")
def image(photograph):
    """uint8 (600, 900, 3), larger than `longest_side`."""
    return np.ascontiguousarray(rankiqa.read_image(photograph).repeat(2, 0).repeat(2, 1))


def test_the_network_is_timms(lite0):
    """The network has the parameter names and input of timm's, and the same outputs bit for bit."""
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("efficientnet_lite0", num_classes=1).eval()
    theirs.load_state_dict(lite0.net.state_dict())
    crops = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(lite0(crops), theirs(crops))
        assert not torch.equal(lite0(crops), theirs(crops.flip(1)))
    assert lite0.input_spec == rankiqa.build("timm:efficientnet_lite0").input_spec


def test_how_to_score_travels_with_the_weights(lite0, tmp_path):
    lite0.save_pretrained(tmp_path)
    (tmp_path / "any").touch()
    # safetensors itself writes files that only the owner may read
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1
    again = rankiqa.load(tmp_path)
    assert (again.arch, again.sampling, again.meaning) == ("efficientnet_lite0", TWO_SIZES, lite0.meaning)
    assert "pristine photographs score about 1.5 and the worst about 9.2" in str(again.meaning)


@pytest.mark.parametrize(
    "metadata",
    [
        {"reductions": "2"},
        {"reductions": "[0.5]"},
        {"reductions": "[true]"},
        {"reductions": "[1e999]"},
        {"crops": "1.5"},
        {"least_side": "true"},
        {"crops": "[3]"},
    ],
)
def test_refuses_metadata(metadata):
    assert sampling_of({}) == ORIGINAL
    with pytest.raises(ValueError):
        sampling_of(metadata)
    with pytest.raises(ValueError, match="landmarks: expected"):
        from_metadata({"landmarks": "3"})


def test_one_score_everywhere(lite0, image, tmp_path):
    """rankiqa.score, score_many and the metric module agree with crops of both sizes taken by hand."""
    cv2.imwrite(str(tmp_path / "a.png"), image[:, :, ::-1])
    result = rankiqa.score(lite0, image)
    (row,) = rankiqa.score_many(lite0, tmp_path / "a.png")
    assert row["score"] == result.score and row["crops"] == len(result.values) == 5
    module = rankiqa.metric(lite0)(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert float(module) == pytest.approx(result.score, rel=1e-4)
    # By hand: three crops of the image reduced by 2 (900 is to be at most 500), then two of it reduced by 2.5
    crops, random = [], np.random.RandomState(0)
    mean, std = (np.array(values, np.float32) for values in (lite0.input_spec.mean, lite0.input_spec.std))
    for height, width, number in ((300, 450, 3), (240, 360, 2)):
        reduced = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        reduced = np.floor(reduced + ROUNDED_UP_FROM)
        for top, left in rankiqa.crop_offsets(height, width, 224, number, random):
            crops.append((reduced[top : top + 224, left : left + 224] / 255 - mean) / std)
    with torch.inference_mode():
        values = lite0(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous())[:, 0].numpy()
    np.testing.assert_allclose(result.values, values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "size, reductions",
    [
        ((600, 900), [2, 600 / 225]),
        ((450, 460), [1, 2]),
        ((449, 460), [1, 449 / 225]),
        ((224, 500), [1, 1]),
        ((5000, 3000), [10, 3000 / 225]),
    ],
)
def test_sizes(size, reductions):
    by_size = views(*size, 224, 5, np.random.RandomState(0), reductions=(1, 2), least_side=32, longest_side=500)
    assert [view.reduction for view in by_size] == reductions and [len(view.offsets) for view in by_size] == [3, 2]
    pixels = torch.arange(size[0] * size[1]).view(1, *size).float()
    for view in by_size:
        height, width = view.of(pixels).shape[1:]
        assert min(height, width) > 224 and (view.offsets >= 0).all()
        assert (view.offsets + 224 < [height, width]).all()


@pytest.mark.parametrize("by, size", [(2, (450, 500)), (1.25, (500, 375)), (1.5, (480, 600)), (449 / 225, (449, 898))])
def test_a_reduced_image_is_opencvs_of_areas(by, size):
    """The reduction equals OpenCV's INTER_AREA where the sides are multiples.

    Elsewhere OpenCV stretches a little, and the port leaves out the last pixels.
    """
    pixels = np.random.RandomState(0).uniform(0, 255, (*size, 3)).astype(np.float32)
    (view,) = views(*size, 224, 1, np.random.RandomState(0), reductions=(by,))
    ours = view.of(torch.from_numpy(pixels).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    height, width = (round(side / by) for side in size)
    assert ours.shape == (height, width, 3)
    means = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(ours, np.floor(ours))
    np.testing.assert_allclose(ours, means, rtol=0, atol=0.502)
    assert np.abs(ours - means).max() > 0.49
    (larger,) = views(size[0] + 1, size[1] + 1, 224, 1, np.random.RandomState(0), reductions=(by,))
    padded = np.pad(pixels, ((0, 1), (0, 1), (0, 0)))
    np.testing.assert_array_equal(larger.of(torch.from_numpy(padded).permute(2, 0, 1)).permute(1, 2, 0).numpy(), ours)


def test_halves_are_rounded_up_and_gradients_pass():
    """A half that float32 rounding puts slightly below is rounded up; each pixel gets a quarter of the gradient."""
    (view,) = views(450, 452, 224, 1, np.random.RandomState(0), reductions=(2,))
    pixels = torch.full((1, 450, 452), 7.0)
    pixels[:, ::2] = 8
    slightly_below = (pixels - 4e-6).requires_grad_()
    reduced = view.of(slightly_below)
    assert torch.equal(reduced, torch.full((1, 225, 226), 8.0))
    assert torch.equal(view.of(pixels - 0.01), torch.full((1, 225, 226), 7.0))
    reduced.sum().backward()
    torch.testing.assert_close(slightly_below.grad, torch.full((1, 450, 452), 0.25))


def test_small_images_are_continued_by_their_mirror_image():
    (view,) = views(40, 300, 224, 1, np.random.RandomState(0), least_side=32)
    pixels = torch.arange(40).view(1, 40, 1).expand(1, 40, 300).float()
    larger = view.of(pixels)
    assert larger.shape == (1, 225, 300) and torch.equal(larger[0, 92:132, 0], torch.arange(40.0))
    assert larger[0, 91, 0] == 0 and larger[0, 132, 0] == 39 and (larger[0, 1:, 0] - larger[0, :-1, 0]).abs().max() == 1
    with pytest.raises(rankiqa.ImageError, match="at least 32 pixels, got 31 x 300"):
        views(31, 300, 224, 1, np.random.RandomState(0), least_side=32)
    with pytest.raises(rankiqa.ImageError, match="above 224"):
        views(224, 300, 224, 1, np.random.RandomState(0))


@pytest.fixture(scope="module")
def shipped():
    if not SHIPPED.is_file():
        pytest.skip(f"no {SHIPPED.name} in this checkout")
    return rankiqa.load()


def test_the_model_of_the_package(shipped, capsys, photograph, tmp_path):
    """The shipped model states what its score means and scores photographs better than distorted ones.

    `rankiqa score` and `rankiqa evaluate` use it without --weights.
    """
    assert SHIPPED.stat().st_size <= 20 * 2**20 and shipped.arch == "efficientnet_lite0"
    meaning = shipped.meaning
    assert meaning.task == "ranked" and "CC BY-SA 4.0" in meaning.about
    sign = 1 if meaning.lower_is_better else -1
    assert sign * meaning.landmarks[0] < sign * meaning.landmarks[1]
    assert main(["score", str(photograph), "--crops", "2"]) == 0
    captured = capsys.readouterr()
    assert meaning.direction in captured.err and str(photograph) in captured.out
    image = rankiqa.read_image(photograph)
    pristine = sign * rankiqa.score(shipped, image, crops=6).score
    for kind in ("GB", "GN", "JPEG", "MOTION", "LOWLIGHT"):
        distorted = rankiqa.distort(image, kind, 4, np.random.RandomState(0), "wild")
        assert pristine < sign * rankiqa.score(shipped, distorted, crops=6).score, kind
    cv2.imwrite(str(tmp_path / "worse.png"), distorted[:, :, ::-1])
    (tmp_path / "list.txt").write_text(f"{photograph} 0\n{tmp_path / 'worse.png'} 9\n")
    assert main(["evaluate", str(tmp_path / "list.txt"), "--json", "--bootstrap", "0", "--crops", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["srocc"] == pytest.approx(sign)


DROP = 0.005  # largest allowed loss against the card's figure


def in_the_card(name, part):
    """Return SROCC and LCC of a row of the card; they are positive if the model agrees with people."""
    with open(SHIPPED.with_name("card.csv"), encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"].startswith(name) and row["measure"] == "rankiqa"]
    (row,) = (row for row in rows if row["part"] == part)
    return {key: float(row[key]) for key in ("srocc", "lcc")}


def evaluated(capsys, *words):
    assert main(["evaluate", *map(str, words), "--json", "--bootstrap", "0"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def live_opinions(real):
    """The rows of LIVE's 50 images, with the columns image, dmos_realigned and dmos_authors."""
    with open(real / "live" / "scores.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def live_scores(shipped, real, live_opinions, tmp_path_factory):
    """A file of per-image scores, so that the images are scored only once."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "list.txt").write_text("".join(f"{row['image']} {row['dmos_realigned']}\n" for row in live_opinions))
    words = [folder / "list.txt", "--root", real / "live", "--types-from", "none", "--bootstrap", "0"]
    assert main(["evaluate", *map(str, words), "--per-image", str(folder / "scores.csv")]) == 0
    return folder / "scores.csv"


@pytest.mark.real
@pytest.mark.parametrize("labels", ["dmos_realigned", "dmos_authors"])
def test_live_as_in_the_card(shipped, live_scores, live_opinions, labels, tmp_path, capsys):
    opinions = {row["image"]: row[labels] for row in live_opinions}
    with (
        open(live_scores, encoding="utf-8") as file,
        open(tmp_path / "scores.csv", "w", encoding="utf-8") as target,
    ):
        rows = csv.DictReader(file)
        table = csv.DictWriter(target, rows.fieldnames)
        table.writeheader()
        for row in rows:
            (label,) = (value for name, value in opinions.items() if row["path"].endswith(name))
            table.writerow(row | {"label": label})
    result = evaluated(capsys, tmp_path / "scores.csv")
    assert result["n"] == 50
    sign = 1 if shipped.lower_is_better else -1  # lower labels are better
    for key, value in in_the_card("LIVE 50, " + labels, "all").items():
        assert sign * result[key] > value - DROP, key


@pytest.mark.real
@pytest.mark.slow
def test_live_in_the_wild_as_in_the_card(shipped, real, tmp_path, capsys):
    """The card's row is of the set's 627 JPEG files."""
    words = ["lists", "clive", real / "clive", "--allow-partial", "--split", "none", "--out", tmp_path]
    assert main([*map(str, words)]) == 0
    capsys.readouterr()
    result = evaluated(capsys, tmp_path / "clive_lists.json", "--types-from", "none")
    assert result["n"] == 627
    sign = -1 if shipped.lower_is_better else 1
    for key, value in in_the_card("LIVE In the Wild, all", "JPG").items():
        assert sign * result[key] > value - DROP, key
