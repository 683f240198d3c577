"""`rankiqa distort`: its files and pixels, resumed runs, and the same bytes for any workers, shards and order."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rankiqa
from lib.distort_command import FEW, FEW_FILES, tree
from rankiqa.cli import main
from rankiqa.data.photographs import read_photograph
from rankiqa.distortions import DATASETS


@pytest.mark.parametrize("dataset", ["live", "tid2013"])
def test_layout_and_pixels(small_photographs, tmp_path, distort, dataset):
    types = [*list(DATASETS[dataset])[:4], "JPEG", "JP2K"]
    levels = [1, 3]
    status, summary, _ = distort(small_photographs, tmp_path / "out", "--types", *types, "--levels", "3", "1",
                                 "--seed", 5, dataset=dataset)  # fmt: skip
    types = [name for name in DATASETS[dataset] if name in types]
    assert status == 0
    assert (summary["types"], summary["levels"]) == (types, levels)
    assert summary["made"] == {"photographs": 3, "files": 3 * (len(types) * 2 + 1)}
    files = {path for path in tree(tmp_path / "out") if not path.startswith(".rankiqa")}
    expected = {"settings.json"} | {f"pristine_images/{name}.bmp" for name in ("cat", "moose", "fig")}
    for file in small_photographs.iterdir():
        pristine = read_photograph(file.read_bytes())
        stored = Image.open(tmp_path / "out" / "pristine_images" / f"{file.stem}.bmp")
        assert stored.mode == "RGB" and np.array_equal(stored, pristine)
        for name in types:
            row = DATASETS[dataset][name]
            for level in levels:
                path = f"{name}/{name}{level}/{file.stem}{row.suffix}"
                expected.add(path)
                key = hashlib.sha256(json.dumps([5, file.stem, name, level]).encode()).digest()
                random = np.random.default_rng(int.from_bytes(key, "big"))
                distorted = rankiqa.distort(pristine, name, level, random, dataset)
                with Image.open(tmp_path / "out" / path) as stored:
                    assert stored.format == {".bmp": "BMP", ".jpg": "JPEG", ".jp2": "JPEG2000"}[row.suffix]
                    assert np.array_equal(stored, distorted)
    assert files == expected


def test_the_default_is_what_the_original_makes_or_lists(small_photographs, tmp_path, distort):
    pytest.importorskip("bm3d")
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(small_photographs / "cat.png", images)
    _, summary, _ = distort(images, tmp_path / "out", "--levels", 1, dataset="tid2013")
    table = DATASETS["tid2013"]
    assert summary["types"] == [name for name in table if table[name].origin in ("upstream", "listed")]
    assert {"MSL", "CCH"} <= set(summary["types"])


def test_each_level_lines_up_with_the_pristine_images(small_photographs, tmp_path, distort):
    """The original's list generators assume that the n-th name of each sorted folder is the same image."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "a c.png", "a.c.d.png", "a-1.png", "A.png", "b_.png"):
        shutil.copy(small_photographs / "cat.png", images / name)
    status, _, _ = distort(images, tmp_path / "out", "--types", "GB", "JPEG", "JP2K", "--levels", 1)
    assert status == 0
    pristine = [Path(name).stem for name in sorted(os.listdir(tmp_path / "out" / "pristine_images"))]
    assert len(pristine) == 6
    for folder in ("GB/GB1", "JPEG/JPEG1", "JP2K/JP2K1"):
        assert [Path(name).stem for name in sorted(os.listdir(tmp_path / "out" / folder))] == pristine


def test_workers_and_shards_change_nothing(small_photographs, tmp_path, distort, undisturbed):
    assert len(undisturbed) == 3 * (FEW_FILES + 1) + 2  # a record per photograph; settings and lock
    distort(small_photographs, tmp_path / "two", *FEW, "--workers", 2)
    assert tree(tmp_path / "two") == undisturbed
    summaries = [distort(small_photographs, tmp_path / "parts", *FEW, "--shard", f"{i}/3")[1] for i in (3, 1, 2)]
    assert tree(tmp_path / "parts") == undisturbed
    assert sum(summary["photographs"] for summary in summaries) == 3
    cat_only = tmp_path / "one"
    cat_only.mkdir()
    shutil.copy(small_photographs / "cat.png", cat_only)
    distort(cat_only, tmp_path / "alone", *FEW, "--workers", 4)
    cat_files = tree(tmp_path / "alone")
    assert len(cat_files) == FEW_FILES + 3 and cat_files.items() <= undisturbed.items()


def test_types_and_levels_may_come_in_several_runs(small_photographs, tmp_path, distort, undisturbed):
    distort(small_photographs, tmp_path, "--types", "GN", "--levels", "2,5")
    assert distort(small_photographs, tmp_path, "--types", "JPEG")[1]["skipped"]["files"] == 3  # the pristine images
    assert distort(small_photographs, tmp_path, *FEW)[1]["skipped"]["files"] == 3 * (1 + 2 + 5)
    assert tree(tmp_path) == undisturbed


def test_seeds(small_photographs, tmp_path, distort, undisturbed):
    distort(small_photographs, tmp_path, *FEW, "--seed", 1)
    files = tree(tmp_path)
    pictures = [path for path in files if not path.startswith(".rankiqa") and path != "settings.json"]
    changed = [path for path in pictures if files[path] != undisturbed[path]]
    assert changed and all(path.startswith("GN/") for path in changed) and len(changed) == 15
    status, summary, err = distort(small_photographs, tmp_path, *FEW, "--seed", 2)
    assert (status, summary) == (2, None) and "settings.json: seed: expected 2, the value of this run, got 1" in err
    status, _, err = distort(small_photographs, tmp_path, "--seed", 1, "--types", "GN", dataset="tid2013")
    assert status == 2 and 'set: expected "tid2013"' in err
    assert tree(tmp_path) == files


