"""The model that comes with the package, its network, and how an image is scored that is not the original's way."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

import rankiqa
from rankiqa.cli import main
from rankiqa.data.views import ROUNDED_UP_FROM, views
from rankiqa.models.sampling import ORIGINAL, Sampling, sampling_of
from rankiqa.models.score_meaning import ScoreMeaning, from_metadata
from rankiqa.models.weights import SHIPPED

TWO_SIZES = Sampling(crops=5, reductions=(1, 1.25), least_side=32, longest_side=500)


@pytest.fixture(scope="module")
def lite0():
    torch.manual_seed(0)
    model = rankiqa.build("efficientnet_lite0").eval()
    with torch.no_grad():  # statistics as a trained network has them, so that every batch norm does something
        for name, values in model.named_buffers():
            if name.endswith("running_var"):
                values.uniform_(0.5, 2.0)
    model.sampling, model.meaning = TWO_SIZES, ScoreMeaning("wild", "ranked", True, None, (1.5, 9.25), "photographs")
    return model


@pytest.fixture(scope="module")
def image(photograph):
    """uint8 (600, 900, 3): more than `longest_side`."""
    return np.ascontiguousarray(rankiqa.read_image(photograph).repeat(2, 0).repeat(2, 1))


def test_the_network_is_timms(lite0):
    """Names, values and the crops that it takes are those of timm's network, bit for bit."""
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
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1  # safetensors' own are for their owner alone
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
    """The function, the files, the module and the command give one score; its crops are of both sizes."""
    cv2.imwrite(str(tmp_path / "a.png"), image[:, :, ::-1])
    found = rankiqa.score(lite0, image)
    (row,) = rankiqa.score_many(lite0, tmp_path / "a.png")
    assert row["score"] == found.score and row["crops"] == len(found.values) == 5
    module = rankiqa.metric(lite0)(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert float(module) == pytest.approx(found.score, rel=1e-4)
    # By hand: reduced by 2 (900 to at most 500) are the first three crops, by 2.5 the other two
    crops, random = [], np.random.RandomState(0)
    mean, std = (np.array(values, np.float32) for values in (lite0.input_spec.mean, lite0.input_spec.std))
    for height, width, number in ((300, 450, 3), (240, 360, 2)):
        smaller = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        smaller = np.floor(smaller + ROUNDED_UP_FROM)
        for top, left in rankiqa.crop_offsets(height, width, 224, number, random):
            crops.append((smaller[top : top + 224, left : left + 224] / 255 - mean) / std)
    with torch.inference_mode():
        values = lite0(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous())[:, 0].numpy()
    np.testing.assert_allclose(found.values, values, rtol=1e-3, atol=1e-4)


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
    found = views(*size, 224, 5, np.random.RandomState(0), reductions=(1, 2), least_side=32, longest_side=500)
    assert [view.reduction for view in found] == reductions and [len(view.offsets) for view in found] == [3, 2]
    pixels = torch.arange(size[0] * size[1]).view(1, *size).float()
    for view in found:
        height, width = view.of(pixels).shape[1:]
        assert min(height, width) > 224 and (view.offsets >= 0).all()
        assert (view.offsets + 224 < [height, width]).all()


@pytest.mark.parametrize("by, size", [(2, (450, 500)), (1.25, (500, 375)), (1.5, (480, 600)), (449 / 225, (449, 898))])
def test_a_reduced_image_is_opencvs_of_areas(by, size):
    """Where the side is a multiple; else OpenCV stretches a little, and the port leaves out the last pixels."""
    pixels = np.random.RandomState(0).uniform(0, 255, (*size, 3)).astype(np.float32)
    (view,) = views(*size, 224, 1, np.random.RandomState(0), reductions=(by,))
    found = view.of(torch.from_numpy(pixels).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    height, width = (round(side / by) for side in size)
    assert found.shape == (height, width, 3)
    means = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(found, np.floor(found))
    np.testing.assert_allclose(found, means, rtol=0, atol=0.502)
    assert np.abs(found - means).max() > 0.49
    (larger,) = views(size[0] + 1, size[1] + 1, 224, 1, np.random.RandomState(0), reductions=(by,))
    more = np.pad(pixels, ((0, 1), (0, 1), (0, 0)))
    np.testing.assert_array_equal(larger.of(torch.from_numpy(more).permute(2, 0, 1)).permute(1, 2, 0).numpy(), found)


def test_halves_are_rounded_up_and_gradients_pass():
    """A half that float32 leaves a little below counts as one; each pixel has its part of the gradient."""
    (view,) = views(450, 452, 224, 1, np.random.RandomState(0), reductions=(2,))
    pixels = torch.full((1, 450, 452), 7.0)
    pixels[:, ::2] = 8
    below = (pixels - 4e-6).requires_grad_()
    seen = view.of(below)
    assert torch.equal(seen, torch.full((1, 225, 226), 8.0))
    assert torch.equal(view.of(pixels - 0.01), torch.full((1, 225, 226), 7.0))
    seen.sum().backward()
    torch.testing.assert_close(below.grad, torch.full((1, 450, 452), 0.25))


def test_small_images_are_continued_by_their_mirror_image():
    (view,) = views(40, 300, 224, 1, np.random.RandomState(0), least_side=32)
    pixels = torch.arange(40).view(1, 40, 1).expand(1, 40, 300).float()
    seen = view.of(pixels)
    assert seen.shape == (1, 225, 300) and torch.equal(seen[0, 92:132, 0], torch.arange(40.0))
    assert seen[0, 91, 0] == 0 and seen[0, 132, 0] == 39 and (seen[0, 1:, 0] - seen[0, :-1, 0]).abs().max() == 1
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
    """It says what its score means; photographs score better than distorted ones, by each command without a file."""
    assert SHIPPED.stat().st_size <= 20 * 2**20 and shipped.arch == "efficientnet_lite0"
    meaning = shipped.meaning
    assert meaning.task == "ranked" and "CC BY-SA 4.0" in meaning.about
    sign = 1 if meaning.lower_is_better else -1
    assert sign * meaning.landmarks[0] < sign * meaning.landmarks[1]
    assert main(["score", str(photograph), "--crops", "2"]) == 0
    said = capsys.readouterr()
    assert meaning.direction in said.err and str(photograph) in said.out
    image = rankiqa.read_image(photograph)
    pristine = sign * rankiqa.score(shipped, image, crops=6).score
    for kind in ("GB", "GN", "JPEG", "MOTION", "LOWLIGHT"):
        distorted = rankiqa.distort(image, kind, 4, np.random.RandomState(0), "wild")
        assert pristine < sign * rankiqa.score(shipped, distorted, crops=6).score, kind
    cv2.imwrite(str(tmp_path / "worse.png"), distorted[:, :, ::-1])
    (tmp_path / "list.txt").write_text(f"{photograph} 0\n{tmp_path / 'worse.png'} 9\n")
    assert main(["evaluate", str(tmp_path / "list.txt"), "--json", "--bootstrap", "0", "--crops", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["srocc"] == pytest.approx(sign)


DROP = 0.005  # below the card's figure


def in_the_card(name, part):
    """SROCC and LCC of a row of the card, positive where the model agrees with people."""
    with open(SHIPPED.with_name("card.csv"), encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"].startswith(name) and row["measure"] == "rankiqa"]
    (row,) = (row for row in rows if row["part"] == part)
    return {key: float(row[key]) for key in ("srocc", "lcc")}


def evaluated(capsys, *words):
    assert main(["evaluate", *map(str, words), "--json", "--bootstrap", "0"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def live_opinions(real):
    """The rows of LIVE's 50 images: image, dmos_realigned, dmos_authors."""
    with open(real / "live" / "scores.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def live_scores(shipped, real, live_opinions, tmp_path_factory):
    """The per-image file of an evaluation: the images are scored once."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "list.txt").write_text("".join(f"{row['image']} {row['dmos_realigned']}\n" for row in live_opinions))
    words = [folder / "list.txt", "--root", real / "live", "--types-from", "none", "--bootstrap", "0"]
    assert main(["evaluate", *map(str, words), "--per-image", str(folder / "scores.csv")]) == 0
    return folder / "scores.csv"


@pytest.mark.real
@pytest.mark.parametrize("labels", ["dmos_realigned", "dmos_authors"])
def test_live_as_in_the_card(shipped, live_scores, live_opinions, labels, tmp_path, capsys):
    opinions = {row["image"]: row[labels] for row in live_opinions}
    with open(live_scores, encoding="utf-8") as file, open(tmp_path / "scores.csv", "w", encoding="utf-8") as out:
        rows = csv.DictReader(file)
        table = csv.DictWriter(out, rows.fieldnames)
        table.writeheader()
        for row in rows:
            (label,) = (value for name, value in opinions.items() if row["path"].endswith(name))
            table.writerow(row | {"label": label})
    found = evaluated(capsys, tmp_path / "scores.csv")
    assert found["n"] == 50
    sign = 1 if shipped.lower_is_better else -1  # the labels: lower is better
    for key, value in in_the_card("LIVE 50, " + labels, "all").items():
        assert sign * found[key] > value - DROP, key


@pytest.mark.real
@pytest.mark.slow
def test_live_in_the_wild_as_in_the_card(shipped, real, tmp_path, capsys):
    """Its 627 JPEG files."""
    words = ["lists", "clive", real / "clive", "--allow-partial", "--split", "none", "--out", tmp_path]
    assert main([*map(str, words)]) == 0
    capsys.readouterr()
    found = evaluated(capsys, tmp_path / "clive_lists.json", "--types-from", "none")
    assert found["n"] == 627
    sign = -1 if shipped.lower_is_better else 1
    for key, value in in_the_card("LIVE In the Wild, all", "JPG").items():
        assert sign * found[key] > value - DROP, key
