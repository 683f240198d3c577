"""`rankiqa lists`: upstream's fine-tuning lists by plain loops, paths, options, columns, output and errors."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import datasets_on_disk as on_disk
import numpy as np
import pytest

from lib.lists_command import READERS, lines
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.datasets import live
from rankiqa.datasets.ranked_types import SETS


@pytest.mark.parametrize("seed", [0, 3, 1701])
def test_ft_tid2013_is_upstreams(make_lists, data_set, seed):
    summary = make_lists("ft-tid2013", "--seed", seed)
    random = np.random.RandomState(seed)
    chosen = random.permutation(range(1, 25))
    rows = [line.split() for line in (data_set("ft-tid2013") / "mos_with_names.txt").read_text().splitlines()]
    order = random.permutation(range(len(rows)))
    for side, numbers in (("train", chosen[:19]), ("test", chosen[19:])):
        expected = []
        for i in order:
            mos, name = rows[i]
            if int(name[1:3]) in numbers:
                stored = name.upper() if name[1:3] == "07" else name
                expected.append("%s %6.2f" % (f"{data_set('ft-tid2013')}/distorted_images/{stored}", float(mos)))  # noqa: UP031
        assert lines(summary, side) == expected
    assert {side: file["lines"] for side, file in summary["files"].items()} == {"train": 2280, "test": 600}


@pytest.mark.parametrize("seed", [0, 3, 1701])
def test_ft_live_is_upstreams(make_lists, data_set, seed):
    summary = make_lists("ft-live", "--seed", seed)
    order = np.random.RandomState(seed).permutation(range(29))
    labels = on_disk.live_labels()
    for side, chosen in (("train", order[:23]), ("test", order[23:])):
        expected = []
        for folder in ("gblur", "wn", "jpeg", "jp2k", "fastfading"):
            info = [line.split() for line in (data_set("ft-live") / folder / "info.txt").read_text().splitlines()]
            for i in chosen:
                for reference, name, _ in info:
                    if reference == live.REFERENCES[i] + ".bmp":
                        label = labels[folder][0][int(name[3:-4]) - 1]
                        expected.append("%s %6.2f" % (f"{data_set('ft-live')}/{folder}/{name}", label))  # noqa: UP031
        assert lines(summary, side) == expected
    assert sum(file["lines"] for file in summary["files"].values()) == 982


@pytest.mark.parametrize("name", SETS | READERS)
def test_both_engines_read_them(make_lists, name, tmp_path, monkeypatch):
    """The port's read_list and the Caffe container's data layers read the same paths, and each path is a file."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "caffe_ref" / "layers"))
    import images as caffe_images

    summary = make_lists(name)
    for side, file in summary["files"].items():
        images = read_list(file["path"])
        paths, labels = caffe_images.read_list(file["path"], "")
        assert list(images.paths) == paths and images.labels.tolist() == labels
        assert len(paths) == file["lines"] and images.sha256 == file["sha256"]
        assert all(os.path.isfile(path) for path in paths), side
        low, high = summary["range"]
        assert images.labels.min() >= low - 0.005 and images.labels.max() <= high + 0.005
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_paths_keep_the_text_that_was_given(make_lists, data_set, monkeypatch):
    monkeypatch.chdir(data_set("csiq").parent)
    for given in ("./csiq", "./csiq/", "csiq"):
        summary = make_lists("csiq", folder=given)
        assert lines(summary, "test")[0].startswith(given.rstrip("/") + "/dst_imgs/")
    monkeypatch.chdir(data_set("csiq"))
    assert lines(make_lists("csiq", folder="."), "test")[0].startswith("./dst_imgs/")
    assert lines(make_lists("csiq", "--prefix", ""), "test")[0].startswith("dst_imgs/")
    assert lines(make_lists("csiq", "--prefix", "/far/away"), "test")[0].startswith("/far/away/dst_imgs/")


