"""`rankiqa lists`: upstream's lines by plain loops, splits by reference, options, and what both engines can read."""

import csv
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

import datasets_on_disk as on_disk
import numpy as np
import pytest

from rankiqa.cli import main
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.lists import read_list
from rankiqa.data.minibatches import minibatches
from rankiqa.data.order import FAITHFUL
from rankiqa.datasets import clive, csiq, kadid10k, koniq10k, live, mlive, spaq, splits, tid2013
from rankiqa.datasets.ranked_types import SETS
from rankiqa.training.presets import PRESETS
from rankiqa.training.tasks import task_of

NAMES = [f"{n:05}" for n in range(11)]  # of pristine images: int(0.8 * 11) = 8 train


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """{list: a folder with the whole data set}."""
    root = tmp_path_factory.mktemp("disk")
    return {
        "rank-live": on_disk.ranked(root / "rank_live", SETS["rank-live"].types, 5, NAMES),
        "rank-tid2013": on_disk.ranked(root / "rank_tid2013", SETS["rank-tid2013"].types, 4, NAMES),
        "ft-live": on_disk.live_release2(root / "live"),
        "ft-tid2013": on_disk.tid2013(root / "tid2013"),
        "csiq": on_disk.csiq(root / "csiq"),
        "mlive": on_disk.mlive_set(root / "mlive"),
        "kadid10k": on_disk.kadid10k(root / "kadid10k"),
        "koniq10k": on_disk.koniq10k(root / "koniq10k"),
        "clive": on_disk.clive(root / "clive"),
        "spaq": on_disk.spaq(root / "spaq"),
    }


@pytest.fixture
def made(disk, tmp_path, capsys):
    """made(list, *options) -> the summary; the lists are in tmp_path."""

    def make(name, *options, folder=None):
        words = ["lists", name, str(folder or disk[name]), "--out", str(tmp_path), "--json", *map(str, options)]
        status = main(words)
        captured = capsys.readouterr()
        assert (status, captured.err) == (0, "")
        summary = json.loads(captured.out)
        assert summary == json.loads((tmp_path / f"{summary['name']}_lists.json").read_text())
        return summary

    return make


@pytest.fixture
def refused(disk, tmp_path, capsys):
    """refused(list, *options) -> the one line on stderr; nothing may be written."""

    def refuse(name, *options, folder=None):
        status = main(["lists", name, str(folder or disk[name]), "--out", str(tmp_path / "none"), *map(str, options)])
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, "")
        assert not (tmp_path / "none").exists()
        assert captured.err.count("\n") == 1 and captured.err.startswith("rankiqa: ")
        return captured.err

    return refuse


def lines(summary, side):
    return Path(summary["files"][side]["path"]).read_text().splitlines()


@pytest.mark.parametrize("seed", [0, 3, 1701])
def test_ft_tid2013_is_upstreams(made, disk, seed):
    summary = made("ft-tid2013", "--seed", seed)
    random = np.random.RandomState(seed)
    chosen = random.permutation(range(1, 25))
    rows = [line.split() for line in (disk["ft-tid2013"] / "mos_with_names.txt").read_text().splitlines()]
    order = random.permutation(range(len(rows)))
    for side, numbers in (("train", chosen[:19]), ("test", chosen[19:])):
        expected = []
        for i in order:
            mos, name = rows[i]
            if int(name[1:3]) in numbers:
                stored = name.upper() if name[1:3] == "07" else name
                expected.append("%s %6.2f" % (f"{disk['ft-tid2013']}/distorted_images/{stored}", float(mos)))  # noqa: UP031
        assert lines(summary, side) == expected
    assert {side: one["lines"] for side, one in summary["files"].items()} == {"train": 2280, "test": 600}


