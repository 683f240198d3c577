"""Fixtures and helpers of the tests of `rankiqa distort`: small photographs, the command, and its result.

unit/conftest.py imports the fixtures, so every unit test can ask for them.
"""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from rankiqa.cli import main

FEW = ["--types", "GB,GN", "JPEG"]
FEW_FILES = 16  # files of one photograph with FEW: three types at five levels, and the pristine image


@pytest.fixture(scope="session")
def small_photographs(tmp_path_factory):
    """A folder with three photographs of 240 x 230 in three formats, which tests must not change."""
    folder = tmp_path_factory.mktemp("photographs")
    source = Path(__file__).resolve().parents[1] / "photographs"
    for name, suffix in (("cat", "png"), ("moose", "jpg"), ("fig", "bmp")):
        Image.open(source / f"{name}.jpg").convert("RGB").crop((0, 0, 240, 230)).save(folder / f"{name}.{suffix}")
    return folder


@pytest.fixture
def copied_photographs(small_photographs, tmp_path):
    """A copy of small_photographs that a test may change."""
    return shutil.copytree(small_photographs, tmp_path / "images")


@pytest.fixture
def distort(capfd):
    """distort(images, out, *options, dataset="live") -> (status, summary or None, stderr)."""

    def run(images, out, *options, dataset="live"):
        words = ["distort", "--set", dataset, "--images", images, "--out", out, "--json", *options]
        status = main([*map(str, words)])
        captured = capfd.readouterr()
        return status, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture(scope="session")
def undisturbed(small_photographs, tmp_path_factory):
    """{path: bytes} of an uninterrupted run with FEW on small_photographs."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert main(["distort", "--set", "live", "--images", str(small_photographs), "--out", str(out), *FEW]) == 0
    return tree(out)


def tree(out):
    """Return {relative path: bytes} of all files below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}
