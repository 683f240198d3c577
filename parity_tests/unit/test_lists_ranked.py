"""`rankiqa lists` of ranked sets: upstream's lines, options for levels and names, and minibatches."""

import os
import re
from pathlib import Path

import datasets_on_disk as on_disk
import numpy as np
import pytest

from lib.lists_command import NAMES, lines, ranked_lines
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.minibatches import minibatches
from rankiqa.data.order import FAITHFUL
from rankiqa.datasets.ranked_types import SETS
from rankiqa.training.presets import PRESETS
from rankiqa.training.tasks import task_of


@pytest.mark.parametrize("name", SETS)
def test_rank_lists_are_upstreams(make_lists, data_set, name):
    ranked, summary = SETS[name], make_lists(name)
    for side, names in (("train", NAMES[:8]), ("test", NAMES[8:])):
        assert lines(summary, side) == ranked_lines(
            data_set(name), ranked.types, ranked.levels, ranked.worst_first, names
        )
    assert summary["direction"] == ("lower is better" if name == "rank-live" else "higher is better")
    assert summary["remarks"] == []


@pytest.mark.parametrize("name, preset", [("rank-live", "live-rank"), ("rank-tid2013", "tid2013-rank")])
def test_the_data_layers_read_the_ranking(make_lists, name, preset):
    """A minibatch holds all levels of an image together, from the highest score to the lowest."""
    preset, summary = PRESETS[preset], make_lists(name)
    images = read_list(summary["files"]["train"]["path"])
    batch = next(iter(task_of(preset).order(images, 5, FAITHFUL)))
    assert len(batch) == preset.size
    levels = np.array([images.labels[line] for line, _ in batch]).reshape(preset.groups, preset.levels, preset.images)
    assert (levels == np.arange(preset.levels)[:, None]).all()
    paths = np.array([Path(images.paths[line]).parent.name for line, _ in batch]).reshape(levels.shape)
    stems = np.array([Path(images.paths[line]).stem for line, _ in batch]).reshape(levels.shape)
    assert (stems == stems[:1, :1]).all()
    for group in paths[:, :, 0]:
        kind = re.sub(r"\d$", "", group[1])
        expected = [f"{kind}{level}" for level in range(1, preset.levels)]
        worst_first = name == "rank-live"
        assert group.tolist() == (
            [*expected[::-1], "pristine_images"] if worst_first else ["pristine_images", *expected]
        )


def test_white_space_in_names(refuse_lists, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, ["a", "b", "my photo", "z", "zz"])
    message = refuse_lists("rank-live", "--types", "GB", folder=folder)
    assert "my photo.bmp" in message and "white space" in message


def test_names_that_are_no_text(refuse_lists, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, ["a", "b", os.fsdecode(b"\xff"), "z"])
    assert "expected a name in UTF-8" in refuse_lists("rank-live", "--types", "GB", folder=folder)


def test_rank_options(make_lists, data_set, tmp_path):
    folder, types = data_set("rank-live"), SETS["rank-live"].types
    tid_folder, tid_types = data_set("rank-tid2013"), SETS["rank-tid2013"].types
    other = make_lists("rank-live", "--order", "pristine-first")  # the order of upstream's committed live_test.txt
    assert lines(other, "test") == ranked_lines(folder, types, 5, False, NAMES[8:])
    assert other["direction"] == "higher is better"
    fewer = make_lists("rank-live", "--levels", 3, "--types", "GB", "JPEG")
    expected = [
        line.replace("   5.00", "   3.00")
        for line in ranked_lines(folder, ["GB", "JPEG"], 5, True, NAMES[:8])
        if not re.search(r"[12]/\d+\.", line)  # --levels 3 drops the two mildest
    ]
    assert lines(fewer, "train") == expected
    assert "left out GB2, GB1" in fewer["remarks"][0] and "--set levels=4" in fewer["remarks"][-1]
    tid = make_lists("rank-tid2013", "--levels", 2)
    assert lines(tid, "train") == ranked_lines(tid_folder, tid_types, 2, False, NAMES[:8])
    random = make_lists("rank-tid2013", "--split", "random", "--seed", 2, "--train-references", 4)
    names = [NAMES[i] for i in np.random.RandomState(2).permutation(len(NAMES))]
    assert lines(random, "train") == ranked_lines(tid_folder, tid_types, 4, False, names[:4])
    elsewhere = on_disk.ranked(tmp_path / "a", ["GB"], 5, NAMES, pristine="../photographs")
    summary = make_lists("rank-live", "--types", "GB", "--pristine", tmp_path / "photographs", folder=elsewhere)
    assert f"{tmp_path}/photographs/00000.bmp   5.00" in lines(summary, "train")