@pytest.mark.parametrize("seed", [0, 3, 1701])
def test_ft_live_is_upstreams(made, disk, seed):
    summary = made("ft-live", "--seed", seed)
    order = np.random.RandomState(seed).permutation(range(29))
    labels = on_disk.live_labels()
    for side, chosen in (("train", order[:23]), ("test", order[23:])):
        expected = []
        for folder in ("gblur", "wn", "jpeg", "jp2k", "fastfading"):
            info = [line.split() for line in (disk["ft-live"] / folder / "info.txt").read_text().splitlines()]
            for i in chosen:
                for reference, name, _ in info:
                    if reference == live.REFERENCES[i] + ".bmp":
                        label = labels[folder][0][int(name[3:-4]) - 1]
                        expected.append("%s %6.2f" % (f"{disk['ft-live']}/{folder}/{name}", label))  # noqa: UP031
        assert lines(summary, side) == expected
    assert sum(one["lines"] for one in summary["files"].values()) == 982


def blocks(folder, types, levels, worst_first, names):
    """A rank list's lines from the facts."""
    found = []
    for kind in types:
        suffix = {"JPEG": ".jpg", "JP2K": ".jp2"}.get(kind, ".bmp")
        made = [(f"{folder}/{kind}/{kind}{level}", suffix) for level in range(1, levels + 1)]
        made = [*made[::-1], (f"{folder}/pristine_images", ".bmp")]
        if not worst_first:
            made = made[::-1]
        found += [f"{place}/{name}{end} {n:6.2f}" for n, (place, end) in enumerate(made) for name in names]
    return found


@pytest.mark.parametrize("name", SETS)
def test_rank_lists_are_upstreams(made, disk, name):
    ranked, summary = SETS[name], made(name)
    for side, names in (("train", NAMES[:8]), ("test", NAMES[8:])):
        assert lines(summary, side) == blocks(disk[name], ranked.types, ranked.levels, ranked.worst_first, names)
    assert summary["direction"] == ("lower is better" if name == "rank-live" else "higher is better")
    assert summary["remarks"] == []


@pytest.mark.parametrize("name, preset", [("rank-live", "live-rank"), ("rank-tid2013", "tid2013-rank")])
def test_the_data_layers_read_the_ranking(made, name, preset):
    """In a minibatch the levels of one image stand together, from the highest score to the lowest."""
    preset, summary = PRESETS[preset], made(name)
    images = read_list(summary["files"]["train"]["path"])
    batch = next(iter(task_of(preset).order(images, 5, FAITHFUL)))
    assert len(batch) == preset.size
    runs = np.array([images.labels[line] for line, _ in batch]).reshape(preset.groups, preset.levels, preset.images)
    assert (runs == np.arange(preset.levels)[:, None]).all()
    paths = np.array([Path(images.paths[line]).parent.name for line, _ in batch]).reshape(runs.shape)
    stems = np.array([Path(images.paths[line]).stem for line, _ in batch]).reshape(runs.shape)
    assert (stems == stems[:1, :1]).all()
    for group in paths[:, :, 0]:
        kind = re.sub(r"\d$", "", group[1])
        expected = [f"{kind}{level}" for level in range(1, preset.levels)]
        worst_first = name == "rank-live"
        assert group.tolist() == (
            [*expected[::-1], "pristine_images"] if worst_first else ["pristine_images", *expected]
        )


def reference_of(name, path):
    """The reference image of a line, from its path alone."""
    folder, file = os.path.split(path)
    if name == "ft-live":
        info = (Path(folder) / "info.txt").read_text().split()
        return info[info.index(file) - 1]
    if name == "ft-tid2013":
        return int(file[1:3])
    if name == "mlive":
        return file.split("_")[0]
    return file[:3] if name == "kadid10k" else file.split(".")[0]


@pytest.mark.parametrize("name", ["csiq", "mlive", "kadid10k", "ft-tid2013", "ft-live", "rank-live", "rank-tid2013"])
@pytest.mark.parametrize("seed", [0, 4294967295])
def test_no_reference_is_on_both_sides(made, name, seed):
    summary = made(name, "--seed", seed, "--split", "random")
    there = {side: {reference_of(name, line.split()[0]) for line in lines(summary, side)} for side in summary["files"]}
    assert there["train"] and there["test"] and not there["train"] & there["test"]
    assert {side: len(one) for side, one in there.items()} == {
        side: len(one) for side, one in summary["references"].items()
    }
    mixed = np.random.RandomState(seed).permutation(lines(summary, "train") + lines(summary, "test"))
    first, rest = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]  # by file: what must not be
    assert {reference_of(name, one.split()[0]) for one in first} & {reference_of(name, one.split()[0]) for one in rest}


