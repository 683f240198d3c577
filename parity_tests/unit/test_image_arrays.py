"""Every function that takes an image: of any array the right result, or one line that says what is wrong."""

import base64

import numpy as np
import pytest
import torch
from PIL import Image

import rankiqa
from rankiqa import InputSpec, read_image, take_crops
from rankiqa.data.photographs import read_photograph
from rankiqa.data.thumbnails import data_uri
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets import contact_sheet
from rankiqa.ranked_sets.fidelity import visual_information_fidelity
from rankiqa.scoring.dense import DenseScore, score_dense
from rankiqa.scoring.engines import engine_named
from rankiqa.scoring.image_score import score_crops
from rankiqa.scoring.score_map import draw

HEIGHT, WIDTH = 240, 260
GOOD = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
WRONG = {
    "float": GOOD / 255.0, "float32": GOOD.astype(np.float32), "16 bits": GOOD.astype(np.uint16) * 257,
    "signed": GOOD.astype(np.int8), "whole numbers": GOOD.astype(int), "bool": GOOD > 9, "grey": GOOD[..., 0],
    "one channel": GOOD[..., :1], "RGBA": np.dstack([GOOD, GOOD[..., :1]]), "channels first": GOOD.transpose(2, 0, 1),
    "a batch": GOOD[None], "no rows": GOOD[:0], "no columns": GOOD[:, :0], "a tensor": torch.from_numpy(GOOD),
    "Pillow's": Image.fromarray(GOOD), "a path": "a.png", "none": None, "a list": GOOD[:2, :2].tolist(),
}  # fmt: skip
READ_ONLY = GOOD.copy()
READ_ONLY.flags.writeable = False
UNUSUAL = {
    "read-only": READ_ONLY, "turned round": GOOD[::-1, ::-1], "channels from the last": GOOD[..., ::-1],
    "every second pixel": np.repeat(np.repeat(GOOD, 2, 0), 2, 1)[::2, ::2], "columns first": np.asfortranarray(GOOD),
    "one row for all": np.broadcast_to(GOOD[:1], GOOD.shape),
}  # fmt: skip


@pytest.fixture(scope="module")
def takers():
    """{name: a function of an image}."""
    torch.manual_seed(0)
    model = rankiqa.build("shallow")
    engine, dense = engine_named("torch", model), score_dense(model, GOOD)
    place = np.array([[3, 5]])
    functions = {
        "score": lambda image: rankiqa.score(model, image, crops=1).score,
        "score_crops": lambda image: score_crops(model, image, place),
        "score_dense": lambda image: score_dense(model, image).map,
        "an engine": lambda image: engine.dense(image).map,
        "take_crops": lambda image: take_crops(image, place, InputSpec(224)).numpy(),
        "draw": lambda image: draw(image, dense, True),
        "data_uri": lambda image: data_uri(image, 100),
        "contact_sheet.page": lambda image: next(contact_sheet.page(image, "a", ["wild"], 0, print, pytest.fail)),
        "fidelity of": lambda image: visual_information_fidelity(image, GOOD),
        "fidelity to": lambda image: visual_information_fidelity(GOOD, image),
    }
    for dataset, name in (("live", "JPEG"), ("live", "JP2K"), ("tid2013", "JGTE"), ("tid2013", "CA"), ("wild", "HAZE")):
        functions[f"distort {name}"] = lambda image, name=name, dataset=dataset: rankiqa.distort(
            image, name, 1, np.random.RandomState(0), dataset
        )
    return functions


def test_wrong_ones_are_refused(takers):
    for taker, function in takers.items():
        for name, image in WRONG.items():
            with pytest.raises(ValueError, match=r"^[^\n]*expected [^\n]*got [^\n]*$"):
                function(image)
                pytest.fail(f"{taker} takes {name}")


def test_unusual_ones_are_as_their_copies(takers):
    for taker, function in takers.items():
        for name, image in UNUSUAL.items():
            before = image.copy()
            assert np.array_equal(function(image), function(before)), (taker, name)
            assert np.array_equal(image, before), (taker, name)


def test_a_map_of_another_image():
    with pytest.raises(ValueError, match=r"expected a map \(3, 5\) of an image 100 x 140, got \(2, 5\)"):
        draw(np.zeros((100, 140, 3), np.uint8), DenseScore(0.0, np.zeros((2, 5), np.float32), 20, 60), True)


def test_no_distortion_depends_on_pillows_limits(monkeypatch):
    names = ("JPEG", "JP2K", "JGTE", "J2TE", "LCNI")
    known = [(dataset, name) for dataset, table in DATASETS.items() for name in names if name in table]
    made = [rankiqa.distort(GOOD, name, 1, np.random.RandomState(0), dataset) for dataset, name in known]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for (dataset, name), expected in zip(known, made, strict=True):
        assert np.array_equal(rankiqa.distort(GOOD, name, 1, np.random.RandomState(0), dataset), expected)


RED = (255, 0, 0)


@pytest.mark.parametrize("kind", ["png", "bmp", "tif", "ppm", "jpg", "webp", "jp2"])
def test_red_stays_red_in_thumbnails_and_files(kind, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), RED).save(tmp_path / f"a.{kind}")
    for image in (read_image(tmp_path / f"a.{kind}"), read_photograph((tmp_path / f"a.{kind}").read_bytes())):
        (tmp_path / "thumbnail.jpg").write_bytes(base64.b64decode(data_uri(image, 100).partition(",")[2]))
        assert np.abs(read_image(tmp_path / "thumbnail.jpg").astype(int) - RED).max() <= 3
