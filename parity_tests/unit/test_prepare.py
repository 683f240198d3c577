"""`rankiqa prepare`: what is chosen of Waterloo and Places2 is its definition, files are whole, refusals named."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rankiqa.cli import main
from rankiqa.data import photographs
from rankiqa.data.folders import PassedOver
from rankiqa.data.images import ImageError, read_image
from rankiqa.ranked_sets import pristine_images, pristine_selection
from rankiqa.ranked_sets.worker_pool import WorkerLost

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "photographs"
PORT = Path(__file__).resolve().parents[2] / "port"


def picture(path, height=240, width=260, seed=0):
    noise = np.random.RandomState([seed, *path.name.encode()]).randint(0, 256, (12, 13, 3), np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def waterloo(tmp_path):
    """Waterloo in small: 00001.bmp .. 00006.bmp."""
    folder = tmp_path / "pristine"
    folder.mkdir()
    for number in range(1, 7):
        picture(folder / f"{number:05d}.bmp")
    return folder


@pytest.fixture
def places(tmp_path):
    """Places2's validation set in small: 3 scenes of 4 images, and its labels."""
    folder = tmp_path / "val_large"
    folder.mkdir()
    lines = []
    for number in range(1, 13):
        name = f"Places365_val_{number:08d}.jpg"
        picture(folder / name)
        lines.append(f"{name} {(5, 0, 164)[number % 3]}")
    labels = tmp_path / "places365_val.txt"
    labels.write_text("\n".join(lines) + "\n")
    return folder, labels