READERS = {
    "ft-live": live, "ft-tid2013": tid2013, "csiq": csiq, "mlive": mlive, "kadid10k": kadid10k, "koniq10k": koniq10k,
    "clive": clive, "spaq": spaq,
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_sides_share_nothing_for_many_seeds(disk, name):
    """Every image on one side, all of a reference's on the same, and other seeds give other splits."""
    found = READERS[name].read(str(disk[name]))
    references = sorted({item.reference for item in found.items})
    seen = set()
    for seed in range(20 if name in ("koniq10k", "spaq") else 200):
        random = np.random.RandomState(seed)
        sides = splits.choose(references, "random", random, train=len(references) * 4 // 5)
        images = getattr(READERS[name], "arranged", splits.arranged)(sides, found, random) if seed < 3 else None
        if images:
            side_of = {item.path: side for side, chosen in images.items() for item in chosen}
            assert len(side_of) == sum(map(len, images.values())) == len(found.items)
            places = defaultdict(set)
            for item in found.items:
                places[item.reference].add(side_of[item.path])
            assert all(len(place) == 1 for place in places.values())
        assert not set(sides["train"]) & set(sides["test"])
        assert sorted(sides["train"] + sides["test"]) == references
        seen.add(tuple(sorted(sides["test"])))
    assert len(seen) > 10


@pytest.mark.parametrize("name", SETS | READERS)
def test_both_engines_read_them(made, name, tmp_path, monkeypatch):
    """Our read_list and the data layers of the container; every image is where the line says."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "caffe_ref" / "layers"))
    import images as caffe_side

    summary = made(name)
    for side, file in summary["files"].items():
        found = read_list(file["path"])
        paths, labels = caffe_side.read_list(file["path"], "")
        assert list(found.paths) == paths and found.labels.tolist() == labels
        assert len(paths) == file["lines"] and found.sha256 == file["sha256"]
        assert all(os.path.isfile(path) for path in paths), side
        low, high = summary["range"]
        assert found.labels.min() >= low - 0.005 and found.labels.max() <= high + 0.005
    assert not [one for one in os.listdir(tmp_path) if one.endswith(".tmp")]


def test_the_authors_splits(made):
    summary = made("ft-tid2013", "--split", "authors")
    assert summary["references"]["test"] == ["4", "11", "13", "17", "19"]
    assert [len(lines(summary, side)) for side in ("train", "test")] == [2280, 600]
    summary = made("ft-live", "--split", "authors", "--seed", 9)
    assert sorted(summary["references"]["test"]) == ["lighthouse", "sailing1", "sailing3", "statue", "stream", "woman"]
    assert sorted(name for side in summary["references"].values() for name in side) == sorted(live.REFERENCES)


def test_koniq10k_has_its_official_split(made, disk):
    summary = made("koniq10k")
    assert {side: one["lines"] for side, one in summary["files"].items()} == koniq10k.OFFICIAL
    assert summary["split"] == {"by": "image: there are no references", "choice": "official", "seed": 0}
    rows = (disk["koniq10k"] / koniq10k.LABELS[0]).read_text().splitlines()[1:]
    test = {row.split(",")[0] for row in rows if row.endswith(",test")}
    assert {Path(line.split()[0]).name for line in lines(summary, "test")} == test
    drawn = made("koniq10k", "--split", "random")
    assert {side: one["lines"] for side, one in drawn["files"].items()} == {"train": 8058, "test": 2015}
    assert not set(lines(drawn, "train")) & set(lines(drawn, "test"))


def test_a_split_leaves_no_list_of_an_earlier_one(made, tmp_path):
    (tmp_path / "koniq10k_notes.txt").write_text("mine")
    made("koniq10k")
    assert (tmp_path / "koniq10k_validation.txt").exists()
    made("koniq10k", "--split", "none")
    there = sorted(os.listdir(tmp_path))
    assert there == ["koniq10k_all.txt", "koniq10k_lists.json", "koniq10k_notes.txt"]


def test_all_in_one_list(made):
    for name in SETS | READERS:
        summary = made(name, "--split", "none", "--seed", 1)
        assert list(summary["files"]) == ["all"]
        together, lists = lines(summary, "all"), made(name)
        assert sorted(together) == sorted(line for side in lists["files"] for line in lines(lists, side))


def test_paths_keep_the_text_that_was_given(made, disk, monkeypatch):
    monkeypatch.chdir(disk["csiq"].parent)
    for given in ("./csiq", "./csiq/", "csiq"):
        summary = made("csiq", folder=given)
        assert lines(summary, "test")[0].startswith(given.rstrip("/") + "/dst_imgs/")
    monkeypatch.chdir(disk["csiq"])
    assert lines(made("csiq", folder="."), "test")[0].startswith("./dst_imgs/")
    assert lines(made("csiq", "--prefix", ""), "test")[0].startswith("dst_imgs/")
    assert lines(made("csiq", "--prefix", "/far/away"), "test")[0].startswith("/far/away/dst_imgs/")


def test_white_space_in_folders(made, refused, disk, tmp_path):
    summary = made("mlive")
    assert sorted(Path(one).name for one in summary["links"].values()) == ["blurjpeg", "blurnoise"]
    assert "no white space" not in refused("csiq", folder=disk["mlive"])
    assert "expected a path without white space" in refused("mlive", "--prefix", "x")
    spaced = on_disk.csiq(tmp_path / "my data" / "csiq")
    summary = made("csiq", folder=spaced)
    path = lines(summary, "train")[0].split()[0]
    assert os.path.realpath(path).startswith(os.path.realpath(spaced))
    made("csiq", folder=spaced)  # the links are there already


def test_white_space_in_names(refused, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, ["a", "b", "my photo", "z", "zz"])
    message = refused("rank-live", "--types", "GB", folder=folder)
    assert "my photo.bmp" in message and "white space" in message


def test_names_that_are_no_text(refused, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, ["a", "b", os.fsdecode(b"\xff"), "z"])
    assert "expected a name in UTF-8" in refused("rank-live", "--types", "GB", folder=folder)


def test_rank_options(made, disk, tmp_path):
    folder, kinds = disk["rank-live"], SETS["rank-live"].types
    other = made("rank-live", "--order", "pristine-first")  # as the committed live_test.txt runs
    assert lines(other, "test") == blocks(folder, kinds, 5, False, NAMES[8:])
    assert other["direction"] == "higher is better"
    fewer = made("rank-live", "--levels", 3, "--types", "GB", "JPEG")
    expected = [
        line.replace("   5.00", "   3.00")
        for line in blocks(folder, ["GB", "JPEG"], 5, True, NAMES[:8])
        if not re.search(r"[12]/\d+\.", line)  # the mildest are left out
    ]
    assert lines(fewer, "train") == expected
    assert "left out GB2, GB1" in fewer["remarks"][0] and "--set levels=4" in fewer["remarks"][-1]
    tid = made("rank-tid2013", "--levels", 2)
    assert lines(tid, "train") == blocks(disk["rank-tid2013"], SETS["rank-tid2013"].types, 2, False, NAMES[:8])
    drawn = made("rank-tid2013", "--split", "random", "--seed", 2, "--train-references", 4)
    names = [NAMES[i] for i in np.random.RandomState(2).permutation(len(NAMES))]
    assert lines(drawn, "train") == blocks(disk["rank-tid2013"], SETS["rank-tid2013"].types, 4, False, names[:4])
    elsewhere = on_disk.ranked(tmp_path / "a", ["GB"], 5, NAMES, pristine="../photographs")
    summary = made("rank-live", "--types", "GB", "--pristine", tmp_path / "photographs", folder=elsewhere)
    assert f"{tmp_path}/photographs/00000.bmp   5.00" in lines(summary, "train")


def test_levels_named_by_another_folder(made, refused, disk, tmp_path):
    """Upstream's TID2013 generator lists ./T for the names of the levels but takes ./data/rank_tid2013/T's files."""
    for kind in SETS["rank-tid2013"].types:
        for level in (4, 3, 2, 1):
            (tmp_path / "names" / kind / f"{kind}{level}").mkdir(parents=True)
    same = made("rank-tid2013", "--level-names-from", tmp_path / "names")
    assert lines(same, "train") == lines(made("rank-tid2013"), "train")
    (tmp_path / "names" / "GB" / "GB1").rename(tmp_path / "names" / "GB" / "GB0")
    assert "GB/GB0: expected a folder" in refused("rank-tid2013", "--level-names-from", tmp_path / "names")


@pytest.mark.parametrize(
    "damage, options, message",
    [
        (lambda f: (f / "GB/GB3/00004.bmp").unlink(), [], "GB/GB3: expected all 11 images of pristine_images, got 10"),
        (lambda f: (f / "GB/GB3/x.bmp").touch(), [], "GB/GB3: expected the images of pristine_images only, got also x"),
        (lambda f: (f / "GB/GB3/00004.png").touch(), [], "expected one image 00004, got 00004.bmp and 00004.png"),
        (
            lambda f: [one.unlink() for one in (f / "pristine_images").iterdir()],
            [],
            "pristine_images: expected images, got none",
        ),
        (lambda f: [one.unlink() for one in (f / "GB/GB2").iterdir()], [], "GB/GB2: expected images, got none"),
        (lambda f: (f / "GB/GB10").mkdir(), [], "names sort as their numbers"),
        (lambda f: None, ["--levels", "6"], "GB: expected 6 level folders GB1..GB6, got GB5"),
        (lambda f: None, ["--types", "GB", "MSL"], "MSL: expected the levels MSL1..MSL5, got no such folder"),
        (lambda f: None, ["--types", "GB", "GB"], "--types: expected each once, got GB GB"),
        (lambda f: None, ["--name", "a/b"], "--name: expected a file name, got 'a/b'"),
        (lambda f: None, ["--train-references", "11"], "expected 1..10 train references of 11, got 11"),
    ],
)
def test_ranked_sets_that_are_not(refused, tmp_path, damage, options, message):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB"], 5, NAMES)
    damage(folder)
    assert message in refused("rank-live", "--types", "GB", *options, folder=folder)


def test_a_part_of_a_ranked_set(made, tmp_path):
    folder = on_disk.ranked(tmp_path / "ranked", ["GB", "JPEG"], 5, NAMES)
    (folder / "JPEG/JPEG2/00002.jpg").unlink()
    (folder / "GB/notes.txt").write_text("x")
    (folder / "GB/GB1/.hidden.bmp").touch()
    summary = made("rank-live", "--types", "GB", "JPEG", "--allow-partial", folder=folder)
    left = [name for name in NAMES if name != "00002"]
    assert lines(summary, "train") == blocks(folder, ["GB", "JPEG"], 5, True, left[:8])
    assert summary["remarks"][0] == "1 images lack a level and are left out: 00002"


def test_from_photographs_to_a_minibatch(made, photograph, tmp_path, capsys):
    """`rankiqa distort`, `rankiqa lists`, and the data layer's crops of real files."""
    import cv2

    image = cv2.imread(str(photograph))
    (tmp_path / "photographs").mkdir()
    for n in range(4):
        cv2.imwrite(str(tmp_path / "photographs" / f"my photo {n}.png"), image[n : n + 230, n : n + 230])
    ranked = tmp_path / "ranked"
    assert main(["distort", "--set", "live", "--images", str(tmp_path / "photographs"), "--out", str(ranked)]) == 0
    capsys.readouterr()
    summary = made("rank-live", folder=ranked)
    images = read_list(summary["files"]["train"]["path"])
    assert len(images.paths) == 4 * 6 * 3
    order = task_of(PRESETS["live-rank"]).order(images, 1, FAITHFUL)
    crops, labels = next(iter(minibatches(images, order, spec=InputSpec(224), seed=1)))
    assert crops.shape == (48, 3, 224, 224)
    assert labels.reshape(4, 6, 2).tolist() == [[[float(level)] * 2 for level in range(6)]] * 4


def test_rank_folders_are_those_of_distort():
    """The types of the lists are folders that `rankiqa distort` makes."""
    from rankiqa.distortions import DATASETS

    for name, table in (("rank-live", "live"), ("rank-tid2013", "tid2013")):
        assert set(SETS[name].types) <= set(DATASETS[table])
        assert all(len(DATASETS[table][kind].levels) == SETS[name].levels for kind in SETS[name].types)


def test_ft_options(made, refused):
    with_25 = made("ft-tid2013", "--reference-25")
    assert [one["lines"] for one in with_25["files"].values()] == [2400, 600]
    authors = made("ft-tid2013", "--reference-25", "--split", "authors")
    assert "25" in authors["references"]["train"]
    drawn = made("ft-live", "--without-references")
    assert sum(one["lines"] for one in drawn["files"].values()) == 779
    assert drawn["range"][0] > 18
    fine = made("ft-live", "--decimals", 5, "--train-references", 20)
    assert len(fine["references"]["train"]) == 20
    assert re.fullmatch(r"\S+ +\d+\.\d{5}", lines(fine, "train")[0])
    assert "expected 1..28 train references of 29, got 29" in refused("ft-live", "--train-references", 29)


def test_by_position_is_right_for_renamed_images_only(made, tmp_path):
    padded = on_disk.live_release2(tmp_path / "padded", padded=True)
    expected = made("ft-live", folder=padded)
    shown = lines(expected, "train")
    assert lines(made("ft-live", "--by-position", folder=padded), "train") == shown
    plain = on_disk.live_release2(tmp_path / "plain")
    right = lines(made("ft-live", folder=plain), "train")
    assert [re.sub(r"\S+/(\w+/)img0*", r"\1", line) for line in shown] == [
        re.sub(r"\S+/(\w+/)img0*", r"\1", line) for line in right
    ]
    assert lines(made("ft-live", "--by-position", folder=plain), "train") != right


def test_what_is_written_stays_when_a_run_fails(made, refused, disk, tmp_path):
    made("csiq")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["lists", "csiq", str(disk["mlive"]), "--out", str(tmp_path)]) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "file").write_text("x")
    assert main(["lists", "csiq", str(disk["csiq"]), "--out", str(tmp_path / "file")]) == 2