def test_levels_named_by_another_folder(make_lists, refuse_lists, data_set, tmp_path):
    """Upstream's TID2013 generator takes the level names from ./T but the files from ./data/rank_tid2013/T."""
    for kind in SETS["rank-tid2013"].types:
        for level in (4, 3, 2, 1):
            (tmp_path / "names" / kind / f"{kind}{level}").mkdir(parents=True)
    same = make_lists("rank-tid2013", "--level-names-from", tmp_path / "names")
    assert lines(same, "train") == lines(make_lists("rank-tid2013"), "train")
    (tmp_path / "names" / "GB" / "GB1").rename(tmp_path / "names" / "GB" / "GB0")
    assert "GB/GB0: expected a folder" in refuse_lists("rank-tid2013", "--level-names-from", tmp_path / "names")


@pytest.mark.parametrize(
    "damage, options, message",
    [
        (lambda f: (f / "GB/GB3/00004.bmp").unlink(), [], "GB/GB3: expected all 11 images of pristine_images, got 10"),
        (lambda f: (f / "GB/GB3/x.bmp").touch(), [], "GB/GB3: expected the images of pristine_images only, got also x"),
        (lambda f: (f / "GB/GB3/00004.png").touch(), [], "expected one image 00004, got 00004.bmp and 00004.png"),
        (
            lambda f: [path.unlink() for path in (f / "pristine_images").iterdir()],
            [],
            "pristine_images: expected images, got none",
        ),
        (lambda f: [path.unlink() for path in (f / "GB/GB2").iterdir()], [], "GB/GB2: expected images, got none"),
        (lambda f: (f / "GB/GB10").mkdir(), [], "names sort as their numbers"),
        (lambda f: None, ["--levels", "6"], "GB: expected 6 level folders GB1..GB6, got GB5"),
        (lambda f: None, ["--types", "GB", "MSL"], "MSL: expected the levels MSL1..MSL5, got no such folder"),
        (lambda f: None, ["--types", "GB", "GB"], "--types: expected each once, got GB GB"),
        (lambda f: None, ["--name", "a/b"], "--name: expected a file name, got 'a/b'"),
        (lambda f: None, ["--train-references", "11"], "expected 1..10 train references of 11, got 11"),
    ],
)
def test_ranked_sets_that_are_not(refuse_lists, tmp_path, damage, options, message):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, NAMES)
    damage(folder)
    assert message in refuse_lists("rank-live", "--types", "GB", *options, folder=folder)


def test_a_part_of_a_ranked_set(make_lists, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB", "JPEG"], 5, NAMES)
    (folder / "JPEG/JPEG2/00002.jpg").unlink()
    (folder / "GB/notes.txt").write_text("x")
    (folder / "GB/GB1/.hidden.bmp").touch()
    summary = make_lists("rank-live", "--types", "GB", "JPEG", "--allow-partial", folder=folder)
    complete = [name for name in NAMES if name != "00002"]
    assert lines(summary, "train") == ranked_lines(folder, ["GB", "JPEG"], 5, True, complete[:8])
    assert summary["remarks"][0] == "1 images lack a level and are left out: 00002"


def test_from_photographs_to_a_minibatch(make_lists, photograph, tmp_path, capsys):
    """Chain `rankiqa distort`, `rankiqa lists` and the data layer on real files."""
    import cv2

    image = cv2.imread(str(photograph))
    (tmp_path / "photographs").mkdir()
    for n in range(4):
        cv2.imwrite(str(tmp_path / "photographs" / f"my photo {n}.png"), image[n : n + 230, n : n + 230])
    ranked = tmp_path / "ranked"
    assert main(["distort", "--set", "live", "--images", str(tmp_path / "photographs"), "--out", str(ranked)]) == 0
    capsys.readouterr()
    summary = make_lists("rank-live", folder=ranked)
    images = read_list(summary["files"]["train"]["path"])
    assert len(images.paths) == 4 * 6 * 3
    order = task_of(PRESETS["live-rank"]).order(images, 1, FAITHFUL)
    crops, labels = next(iter(minibatches(images, order, spec=InputSpec(224), seed=1)))
    assert crops.shape == (48, 3, 224, 224)
    assert labels.reshape(4, 6, 2).tolist() == [[[float(level)] * 2 for level in range(6)]] * 4


def test_rank_folders_are_those_of_distort():
    """Each type of a ranked list is a folder that `rankiqa distort` makes."""
    from rankiqa.distortions import DATASETS

    for name, table in (("rank-live", "live"), ("rank-tid2013", "tid2013")):
        assert set(SETS[name].types) <= set(DATASETS[table])
        assert all(len(DATASETS[table][kind].levels) == SETS[name].levels for kind in SETS[name].types)