def test_white_space_in_folders(make_lists, refuse_lists, data_set, tmp_path):
    summary = make_lists("mlive")
    assert sorted(Path(link).name for link in summary["links"].values()) == ["blurjpeg", "blurnoise"]
    assert "no white space" not in refuse_lists("csiq", folder=data_set("mlive"))
    assert "expected a path without white space" in refuse_lists("mlive", "--prefix", "x")
    spaced = on_disk.csiq(tmp_path / "my data" / "csiq")
    summary = make_lists("csiq", folder=spaced)
    path = lines(summary, "train")[0].split()[0]
    assert os.path.realpath(path).startswith(os.path.realpath(spaced))
    make_lists("csiq", folder=spaced)  # a second run finds its links in place


def test_ft_options(make_lists, refuse_lists):
    with_25 = make_lists("ft-tid2013", "--reference-25")
    assert [file["lines"] for file in with_25["files"].values()] == [2400, 600]
    authors = make_lists("ft-tid2013", "--reference-25", "--split", "authors")
    assert "25" in authors["references"]["train"]
    distorted = make_lists("ft-live", "--without-references")
    assert sum(file["lines"] for file in distorted["files"].values()) == 779
    assert distorted["range"][0] > 18
    summary = make_lists("ft-live", "--decimals", 5, "--train-references", 20)
    assert len(summary["references"]["train"]) == 20
    assert re.fullmatch(r"\S+ +\d+\.\d{5}", lines(summary, "train")[0])
    assert "expected 1..28 train references of 29, got 29" in refuse_lists("ft-live", "--train-references", 29)


def test_by_position_is_right_for_renamed_images_only(make_lists, tmp_path):
    padded = on_disk.live_release2(tmp_path / "padded", padded=True)
    expected = make_lists("ft-live", folder=padded)
    padded_lines = lines(expected, "train")
    assert lines(make_lists("ft-live", "--by-position", folder=padded), "train") == padded_lines
    plain = on_disk.live_release2(tmp_path / "plain")
    plain_lines = lines(make_lists("ft-live", folder=plain), "train")
    assert [re.sub(r"\S+/(\w+/)img0*", r"\1", line) for line in padded_lines] == [
        re.sub(r"\S+/(\w+/)img0*", r"\1", line) for line in plain_lines
    ]
    assert lines(make_lists("ft-live", "--by-position", folder=plain), "train") != plain_lines


def test_what_is_written_stays_when_a_run_fails(make_lists, data_set, tmp_path):
    make_lists("csiq")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["lists", "csiq", str(data_set("mlive")), "--out", str(tmp_path)]) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "file").write_text("x")
    assert main(["lists", "csiq", str(data_set("csiq")), "--out", str(tmp_path / "file")]) == 2


@pytest.mark.parametrize("name", SETS | READERS)
def test_each_line_has_its_type_and_reference(make_lists, data_set, name):
    """The summary's types and references, which `rankiqa evaluate` reads, agree with the paths of the lines."""
    summary = make_lists(name)
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


def test_evaluate_reads_types_and_references(make_lists):
    from rankiqa.evaluation import rated_images

    summary = make_lists("kadid10k")
    rated = rated_images.read(summary["files"]["test"]["path"])
    assert rated.lower_is_better is False
    assert {(image.type, image.reference) for image in rated.images} == {
        (f"{kind:02}", reference) for kind in range(1, 26) for reference in summary["references"]["test"]
    }


def test_live_says_which_labels(make_lists):
    summary = make_lists("ft-live")
    assert summary["labels"]["values"] == "dmos" and summary["labels"]["files"][0].endswith("/dmos.mat")
    assert any("three different sets" in remark for remark in summary["remarks"])


@pytest.mark.real
def test_a_real_part_of_live(make_lists, real):
    """46 images of three folders; for an image that LIVE rated several times, scores.csv has the mean."""
    with open(real / "live" / "scores.csv", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    summary = make_lists("ft-live", "--allow-partial", "--split", "none", "--decimals", 4, folder=real / "live")
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
def test_a_real_part_of_clive(make_lists, real):
    summary = make_lists("clive", "--allow-partial", "--split", "none", folder=real / "clive")
    assert summary["files"]["all"]["lines"] == 627
    assert summary["range"] == pytest.approx([3.42, 92.432], abs=0.01)


def test_plain_output(data_set, tmp_path, capsys):
    assert main(["lists", "kadid10k", str(data_set("kadid10k")), "--out", str(tmp_path)]) == 0
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
