"""Which images `rankiqa prepare` selects from Waterloo and Places2, and the problems it reports by name."""

import hashlib
import json
import os

import numpy as np
import pytest

from lib.pristine_sets import (
    contents,
    prepare_places,
    prepare_waterloo,
    run,
    sidecar,
    write_picture,
)
from rankiqa.data import photographs
from rankiqa.data.folders import Ignored
from rankiqa.data.images import read_image
from rankiqa.ranked_sets import pristine_selection


def many_labels(path, scenes=365, per_scene=100):
    """Write labels in the release's format, with scenes in random order and each image once; return {name: scene}."""
    scene = np.random.RandomState(1).permutation(np.repeat(np.arange(scenes), per_scene))
    names = [f"Places365_val_{number:08d}.jpg" for number in range(1, len(scene) + 1)]
    path.write_text("".join(f"{name} {index}\n" for name, index in zip(names, scene)))
    return dict(zip(names, map(int, scene)))


def test_waterloo_is_copied_to_the_last_pixel(capsys, waterloo, tmp_path):
    out = tmp_path / "rank" / "pristine_images"
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    result = json.loads(text)
    names = [f"{number:05d}.bmp" for number in range(1, 7)]
    assert status == 0 and "rankiqa:" not in err
    assert (result["selected"], result["written"], result["skipped"], result["refused"]) == (6, 6, 0, [])
    assert sorted(os.listdir(out)) == names  # no other file: upstream's generators list all files of the folder
    assert result["bytes"] == sum(len(data) for data in contents(out).values())
    for name in names:
        assert np.array_equal(read_image(out / name), read_image(waterloo / name))
    record = sidecar(out)
    limits = {"min_side": photographs.MIN_SIDE, "max_pixels": photographs.MAX_PIXELS, "large": "keep"}
    assert record["complete"] and record["settings"] == {"count": 6, **limits} and list(record["files"]) == names


def test_waterloo_says_what_is_wrong_by_name_and_goes_on(capsys, waterloo, tmp_path):
    (waterloo / "00003.bmp").unlink()
    (waterloo / "00004.bmp").unlink()
    write_picture(waterloo / "00007.bmp")  # above the count
    write_picture(waterloo / "castle.png")
    write_picture(waterloo / "00005.jpg")
    (waterloo / "readme.txt").write_text("not an image")
    (waterloo / "._00001.bmp").write_text("metadata that macOS writes")
    write_picture(waterloo / "00002.bmp", height=226)
    (waterloo / "00006.bmp").write_bytes((waterloo / "00001.bmp").read_bytes()[:4000])
    out = tmp_path / "out"
    status, text, err = prepare_waterloo(capsys, waterloo, out, "--json")
    result = json.loads(text)
    why = {row["image"]: row["error"] for row in result["refused"]}
    assert status == 1
    assert sorted(os.listdir(out)) == ["00001.bmp", "00005.bmp"]
    assert set(why) == {
        "00003.bmp .. 00004.bmp", "00007.bmp", "castle.png", "00005.jpg", "00002.bmp", "00006.bmp",
    }  # fmt: skip
    assert "expected 6 images" in why["00003.bmp .. 00004.bmp"]
    assert "at least 227 pixels, got 226 x 260" in why["00002.bmp"]
    assert "truncated" in why["00006.bmp"]
    assert result["ignored"] == 1 and result["written"] == 2
    assert all(f"rankiqa: {name}: " in err for name in why) and "6 refused or missing" in err
    assert sidecar(out)["refused"] == result["refused"]


def test_waterloo_names_in_any_case_but_each_number_once(waterloo):
    (waterloo / "00002.bmp").rename(waterloo / "00002.BMP")
    write_picture(waterloo / "00001.Bmp")
    result = pristine_selection.waterloo(waterloo, 6)
    assert [name for name, _ in result.images] == [f"{number:05d}.bmp" for number in range(2, 7)]
    assert result.images[0][1].name == "00002.BMP"
    assert [name for name, _ in result.refused] == ["00001.Bmp", "00001.bmp"]


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
    """Compare the choice of 356 of 365 scenes and 40 of 100 images with its definition, as plain loops."""
    labels = tmp_path / "places365_val.txt"
    known = many_labels(labels)
    monkeypatch.setattr(pristine_selection, "_files", lambda folder: (sorted(known), Ignored()))
    result = pristine_selection.places2(tmp_path, labels, scenes=356, per_scene=40, seed=7)
    expected = set()
    for scene in np.random.RandomState(7).permutation(np.arange(365))[:356]:
        names = sorted(name for name, index in known.items() if index == scene)
        for i in np.random.RandomState([7, scene]).permutation(100)[:40]:
            expected.add((f"{names[i][:-4]}_s{scene:03d}.bmp", names[i]))
    assert len(expected) == 356 * 40 and result.refused == []
    assert {(name, file.name) for name, file in result.images} == expected
    everything = pristine_selection.places2(tmp_path, labels)
    assert len(everything.images) == 36500 and len({name for name, _ in everything.images}) == 36500


def test_places_choices_are_nested_and_the_seed_s(tmp_path, monkeypatch):
    labels = tmp_path / "places365_val.txt"
    known = many_labels(labels)
    monkeypatch.setattr(pristine_selection, "_files", lambda folder: (sorted(known), Ignored()))

    def choice(**options):
        return {name for name, _ in pristine_selection.places2(tmp_path, labels, **options).images}

    assert choice(scenes=10, per_scene=5) < choice(scenes=11, per_scene=5)
    assert choice(scenes=10, per_scene=5) < choice(scenes=10, per_scene=6)
    assert choice(per_scene=5) != choice(per_scene=5, seed=1)
    assert choice(scenes=10) != choice(scenes=10, seed=1)
    assert choice() == choice(seed=1)  # all images of all scenes


def test_places_choice_does_not_depend_on_the_labels_order(places):
    selection = pristine_selection.places2(*places, scenes=2, per_scene=2, seed=3)
    lines = places[1].read_text().splitlines()
    # With Windows' line endings, none after the last line, and tabs
    places[1].write_text("\r\n".join(reversed(lines)).replace(" ", "\t"))
    again = pristine_selection.places2(*places, scenes=2, per_scene=2, seed=3)
    assert selection.images == again.images and selection.sha256 == again.sha256
    assert pristine_selection.places2(*places, scenes=2, per_scene=2, seed=4).sha256 != selection.sha256


def test_places_too_few_images_and_missing_files(capsys, places, tmp_path):
    (places[0] / "Places365_val_00000005.jpg").unlink()
    write_picture(places[0] / "Places365_val_00000099.jpg")  # no label
    status, text, err = prepare_places(capsys, places, tmp_path / "out", "--scenes", 3, "--per-scene", 5, "--json")
    result = json.loads(text)
    why = {row["image"]: row["error"] for row in result["refused"]}
    assert status == 1 and result["written"] == 11 and result["ignored"] == 1
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
