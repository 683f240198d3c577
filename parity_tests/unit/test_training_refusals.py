"""Inputs and options that a training refuses before its first iteration."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lib.shallow_trainings import IMAGES, arguments, error_line, last_snapshot, write_images
from rankiqa.cli import main
from rankiqa.data.image_check import NAMED


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def test_every_listed_image_is_checked_first(images, tmp_path, capsys):
    """One error names all missing, empty, small and unreadable files and folders; grey and 16-bit images are valid."""
    lines = (images / "list.txt").read_text().splitlines()
    (images / "empty.png").touch()
    Image.new("RGB", (227, 300)).save(images / "small.png")
    (images / "text.jpg").write_text("<html>")
    (images / "folder.png").mkdir()
    Image.new("L", (228, 228)).save(images / "grey.png")
    Image.fromarray(np.zeros((230, 230), np.uint16)).save(images / "deep.png")
    bad = ["none.png", "empty.png", "small.png", "text.jpg", "folder.png"]
    good = ["grey.png", "deep.png"]
    (images / "list.txt").write_text("\n".join([*lines, *(f"{name} 1" for name in bad + good)]) + "\n")
    line = error_line(capsys, arguments(images, tmp_path / "out"))
    assert f"{len(bad)} of {IMAGES + len(bad) + len(good)} listed images cannot be used" in line
    for words in ("none.png: expected an image, got no such file", "empty.png: expected an image, got an empty file",
                  "small.png: expected both sides above 227 pixels (the crop), got 300 x 227",
                  "text.jpg: expected an image", "folder.png: expected an image file, got a folder"):  # fmt: skip
        assert words in line
    assert not any(name in line for name in good)
    assert line in (tmp_path / "out" / "log.txt").read_text()
    assert last_snapshot(tmp_path / "out") is None
    # The error names only the first of many files
    (images / "list.txt").write_text("\n".join([*lines, *(f"none{n}.png 1" for n in range(50))]) + "\n")
    line = error_line(capsys, arguments(images, tmp_path / "out"))
    assert line.count("no such file") == NAMED and line.endswith(f"; and {50 - NAMED} more")
    assert main(arguments(images, tmp_path / "other", "--no-check", max_iter=0, test_interval=0, display=0)) == 0


def test_places_that_cannot_be_written(images, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "expected a folder to write to (--out)" in error_line(capsys, arguments(images, tmp_path / "file"))
    assert "expected a folder to write to (--out)" in error_line(capsys, arguments(images, tmp_path / "file" / "in"))
    assert "expected a folder to write to (--out)" in error_line(capsys, arguments(images, "/proc/none"))
    (tmp_path / "log" / "log.txt").mkdir(parents=True)
    assert "expected a folder to write to (--out)" in error_line(capsys, arguments(images, tmp_path / "log"))


def test_two_trainings_in_one_folder(images, tmp_path, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rankiqa", *arguments(images, out, max_iter=10000, snapshot=0)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline()
    assert "got one in use" in error_line(capsys, arguments(images, out))
    process.kill()
    process.communicate()
    # A new training does not overwrite the files of an earlier one
    assert main(arguments(images, out, max_iter=2)) == 0
    assert "--resume continues it; a new training needs another --out" in error_line(capsys, arguments(images, out))


def test_files_of_another_kind(images, tmp_path, capsys, write):
    """For a caffemodel, weights, a folder or a missing file, the error says what it is and what to do."""
    weights = write(tmp_path / "w.safetensors")
    model = tmp_path / "m.caffemodel"
    model.write_bytes(b"\n\x03net\xa2\x06\x08\n\x06conv11" * 99)
    cases = [
        (["--weights", model], "rankiqa convert MODEL.caffemodel"),
        (["--resume", model], "rankiqa convert P.solverstate --out S.safetensors"),
        (["--resume", weights], f"got only weights: --weights {weights} starts from them"),
        (["--resume", tmp_path], "got a folder"),
        (["--resume", tmp_path / "none"], "got no such file"),
        (["--device", "cuda:77"], "--device cuda:77: expected a device that PyTorch can use, cpu"),
        (["--device", "meta"], "--device meta: expected a device"),
        (["--device", "nowhere"], "--device nowhere: expected a device"),
        (["--set=max_iter=1" + "0" * 400], "max_iter: expected a whole number"),
        (["--set=base_lr=1e999"], "base_lr: expected a number"),
    ]
    for more, words in cases:
        assert words in error_line(capsys, arguments(images, tmp_path / "out", *more)), more


@pytest.mark.parametrize("option", ["--workers=-1", "--workers=100000", "--workers=x", "--cache-mb=-1", "--seed=-1"])
def test_numbers_out_of_range(images, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as error:
        main(arguments(images, tmp_path, option))
    assert error.value.code == 2
    assert "expected a whole number, 0.." in capsys.readouterr().err