@pytest.mark.parametrize("name", SETS | READERS)
def test_each_line_has_its_type_and_reference(made, disk, name):
    """As `rankiqa evaluate` takes them; against the paths, or the images' own order."""
    summary = made(name)
    by_image = name in ("koniq10k", "clive", "spaq")
    assert ("references" in summary) == (not by_image)
    for side, file in summary["files"].items():
        columns, paths = summary["lines"][side], [line.split()[0] for line in lines(summary, side)]
        assert set(columns) == (set() if by_image else {"references", "types"})
        if by_image:
            continue
        assert len(columns["types"]) == len(columns["references"]) == file["lines"] == len(paths)
        assert set(columns["references"]) == set(summary["references"][side])
        for path, kind, reference in zip(paths, columns["types"], columns["references"]):
            stem = Path(path).stem
            if name.startswith("rank"):
                assert reference == stem and (f"/{kind}/{kind}" in path or "/pristine_images/" in path)
            elif name == "ft-tid2013":
                assert (int(stem[1:3]), stem[4:6]) == (int(reference), kind)
            elif name == "kadid10k":
                assert stem[:6] == f"{reference}_{kind}"
            elif name == "csiq":
                assert stem.lower().rsplit(".", 1)[0] == f"{reference}.{kind}"
            else:
                assert os.path.basename(os.path.realpath(os.path.dirname(path))) == kind


