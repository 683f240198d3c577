"""Runs of `rankiqa prepare`: repeated, interrupted and failing ones, large images, and what follows them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lib.pristine_sets import (
    PORT,
    contents,
    prepare_places,
    prepare_waterloo,
    sidecar,
    write_picture,
)
from rankiqa.cli import main
from rankiqa.data.atomic_files import temporary_name
from rankiqa.data.images import ImageError, read_image
from rankiqa.ranked_sets import pristine_images
from rankiqa.ranked_sets.worker_pool import WorkerLost


def test_any_number_of_workers_makes_the_same(capsys, places, tmp_path):
    (places[0] / "Places365_val_00000004.jpg").write_bytes(b"no image")
    results = []
    for workers in (1, 2):
        out = tmp_path / f"workers{workers}"
        status, text, _ = prepare_places(
            capsys, places, out, "--scenes", 3, "--per-scene", 4, "--json", "--workers", workers
        )
        assert status == 1
        results.append((contents(out), sidecar(out), json.loads(text) | {"out": "", "sidecar": ""}))
    assert results[0] == results[1] and len(results[0][0]) == 11


def test_a_second_run_makes_what_is_not_right(capsys, waterloo, tmp_path):
    out = tmp_path / "out"
    prepare_waterloo(capsys, waterloo, out)
    before, record = contents(out), sidecar(out)
    (out / "00001.bmp").unlink()
    (out / "00002.bmp").write_bytes(before["00002.bmp"][:-1])
    (out / "00003.bmp").write_bytes(before["00003.bmp"][:-1] + bytes([before["00003.bmp"][-1] ^ 1]))
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = temporary_name(out / "00004.bmp").name.replace(f"-{os.getpid()}-", f"-{killed.pid}-")
    (out / left).write_bytes(b"of a killed run")
    modified = (out / "00005.bmp").stat().st_mtime_ns
    status, text, _ = prepare_waterloo(capsys, waterloo, out, "--json")
    summary = json.loads(text)
    assert (status, summary["written"], summary["skipped"]) == (0, 3, 3)
    assert contents(out) == before and sidecar(out) == record
    assert (out / "00005.bmp").stat().st_mtime_ns == modified


def test_quick_does_not_look_into_a_file(capsys, waterloo, tmp_path):
    out = tmp_path / "out"
    prepare_waterloo(capsys, waterloo, out)
    (out / "00001.bmp").write_bytes(b"trusted")
    (out / "00002.bmp").unlink()
    _, text, _ = prepare_waterloo(capsys, waterloo, out, "--json", "--quick")
    assert json.loads(text)["skipped"] == 5 and (out / "00001.bmp").read_bytes() == b"trusted"


def test_missing_images_may_come_later(capsys, waterloo, tmp_path):
    data = (waterloo / "00004.bmp").read_bytes()
    (waterloo / "00004.bmp").unlink()
    out = tmp_path / "out"
    assert prepare_waterloo(capsys, waterloo, out)[0] == 1
    (waterloo / "00004.bmp").write_bytes(data)
    status, text, _ = prepare_waterloo(capsys, waterloo, out, "--json")
    assert status == 0 and json.loads(text)["written"] == 1 and len(contents(out)) == 6
    assert sidecar(out)["refused"] == []


def test_an_image_that_has_gone_bad_leaves_nothing_behind(capsys, waterloo, tmp_path):
    out = tmp_path / "out"
    prepare_waterloo(capsys, waterloo, out)
    (waterloo / "00004.bmp").write_bytes(b"BM")
    assert prepare_waterloo(capsys, waterloo, out)[0] == 1
    assert not (out / "00004.bmp").exists()


def test_a_folder_that_is_not_ours_is_left_alone(capsys, waterloo, places, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.bmp").write_bytes(b"mine")
    status, _, err = prepare_waterloo(capsys, waterloo, out)
    assert status == 2 and "expected a new or an empty folder" in err
    assert contents(out) == {"mine.bmp": b"mine"} and not out.with_name("out.json").exists()
    status, _, err = prepare_waterloo(capsys, waterloo, waterloo)  # the input folder as output
    assert status == 2 and "expected a new or an empty folder" in err

    ours = tmp_path / "ours"
    prepare_places(capsys, places, ours, "--scenes", 2, "--per-scene", 2)
    before = contents(ours)
    for more, key in ((["--seed", 1], '"seed": 1'), (["--large", "scale"], '"large": "scale"')):
        status, _, err = prepare_places(capsys, places, ours, "--scenes", 2, "--per-scene", 2, *more)
        assert status == 2 and key in err and "use another --out" in err
    (ours / "more.bmp").write_bytes(b"")
    status, _, err = prepare_places(capsys, places, ours, "--scenes", 2, "--per-scene", 2)
    assert status == 2 and "got 1 other files, for example more.bmp" in err
    assert contents(ours) == before | {"more.bmp": b""}
    ours.with_name("ours.json").write_text("{")
    assert "another file" in prepare_places(capsys, places, ours, "--scenes", 2, "--per-scene", 2)[2]


def test_a_disk_that_fails_ends_the_run(capsys, waterloo, tmp_path):
    out = tmp_path / "out"
    (out / "00003.bmp").mkdir(parents=True)
    record = tmp_path / "out.json"
    assert prepare_waterloo(capsys, waterloo, tmp_path / "other")[0] == 0
    record.write_bytes((tmp_path / "other.json").read_bytes())
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    assert status == 1 and "00003.bmp: expected a file that can be written, got: Is a directory" in err
    assert json.loads(text)["error"] in err and not sidecar(out)["complete"]
    (out / "00003.bmp").rmdir()
    assert prepare_waterloo(capsys, waterloo, out)[0] == 0
    assert contents(out) == contents(tmp_path / "other")


@pytest.mark.parametrize(
    "error, status", [(WorkerLost("expected every worker to end its jobs"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_run_that_is_cut_short_says_so(capsys, waterloo, tmp_path, monkeypatch, error, status):
    def prepare_images(*_, **__):
        yield pristine_images.Outcome("00001.bmp", written=True)
        raise error

    monkeypatch.setattr(pristine_images, "prepare_images", prepare_images)
    actual, _, err = prepare_waterloo(capsys, waterloo, tmp_path / "out")
    assert actual == status and ("every worker" in err if status == 1 else "stopped; the same command resumes" in err)
    assert not sidecar(tmp_path / "out")["complete"]


def test_large_images(capsys, waterloo, tmp_path):
    write_picture(waterloo / "00001.bmp", 673, 900)
    write_picture(waterloo / "00002.bmp", 1000, 672)
    out = tmp_path / "keep"
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    assert status == 0 and json.loads(text)["large"] == 1 and "kept 1 images with a shorter side above 672" in err
    assert read_image(out / "00001.bmp").shape == (673, 900, 3)
    out = tmp_path / "scale"
    status, _, err = prepare_waterloo(capsys, waterloo, out, "--large", "scale")
    assert status == 0 and "shorter side" not in err
    assert read_image(out / "00001.bmp").shape == (672, 899, 3)  # 900 * 672 / 673 = 898.66
    assert np.array_equal(read_image(out / "00002.bmp"), read_image(waterloo / "00002.bmp"))
    status, text, _ = prepare_waterloo(capsys, waterloo, tmp_path / "refuse", "--large", "refuse", "--json")
    refused = json.loads(text)["refused"]
    assert status == 1 and [row["image"] for row in refused] == ["00001.bmp"] and "got 673 x 900" in refused[0]["error"]


def test_scaled_images_are_whole_means():
    image = np.random.RandomState(0).randint(0, 256, (2016, 2688, 3), np.uint8)
    small = pristine_images.fit(image, "scale")
    means = image.reshape(672, 3, 896, 3, 3).mean((1, 3))
    assert small.shape == (672, 896, 3) and np.abs(small - means).max() <= 0.5
    assert pristine_images.fit(image, "keep") is image
    with pytest.raises(ImageError, match="at most 672 pixels, got 2016 x 2688"):
        pristine_images.fit(image, "refuse")


def test_what_is_prepared_is_distorted_and_listed(capsys, waterloo, tmp_path):
    ranked, lists = tmp_path / "rank_live", tmp_path / "lists"
    assert prepare_waterloo(capsys, waterloo, ranked / "pristine_images")[0] == 0
    prepared = contents(ranked / "pristine_images")
    distort = ["--images", ranked / "pristine_images", "--out", ranked, "--types", "GB", "JPEG", "--levels", 1]
    assert main([str(word) for word in ["distort", "--set", "live", *distort]]) == 0
    listed = [ranked, "--out", lists, "--types", "GB", "JPEG", "--levels", 1]
    assert main([str(word) for word in ["lists", "rank-live", *listed]]) == 0
    assert contents(ranked / "pristine_images") == prepared
    lines = [(lists / f"live_{side}.txt").read_text().splitlines() for side in ("train", "test")]
    assert [len(side) for side in lines] == [16, 8]  # 4 and 2 of 6 images; 2 types; distorted and pristine
    assert lines[0][4].split()[0] == str(ranked / "pristine_images" / "00001.bmp")


def test_killed_at_any_moment_it_ends_as_if_undisturbed(tmp_path):
    folder = tmp_path / "pristine"
    folder.mkdir()
    for number in range(1, 61):
        write_picture(folder / f"{number:05d}.bmp", 480, 640)

    def begin(out):
        command = [sys.executable, "-m", "rankiqa", "prepare", "waterloo", "--images", folder, "--count", "60"]
        environment = {**os.environ, "PYTHONPATH": str(PORT)}
        return subprocess.Popen(
            [*command, "--out", out, "--workers", "2"], env=environment, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    assert begin(tmp_path / "whole").wait() == 0
    out = tmp_path / "killed"
    caught = 0
    for number in range(4):
        process = begin(out)
        done = len(contents(out)) if out.exists() else 0
        while process.poll() is None and (not out.exists() or len(os.listdir(out)) < min(done + 5, 60)):
            time.sleep(0.002)
        process.send_signal((signal.SIGKILL, signal.SIGTERM)[number % 2])
        caught += process.wait() != 0
        time.sleep(0.5)
        left = contents(out)
        time.sleep(0.3)
        assert contents(out) == left  # the workers ended with the run
        whole = [name for name in os.listdir(out) if not name.startswith(".")]
        assert all((out / name).stat().st_size == 480 * 640 * 3 + 54 for name in whole)
    assert caught >= 3
    assert begin(out).wait() == 0
    assert contents(out) == contents(tmp_path / "whole") and sidecar(out) == sidecar(tmp_path / "whole")
