"""`rankiqa distort`: photographs and options that it refuses."""

import os
import shutil
import sys

import pytest
from PIL import Image

from lib.distort_command import FEW, tree
from rankiqa.cli import main


def test_what_is_no_photograph_is_refused_by_name(copied_photographs, tmp_path, distort, undisturbed):
    images = copied_photographs
    small = Image.open(images / "cat.png").crop((0, 0, 240, 226))
    small.save(images / "small.png")
    (images / "cut.jpg").write_bytes((images / "moose.jpg").read_bytes()[:3000])
    (images / "text.JPG").write_text("a photograph, believe me")
    (images / "empty.bmp").touch()
    (images / "notes.txt").write_text("no image")
    for name in ("twin.png", "twin.bmp"):
        shutil.copy(images / "cat.png", images / name)
    shutil.copy(images / "cat.png", images / ("x" * 245 + ".png"))
    status, summary, err = distort(images, tmp_path / "out", *FEW, "--workers", 2)
    refused = {row["image"]: row["error"] for row in summary["refused"]}
    assert status == 1
    assert sorted(refused) == sorted(
        ["small.png", "cut.jpg", "text.JPG", "empty.bmp", "twin.png", "twin.bmp", "x" * 245 + ".png"]
    )
    assert refused["small.png"] == "expected both sides at least 227 pixels, got 226 x 240 (H x W)"
    assert "truncated" in refused["cut.jpg"] and "empty" in refused["empty.bmp"]
    assert "2 photographs for twin: twin.bmp, twin.png" in refused["twin.png"] == refused["twin.bmp"]
    assert (summary["photographs"], summary["made"]["photographs"]) == (10, 3)
    assert tree(tmp_path / "out") == undisturbed
    last = err.splitlines()[-9:]
    assert last[0] == f"rankiqa: {images}: ignored 1 other file (notes.txt)"
    assert summary["other_files"] == summary["ignored"]["other"] == 1
    assert {line.split(": ")[1] for line in last[1:8]} == set(refused)
    assert last[8] == "rankiqa: refused 7 of 10 photographs"
    status, summary, _ = distort(images, tmp_path / "out", *FEW, "--min-side", 231)
    assert status == 1 and summary["skipped"]["files"] == 0 and len(summary["refused"]) == 10
    assert tree(tmp_path / "out") == undisturbed
    status, summary, _ = distort(images, tmp_path / "out", *FEW, "--min-side", 226, "--max-pixels", 226 * 240)
    assert (tmp_path / "out/pristine_images/small.bmp").exists()
    assert "at most 54240 pixels" in {row["image"]: row["error"] for row in summary["refused"]}["cat.png"]


def test_unreadable_names_and_unnatural_ones(copied_photographs, tmp_path, distort):
    images = copied_photographs
    os.rename(images / "cat.png", os.path.join(os.fsencode(images), b"\xff \xc3\xa9.png"))
    os.symlink(images / "moose.jpg", images / "link.jpg")
    os.symlink("nowhere", images / "broken.jpg")
    status, summary, _ = distort(images, tmp_path / "out", "--types", "GN", "--levels", 1)
    assert (status, summary["made"]["photographs"]) == (1, 4)
    assert summary["refused"] == [
        {"image": "broken.jpg", "error": "expected a readable image, got: No such file or directory"}
    ]
    assert b"\xff_\xc3\xa9.bmp" in os.listdir(os.fsencode(tmp_path / "out/GN/GN1"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--types", "XX"], "--types: expected some of GB, GN, JPEG, JP2K, ours, all, got 'XX'"),
        (["--types", "ours"], "--types: expected at least one type, got none"),
        (["--levels", "6"], "--levels: expected levels in 1..5, got '6'"),
        (["--levels", "0"], "got '0'"),
        (["--levels", "1-3"], "got '1-3'"),
        (["--images", "nowhere"], "nowhere: expected a folder to use, got: No such file or directory"),
        (["--images", __file__], "expected a folder to use, got: Not a directory"),
        (["--out", __file__], "expected a folder to use"),
    ],
)
def test_nothing_is_begun(small_photographs, tmp_path, distort, arguments, words):
    status, summary, err = distort(small_photographs, tmp_path / "out", *arguments)
    assert (status, summary) == (2, None)
    assert err.startswith("rankiqa: ") and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photographs(tmp_path, distort):
    (tmp_path / "notes.txt").touch()
    status, _, err = distort(tmp_path, tmp_path / "out")
    assert status == 2 and "expected a folder with photographs, got none" in err


def test_a_type_that_cannot_be_made_here(small_photographs, tmp_path, distort, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    status, _, err = distort(small_photographs, tmp_path / "out", "--types", "GN", "ID", dataset="tid2013")
    assert status == 2 and "--types: ID cannot be made here: " in err and "pip install 'rankiqa[denoise]'" in err
    assert not (tmp_path / "out").exists()
    assert distort(small_photographs, tmp_path / "out", "--types", "GN", dataset="tid2013")[0] == 0


def test_a_distortion_that_fails_on_one_photograph(small_photographs, tmp_path, distort):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(small_photographs / "cat.png", images)
    Image.new("RGB", (20, 10)).save(images / "small.png")  # smaller than a patch of NEPN
    arguments = ["--types", "GN", "NEPN", "--levels", 1, "--min-side", 1]
    status, summary, _ = distort(images, tmp_path / "out", *arguments, dataset="tid2013")
    assert status == 1 and summary["made"]["photographs"] == 1
    assert "expected NEPN level 1 to be made, got ValueError: " in summary["refused"][0]["error"]
    assert [path for path in tree(tmp_path / "out") if "small" in path] == []  # the GN file that was made is removed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "0/2"], "expected i/n with 1 <= i <= n, got '0/2'"),
        (["--shard", "3/2"], "got '3/2'"),
        (["--shard", "1"], "got '1'"),
        (["--workers", "0"], f"expected a whole number, 1..{max(32, os.cpu_count() or 1)}, got '0'"),
        (["--set", "csiq"], "invalid choice"),
        (["--seed", "-1"], "0..4294967295"),
    ],
)
def test_usage(capsys, arguments, words):
    with pytest.raises(SystemExit) as error:
        main(["distort", "--set", "live", "--images", "i", "--out", "o", *arguments])
    assert error.value.code == 2 and words in capsys.readouterr().err
