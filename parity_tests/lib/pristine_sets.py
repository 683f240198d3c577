"""Small folders in the layouts of Waterloo and Places2, and `rankiqa prepare` run on them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rankiqa.cli import main

PORT = Path(__file__).resolve().parents[2] / "port"


def write_picture(path, height=240, width=260, seed=0):
    """Write an image of smooth noise, which depends on the file's name and the seed."""
    noise = np.random.RandomState([seed, *path.name.encode()]).randint(0, 256, (12, 13, 3), np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(image).save(path)
    return path


def write_waterloo(folder):
    """Write a small Waterloo: 00001.bmp .. 00006.bmp."""
    folder.mkdir()
    for number in range(1, 7):
        write_picture(folder / f"{number:05d}.bmp")
    return folder


def write_places(root):
    """Write a small validation set of Places2, 3 scenes of 4 images; return (its folder, the file of labels)."""
    folder = root / "val_large"
    folder.mkdir()
    lines = []
    for number in range(1, 13):
        name = f"Places365_val_{number:08d}.jpg"
        write_picture(folder / name)
        lines.append(f"{name} {(5, 0, 164)[number % 3]}")
    labels = root / "places365_val.txt"
    labels.write_text("\n".join(lines) + "\n")
    return folder, labels


@pytest.fixture
def waterloo(tmp_path):
    """A folder in Waterloo's layout."""
    return write_waterloo(tmp_path / "pristine")


@pytest.fixture
def places(tmp_path):
    """The folder and the labels of a set in Places2's layout."""
    return write_places(tmp_path)


def run(capsys, *arguments):
    """Run `rankiqa prepare`; return (exit status, stdout, stderr)."""
    status = main(["prepare", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def prepare_waterloo(capsys, folder, out, *more, count=6):
    return run(capsys, "waterloo", "--images", folder, "--out", out, "--count", count, *more)


def prepare_places(capsys, places, out, *more):
    return run(capsys, "places2", "--images", places[0], "--labels", places[1], "--out", out, *more)


def contents(folder):
    """Return {file name: bytes} of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sidecar(out):
    """Return the JSON record that a run writes beside its output folder."""
    return json.loads(out.with_name(out.name + ".json").read_text())