def run(capsys, *arguments):
    status = main(["prepare", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def prepare_waterloo(capsys, folder, out, *more, count=6):
    return run(capsys, "waterloo", "--images", folder, "--out", out, "--count", count, *more)


def prepare_places(capsys, places, out, *more):
    return run(capsys, "places2", "--images", places[0], "--labels", places[1], "--out", out, *more)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sidecar(out):
    return json.loads(out.with_name(out.name + ".json").read_text())


def many_labels(path, scenes=365, per_scene=100):
    """The release's file in shape: scenes in disorder, each image once."""
    scene = np.random.RandomState(1).permutation(np.repeat(np.arange(scenes), per_scene))
    names = [f"Places365_val_{number:08d}.jpg" for number in range(1, len(scene) + 1)]
    path.write_text("".join(f"{name} {index}\n" for name, index in zip(names, scene)))
    return dict(zip(names, map(int, scene)))


def test_waterloo_is_copied_to_the_last_pixel(capsys, waterloo, tmp_path):
    out = tmp_path / "rank" / "pristine_images"
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    found = json.loads(text)
    names = [f"{number:05d}.bmp" for number in range(1, 7)]
    assert status == 0 and "rankiqa:" not in err
    assert (found["selected"], found["written"], found["skipped"], found["refused"]) == (6, 6, 0, [])
    assert sorted(os.listdir(out)) == names  # and nothing else: upstream's generators list all that is there
    assert found["bytes"] == sum(len(data) for data in contents(out).values())
    for name in names:
        assert np.array_equal(read_image(out / name), read_image(waterloo / name))
    record = sidecar(out)
    limits = {"min_side": photographs.MIN_SIDE, "max_pixels": photographs.MAX_PIXELS, "large": "keep"}
    assert record["complete"] and record["settings"] == {"count": 6, **limits} and list(record["files"]) == names


def test_waterloo_says_what_is_wrong_by_name_and_goes_on(capsys, waterloo, tmp_path):
    (waterloo / "00003.bmp").unlink()
    (waterloo / "00004.bmp").unlink()
    picture(waterloo / "00007.bmp")  # above the count
    picture(waterloo / "castle.png")
    picture(waterloo / "00005.jpg")
    (waterloo / "readme.txt").write_text("not an image")
    (waterloo / "._00001.bmp").write_text("a Mac's note")
    picture(waterloo / "00002.bmp", height=226)
    (waterloo / "00006.bmp").write_bytes((waterloo / "00001.bmp").read_bytes()[:4000])
    out = tmp_path / "out"
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    found = json.loads(text)
    why = {row["image"]: row["error"] for row in found["refused"]}
    assert status == 1
    assert sorted(os.listdir(out)) == ["00001.bmp", "00005.bmp"]
    assert set(why) == {
        "00003.bmp .. 00004.bmp", "00007.bmp", "castle.png", "00005.jpg", "00002.bmp", "00006.bmp",
    }  # fmt: skip
    assert "expected 6 images" in why["00003.bmp .. 00004.bmp"]
    assert "at least 227 pixels, got 226 x 260" in why["00002.bmp"]
    assert "truncated" in why["00006.bmp"]
    assert found["passed_over"] == 1 and found["written"] == 2
    assert all(f"rankiqa: {name}: " in err for name in why) and "6 refused or missing" in err
    assert sidecar(out)["refused"] == found["refused"]


def test_waterloo_names_in_any_case_but_each_number_once(waterloo):
    (waterloo / "00002.bmp").rename(waterloo / "00002.BMP")
    picture(waterloo / "00001.Bmp")
    found = pristine_selection.waterloo(waterloo, 6)
    assert [name for name, _ in found.images] == [f"{number:05d}.bmp" for number in range(2, 7)]
    assert found.images[0][1].name == "00002.BMP"
    assert [name for name, _ in found.refused] == ["00001.Bmp", "00001.bmp"]


def test_waterloo_expects_the_release(capsys, waterloo, tmp_path):
    status, text, _ = run(capsys, "waterloo", "--images", waterloo, "--out", tmp_path / "out", "--json")
    missing = {"image": "00007.bmp .. 04744.bmp", "error": "expected 4744 images, got none of these numbers"}
    assert status == 1 and json.loads(text)["refused"] == [missing] and len(contents(tmp_path / "out")) == 6
    assert pristine_selection.waterloo(waterloo).settings == {"count": 4744}


def test_no_waterloo(capsys, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        status, out, err = prepare_waterloo(capsys, folder, tmp_path / "out")
        assert (status, out, len(err.splitlines())) == (2, "", 1) and f"{folder}: expected" in err
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.json").exists()


def test_places_takes_all_of_each_scene(capsys, places, tmp_path):
    out = tmp_path / "out"
    status, text, _ = prepare_places(capsys, places, out, "--scenes", 3, "--per-scene", 4, "--json")
    assert status == 0 and json.loads(text)["written"] == 12
    names = sorted(os.listdir(out))
    assert names[:3] == [
        "Places365_val_00000001_s000.bmp", "Places365_val_00000002_s164.bmp", "Places365_val_00000003_s005.bmp",
    ]  # fmt: skip
    for name in names:
        assert np.array_equal(read_image(out / name), read_image(places[0] / f"{name[:-9]}.jpg"))
    record = sidecar(out)
    assert record["files"][names[0]] == "Places365_val_00000001.jpg"
    digest = hashlib.sha256("".join(f"{name}\t{name[:-9]}.jpg\n" for name in names).encode()).hexdigest()
    assert record["selection_sha256"] == digest
    assert record["settings"]["labels_sha256"] == hashlib.sha256(places[1].read_bytes()).hexdigest()


def test_places_choice_is_its_definition(tmp_path, monkeypatch):
    """356 of 365 scenes and 40 of 100 images, written down once more, plainly."""
    labels = tmp_path / "places365_val.txt"
    known = many_labels(labels)
    monkeypatch.setattr(pristine_selection, "_files", lambda folder: (sorted(known), PassedOver()))
    found = pristine_selection.places2(tmp_path, labels, scenes=356, per_scene=40, seed=7)
    expected = set()
    for scene in np.random.RandomState(7).permutation(np.arange(365))[:356]:
        names = sorted(name for name, index in known.items() if index == scene)
        for i in np.random.RandomState([7, scene]).permutation(100)[:40]:
            expected.add((f"{names[i][:-4]}_s{scene:03d}.bmp", names[i]))
    assert len(expected) == 356 * 40 and found.refused == []
    assert {(name, file.name) for name, file in found.images} == expected
    everything = pristine_selection.places2(tmp_path, labels)
    assert len(everything.images) == 36500 and len({name for name, _ in everything.images}) == 36500


def test_places_choices_are_nested_and_the_seed_s(tmp_path, monkeypatch):
    labels = tmp_path / "places365_val.txt"
    known = many_labels(labels)
    monkeypatch.setattr(pristine_selection, "_files", lambda folder: (sorted(known), PassedOver()))

    def choice(**options):
        return {name for name, _ in pristine_selection.places2(tmp_path, labels, **options).images}

    assert choice(scenes=10, per_scene=5) < choice(scenes=11, per_scene=5)
    assert choice(scenes=10, per_scene=5) < choice(scenes=10, per_scene=6)
    assert choice(per_scene=5) != choice(per_scene=5, seed=1)
    assert choice(scenes=10) != choice(scenes=10, seed=1)
    assert choice() == choice(seed=1)  # all of all


def test_places_choice_does_not_depend_on_the_labels_order(places):
    one = pristine_selection.places2(*places, scenes=2, per_scene=2, seed=3)
    lines = places[1].read_text().splitlines()
    # Windows' ends of lines, none at the last, and tabs
    places[1].write_text("\r\n".join(reversed(lines)).replace(" ", "\t"))
    two = pristine_selection.places2(*places, scenes=2, per_scene=2, seed=3)
    assert one.images == two.images and one.sha256 == two.sha256
    assert pristine_selection.places2(*places, scenes=2, per_scene=2, seed=4).sha256 != one.sha256


def test_places_too_few_images_and_missing_files(capsys, places, tmp_path):
    (places[0] / "Places365_val_00000005.jpg").unlink()
    picture(places[0] / "Places365_val_00000099.jpg")  # no label
    status, text, err = prepare_places(capsys, places, tmp_path / "out", "--scenes", 3, "--per-scene", 5, "--json")
    found = json.loads(text)
    why = {row["image"]: row["error"] for row in found["refused"]}
    assert status == 1 and found["written"] == 11 and found["passed_over"] == 1
    assert set(why) == {"scene 0", "scene 5", "scene 164", "Places365_val_00000005.jpg"}
    assert why["scene 164"] == "expected 5 images, places365_val.txt has 4"
    assert "no such file" in why["Places365_val_00000005.jpg"] and "1 other file (Places365_val_00000099.jpg)" in err


@pytest.mark.parametrize(
    "text, message",
    [
        ("/a/airfield 0\n", "line 1: expected `image scene`"),  # categories_places365.txt
        ("/a/airfield/00000001.jpg 0\n", "line 1: expected `image scene`"),  # the training list
        ("Places365_test_00000001.jpg\n", "line 1: expected `image scene`"),  # the test list
        ("a.jpg 1\nb.jpg one\n", "line 2: expected `image scene`"),
        ("a.jpg 1\nb.jpg -1\n", "line 2: expected `image scene`"),
        ("a.jpg 1\n\na.jpg 1\n", "line 3: expected each image once, got a.jpg after a.jpg"),
        ("a.jpg 1\na.png 2\n", "line 2: expected each image once, got a.png after a.jpg"),
        ("\n", "expected `image scene` lines, got none"),
        (b"\xff\xd8\xff\xe0", "line 1: expected places365_val.txt in UTF-8, got the bytes"),
        (None, "got: No such file or directory"),
    ],
)
def test_a_wrong_label_file(capsys, tmp_path, text, message):
    labels = tmp_path / "labels.txt"
    if text is not None:
        labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, out, err = prepare_places(capsys, (tmp_path, labels), tmp_path / "out", "--scenes", 1)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert message in err and str(labels) in err
    assert not (tmp_path / "out").exists()


def test_the_release_s_scenes_unless_told(capsys, places, tmp_path):
    status, _, err = prepare_places(capsys, places, tmp_path / "out")
    assert status == 2 and "expected the 365 scenes of places365_val.txt, got 3" in err
    status, _, err = prepare_places(capsys, places, tmp_path / "out", "--scenes", 4)
    assert status == 2 and "expected 4 scenes, got 3" in err
    status, _, err = prepare_places(capsys, (tmp_path, places[1]), tmp_path / "out", "--scenes", 3)
    assert status == 2 and "got none" in err


def test_any_number_of_workers_makes_the_same(capsys, places, tmp_path):
    (places[0] / "Places365_val_00000004.jpg").write_bytes(b"no image")
    found = []
    for workers in (1, 2):
        out = tmp_path / f"workers{workers}"
        status, text, _ = prepare_places(
            capsys, places, out, "--scenes", 3, "--per-scene", 4, "--json", "--workers", workers
        )
        assert status == 1
        found.append((contents(out), sidecar(out), json.loads(text) | {"out": "", "sidecar": ""}))
    assert found[0] == found[1] and len(found[0][0]) == 11


def test_a_second_run_makes_what_is_not_right(capsys, waterloo, tmp_path):
    out = tmp_path / "out"
    prepare_waterloo(capsys, waterloo, out)
    before, record = contents(out), sidecar(out)
    (out / "00001.bmp").unlink()
    (out / "00002.bmp").write_bytes(before["00002.bmp"][:-1])
    (out / "00003.bmp").write_bytes(before["00003.bmp"][:-1] + bytes([before["00003.bmp"][-1] ^ 1]))
    (out / ".00004.bmp.tmp").write_bytes(b"of a killed run")
    modified = (out / "00005.bmp").stat().st_mtime_ns
    status, text, _ = prepare_waterloo(capsys, waterloo, out, "--json")
    found = json.loads(text)
    assert (status, found["written"], found["skipped"]) == (0, 3, 3)
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
    status, _, err = prepare_waterloo(capsys, waterloo, waterloo)  # onto themselves
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
    found, _, err = prepare_waterloo(capsys, waterloo, tmp_path / "out")
    assert found == status and ("every worker" in err if status == 1 else "stopped; the same command resumes" in err)
    assert not sidecar(tmp_path / "out")["complete"]


def test_large_images(capsys, waterloo, tmp_path):
    picture(waterloo / "00001.bmp", 673, 900)
    picture(waterloo / "00002.bmp", 1000, 672)
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
        picture(folder / f"{number:05d}.bmp", 480, 640)

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
        assert contents(out) == left  # its workers have ended with it
        whole = [name for name in os.listdir(out) if not name.startswith(".")]
        assert all((out / name).stat().st_size == 480 * 640 * 3 + 54 for name in whole)
    assert caught >= 3
    assert begin(out).wait() == 0
    assert contents(out) == contents(tmp_path / "whole") and sidecar(out) == sidecar(tmp_path / "whole")