def test_evaluate_reads_types_and_references(made):
    from rankiqa.evaluation import rated_images

    summary = made("kadid10k")
    rated = rated_images.read(summary["files"]["test"]["path"])
    assert rated.lower_is_better is False
    assert {(image.type, image.reference) for image in rated.images} == {
        (f"{kind:02}", reference) for kind in range(1, 26) for reference in summary["references"]["test"]
    }


def table(folder, suffix):
    """Twelve images of four references in a table."""
    rows = [["file", "opinion", "made from", "distortion"]]
    for n in range(12):
        on_disk.touch(folder / f"d/{n}.png")
        rows.append([f"d\\{n}.png", n / 4, f"r{n % 4}", "ab"[n % 2]])
    path = folder / f"scores.{suffix}"
    if suffix == "xlsx":
        on_disk.workbook(path, {"notes": [["x"]], "scores": rows})
    else:
        on_disk.write_csv(path, rows)
        if suffix == "tsv":
            path.write_text(path.read_text().replace(",", "\t"))
    return path


COLUMNS = ["--image", "file", "--score", "opinion", "--higher"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx"])
def test_any_table(tmp_path, capsys, suffix):
    path = table(tmp_path / "set", suffix)
    sheet = ["--sheet", "scores"] if suffix == "xlsx" else []
    words = ["lists", "csv", "--table", str(path), *COLUMNS, "worse", "--out", str(tmp_path / "out"), "--json", *sheet]
    assert main([*words, "--reference", "made from", "--type", "distortion"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["direction"], summary["scale"]) == ("lower is better", [0, 2.75])
    assert {side: len(one) for side, one in summary["references"].items()} == {"train": 3, "test": 1}
    for side, columns in summary["lines"].items():
        for line, kind, reference in zip(lines(summary, side), columns["types"], columns["references"], strict=True):
            image, label = line.split()
            n = int(Path(image).stem)
            assert image == f"{tmp_path}/set/d/{n}.png" and float(label) == n / 4
            assert (kind, reference) == ("ab"[n % 2], f"r{n % 4}")
    words[words.index("worse")] = "better"
    assert main([*words, "--split", "all"]) == 0  # no references
    summary = json.loads(capsys.readouterr().out)
    assert summary["direction"] == "higher is better" and summary["split"]["by"].startswith("image")
    assert "references" not in summary and summary["lines"] == {"all": {}}


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda path: None, ["--type", "kind"], "expected a column 'kind' (--type), got file, opinion, made from"),
        (lambda path: None, ["--sheet", "x"], "--sheet: expected a workbook"),
        (lambda path: on_disk.change(path, r"0\.25", "x"), [], "line 3: expected a number, got 'x'"),
        (lambda path: on_disk.change(path, r"d.0\.png", ""), [], "line 2: expected an image in the column 'file'"),
        (lambda path: on_disk.change(path, r"r0", ""), ["--reference", "made from"], "line 2: expected a reference"),
        (lambda path: on_disk.change(path, r"d.1\.png", "d/0.png"), [], "expected each image once"),
        (lambda path: (path.parent / "d/3.png").unlink(), [], "1 of 12 missing: d/3.png; --allow-partial"),
        (lambda path: path.unlink(), [], "expected a table of comma-separated values, got: No such file"),
    ],
)
def test_tables_that_are_not(tmp_path, capsys, change, options, message):
    path = table(tmp_path / "set", "csv")
    change(path)
    out = tmp_path / "out"
    assert main(["lists", "csv", "--table", str(path), *COLUMNS, "better", "--out", str(out), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not out.exists()


def test_live_says_which_labels(made):
    summary = made("ft-live")
    assert summary["labels"]["values"] == "dmos" and summary["labels"]["files"][0].endswith("/dmos.mat")
    assert any("three different sets" in remark for remark in summary["remarks"])


REAL = Path(os.environ.get("RANKIQA_REAL") or Path(__file__).resolve().parents[2].parent / "shared" / "real")


@pytest.fixture
def real():
    if not REAL.is_dir():
        pytest.skip(f"no {REAL}: RANKIQA_REAL names the folder of real images")
    return REAL


@pytest.mark.real
def test_a_real_part_of_live(made, real):
    """46 images of three folders; a picture that LIVE shows several times has their mean in scores.csv."""
    with open(real / "live" / "scores.csv", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    summary = made("ft-live", "--allow-partial", "--split", "none", "--decimals", 4, folder=real / "live")
    assert summary["labels"]["values"] == "authors" and summary["files"]["all"]["lines"] == 46
    columns = summary["lines"]["all"]
    exact = 0
    for line, kind, reference in zip(lines(summary, "all"), columns["types"], columns["references"]):
        path, label = line.split()
        row = rows[os.path.relpath(path, real / "live")]
        assert (kind, reference) == (row["type"], row["reference"])
        several = len(row["rated_as"].split()) > 1
        assert float(label) == pytest.approx(float(row["dmos_authors"]), abs=1.7 if several else 0.0051)
        exact += not several
    assert exact == 42


@pytest.mark.real
def test_a_real_part_of_clive(made, real):
    summary = made("clive", "--allow-partial", "--split", "none", folder=real / "clive")
    assert summary["files"]["all"]["lines"] == 627
    assert summary["range"] == pytest.approx([3.42, 92.432], abs=0.01)


def test_plain_output(disk, tmp_path, capsys):
    assert main(["lists", "kadid10k", str(disk["kadid10k"]), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{tmp_path}/kadid10k_train.txt: 8000 lines, 64 references"
    assert out[2].startswith("MOS, higher is better, 1.21..") and out[2].endswith("split by reference image (random)")


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "LIST"),
        (["tid2013", "x", "--out", "y"], "invalid choice"),
        (["csiq", "x"], "--out"),
        (["csiq", "x", "--out", "y", "--split", "authors"], "invalid choice"),
        (["csiq", "x", "--out", "y", "--seed", "-1"], "expected a whole number, 0..4294967295"),
        (["csiq", "x", "--out", "y", "--train-references", "0"], "expected a whole number, 1 or more"),
    ],
)
def test_usage(capsys, words, message):
    with pytest.raises(SystemExit) as error:
        main(["lists", *words])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_help_starts_without_heavy_imports():
    code = "import sys; from rankiqa.cli import main\ntry: main(['lists', 'csiq', '--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(bool({'torch', 'scipy', 'cv2', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=60).returncode == 0


def listed(tmp_path, capsys, rows, *options, folder=()):
    """[path, label] of each line that `rankiqa lists csv` makes of a table's rows."""
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"], *rows])
    words = ["--table", str(tmp_path / "t.csv"), *COLUMNS, "better", "--out", str(tmp_path / "o"), "--split", "none"]
    assert main(["lists", "csv", *folder, *words, *options]) == 0
    capsys.readouterr()
    return [line.split() for line in (tmp_path / "o/csv_all.txt").read_text().splitlines()]


def test_tables_of_absolute_and_odd_paths(tmp_path, capsys):
    """An absolute path stays; accents are found as they are stored; an image by two spellings is one."""
    names = ["a.png", "b/c.png", unicodedata.normalize("NFD", "é/ü.png"), unicodedata.normalize("NFC", "ö.png")]
    for name in names:
        on_disk.touch(tmp_path / name)
    asked = [str(tmp_path / "a.png"), "./b//c.png", unicodedata.normalize("NFC", "é/ü.png"), "ö.png"]
    found = listed(tmp_path, capsys, [[name, k] for k, name in enumerate(asked)])
    assert [path for path, _ in found] == [str(tmp_path / name) for name in names]
    assert [image for image in read_list(tmp_path / "o/csv_all.txt").paths if not Path(image).is_file()] == []
    found = listed(
        tmp_path, capsys, [[name, k] for k, name in enumerate(asked)], "--prefix", "x", folder=[str(tmp_path)]
    )
    assert [path for path, _ in found] == [str(tmp_path / "a.png"), *(f"x/{name}" for name in names[1:])]
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"], ["a.png", 1], ["b/../a.png", 2]])
    words = ["lists", "csv", "--table", str(tmp_path / "t.csv"), *COLUMNS, "better", "--out", str(tmp_path / "p")]
    assert main(words) == 2 and "expected each image once, got twice: a.png" in capsys.readouterr().err
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"]])
    assert main(words) == 2 and "expected a row for each image, got none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size, label", [(1e-6, "0.0000013750"), (0.01, "0.013750"), (1.0, "1.3750"), (1e9, "1375000000.0000")]
)
def test_labels_of_any_size_keep_their_digits(tmp_path, capsys, size, label):
    for n in range(12):
        on_disk.touch(tmp_path / f"{n}.png")
    found = listed(tmp_path, capsys, [[f"{n}.png", repr(size * n / 8)] for n in range(12)])
    assert found[11][1] == label and len({text for _, text in found}) == 12


def test_a_list_with_accents_finds_what_is_stored(tmp_path):
    stored = tmp_path / unicodedata.normalize("NFD", "été.png")
    on_disk.touch(stored)
    (tmp_path / "l.txt").write_text(unicodedata.normalize("NFC", "été.png 1\nnone-é.png 2\n"))
    assert read_list(tmp_path / "l.txt", tmp_path).paths == (str(stored), f"{tmp_path}/none-é.png")