def test_what_is_right_is_left_and_what_is_wrong_made_again(small_photographs, tmp_path, distort, undisturbed):
    distort(small_photographs, tmp_path, *FEW)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in undisturbed}
    (tmp_path / "GB/GB1/cat.bmp").unlink()
    (tmp_path / "GN/GN2/cat.bmp").write_bytes(undisturbed["GN/GN2/cat.bmp"][:-1])
    (tmp_path / "JPEG/JPEG3/fig.jpg").write_bytes(b"")
    (tmp_path / "GB/GB4/fig.bmp").write_bytes(undisturbed["GB/GB5/fig.bmp"])  # another file of the same size
    assert len(undisturbed["GB/GB4/fig.bmp"]) == len(undisturbed["GB/GB5/fig.bmp"])
    status, summary, _ = distort(small_photographs, tmp_path, *FEW, "--quick")
    assert (status, summary["made"]) == (0, {"photographs": 2, "files": 3})
    assert summary["skipped"] == {"photographs": 1, "files": 3 * FEW_FILES - 3}
    assert tree(tmp_path) != undisturbed  # --quick compares sizes only
    _, summary, _ = distort(small_photographs, tmp_path, *FEW)
    assert summary["made"] == {"photographs": 1, "files": 1}
    assert tree(tmp_path) == undisturbed
    after = {path: (tmp_path / path).stat().st_mtime_ns for path in undisturbed}
    touched = {path for path in after if after[path] != before[path]}
    wrong = {"GB/GB1/cat.bmp", "GN/GN2/cat.bmp", "JPEG/JPEG3/fig.jpg", "GB/GB4/fig.bmp"}
    assert wrong <= touched <= wrong | {f".rankiqa/records/{name}.json" for name in ("cat", "fig")} | {".rankiqa/lock"}


def test_it_says_what_it_skipped(small_photographs, tmp_path, capfd):
    command = ["distort", "--set", "live", "--images", str(small_photographs), "--out", str(tmp_path), *FEW]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert (
        "made 48 files from 3 photographs" in out
        and "skipped 0 valid files" in out
        and "peak memory of each worker: " in out
    )
    assert "100%" in err and "48/48" in err and "file/s" in err
    assert main(command) == 0
    out = capfd.readouterr().out
    assert (
        "made 0 files" in out
        and "skipped 48 valid files" in out
        and "photographs with all files valid: 3 (cat.png, fig.bmp, moose.jpg)" in out
    )


def test_a_changed_photograph(copied_photographs, tmp_path, distort, undisturbed):
    distort(copied_photographs, tmp_path / "out", *FEW)
    Image.open(copied_photographs / "cat.png").rotate(180).save(copied_photographs / "cat.png")
    status, summary, _ = distort(copied_photographs, tmp_path / "out", "--types", "GB")
    assert (status, summary["made"], summary["skipped"]["files"]) == (0, {"photographs": 1, "files": 6}, 12)
    files = tree(tmp_path / "out")
    # The files of other types showed the old photograph
    assert not [path for path in files if path.startswith(("GN", "JPEG")) and "cat" in path]
    distort(copied_photographs, tmp_path / "out", *FEW)
    distort(copied_photographs, tmp_path / "anew", *FEW)
    assert tree(tmp_path / "out") == tree(tmp_path / "anew") != undisturbed


def test_recursive_takes_the_photographs_of_folders_inside(copied_photographs, tmp_path, distort):
    (copied_photographs / "trip" / "day.1").mkdir(parents=True)
    os.rename(copied_photographs / "moose.jpg", copied_photographs / "trip" / "day.1" / "moose.jpg")
    options = ["--types", "GN", "--levels", 1]
    status, summary, err = distort(copied_photographs, tmp_path / "flat", *options)
    assert (status, summary["photographs"], summary["ignored"]["folder"]) == (0, 2, 1)
    assert err.endswith(f"rankiqa: {copied_photographs}: ignored 1 folder (trip)\n")
    status, summary, err = distort(copied_photographs, tmp_path / "deep", *options, "--recursive")
    assert (status, summary["photographs"], summary["other_files"]) == (0, 3, 0) and "ignored" not in err
    assert sorted(os.listdir(tmp_path / "deep/GN/GN1")) == ["cat.bmp", "fig.bmp", "trip_day_1_moose.bmp"]
    status, _, err = distort(copied_photographs, copied_photographs / "out", *options, "--recursive")
    assert status == 2 and "expected a folder outside of --images with --recursive" in err


def test_photographs_that_stay_where_the_original_has_them(copied_photographs, tmp_path, distort, undisturbed):
    out = tmp_path / "rank_live"
    out.mkdir()
    os.rename(copied_photographs, out / "pristine_images")
    Image.open(out / "pristine_images" / "cat.png").save(out / "pristine_images" / "a b.png")
    before = tree(out)
    status, summary, err = distort(out / "pristine_images", out, *FEW)
    assert (status, summary["made"]["files"]) == (1, 45) and "a b.png: expected a name without white space" in err
    after = tree(out)
    assert before.items() <= after.items()
    for path, data in after.items():
        if path.startswith(("GB", "GN", "JPEG")):
            assert undisturbed[path] == data
