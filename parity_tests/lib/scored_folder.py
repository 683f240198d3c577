"""A folder of good and bad images, and the rows that scoring them one by one gives."""

import os

import cv2
import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main

CROPS = 2
BAD = {"empty.png": b"", "text.png": b"no image", "small.png": None, "stump.jpg": None}


def _png(side, seed, channels=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 1, channels), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def write_images(folder):
    """Write six good images, one of them with alpha, and four bad ones."""
    for k in range(6):
        (folder / f"{k}.png").write_bytes(_png(228 + k, k, 4 if k == 5 else 3))
    bad = BAD | {"small.png": _png(20, 9), "stump.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return folder


def single_rows(folder, network):
    """Return {name: row without its path} of a folder, scored with one call for each image."""
    rows = {}
    for path in sorted(folder.iterdir()):
        try:
            image, notes = rankiqa.read_image_with_notes(path)
            result = rankiqa.score(network, image, crops=CROPS)
        except ValueError as error:
            rows[path.name] = {"error": str(error)}
        else:
            rows[path.name] = {"score": result.score, "median": result.median, "crops": CROPS, "seed": 0}
            if notes:
                rows[path.name]["note"] = "; ".join(notes)
    return rows


@pytest.fixture(scope="session")
def scored_folder(tmp_path_factory):
    """A folder with the images of `write_images`. Tests do not change it."""
    return write_images(tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="session")
def expected_rows(scored_folder, weights):
    """The rows of `single_rows` for that folder and Shallow's weights."""
    return single_rows(scored_folder, rankiqa.load(weights))


def rows_by_name(rows):
    """Return {name: row without its path}; each name must come once."""
    rows = [dict(row) for row in rows]
    named = {os.path.basename(row.pop("path")): row for row in rows}
    assert len(named) == len(rows)
    return named


def run(*words):
    """Run `rankiqa score` with CROPS crops of each image; return the exit status."""
    return main(["score", *map(str, words), "--crops", str(CROPS)])
