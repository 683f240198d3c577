"""Readers of the public data sets: one line on stderr for each defect of a set, with its place."""

import shutil
from dataclasses import replace

import datasets_on_disk as on_disk
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from lib.lists_command import READERS, run_lists
from rankiqa.cli import main
from rankiqa.datasets import kadid10k, koniq10k
from rankiqa.datasets.data_set import checked

HOMES = {
    "ft-live": "live.ece.utexas.edu", "ft-tid2013": "ponomarenko.info", "csiq": "csiq", "mlive": "multidistorted",
    "kadid10k": "kadid-10k", "koniq10k": "koniq-10k", "clive": "ChallengeDB", "spaq": "SPAQ",
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_another_folder(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        status, err = run_lists(capsys, tmp_path, name, tmp_path / folder)
        assert status == 2 and "expected" in err
    status, err = run_lists(capsys, tmp_path, name, tmp_path / "empty")
    assert READERS[name].SET.home in err and HOMES[name] in err and READERS[name].SET.layout in err


@pytest.mark.parametrize("name", READERS)
def test_missing_images(copy_data_set, tmp_path, capsys, name):
    folder = copy_data_set(name)
    removed = [folder / item.path for item in READERS[name].read(str(folder)).items[:7]]
    for path in removed:
        path.unlink()
    status, err = run_lists(capsys, tmp_path, name, folder)
    assert status == 2
    assert f"expected all {READERS[name].SET.images} images, got 7 of {READERS[name].SET.images} missing: " in err
    assert "and 2 more; --allow-partial leaves them out" in err
    status = main(["lists", name, str(folder), "--out", str(tmp_path / "out"), "--allow-partial"])
    assert status == 0 and "7 images are missing and left out" in capsys.readouterr().out
    lists = [path for path in (tmp_path / "out").glob("*.txt")]
    assert sum(len(path.read_text().splitlines()) for path in lists) == READERS[name].SET.images - 7 - 120 * (
        name == "ft-tid2013"
    )


def _mlive_scores(change):
    def damage(folder):
        path = folder / "Part 2" / "Scores.mat"
        savemat(path, {"DMOSscores": change(loadmat(path)["DMOSscores"])})

    return damage


def _edit(name, pattern, replacement, count=1):
    return lambda folder: on_disk.change(folder / name, pattern, replacement, count)


def _delete(name):
    return lambda folder: (folder / name).unlink()


def _reverse_kadid(folder):
    """Reverse the scale of KADID's labels, so that a worse image has a higher MOS."""
    rows = [line.split(",") for line in (folder / "dmos.csv").read_text().splitlines()]
    reversed_rows = [rows[0], *([row[0], row[1], f"{6 - float(row[2]):.2f}", row[3]] for row in rows[1:])]
    on_disk.write_csv(folder / "dmos.csv", reversed_rows)


def _reverse_koniq(folder):
    path = folder / koniq10k.LABELS[0]
    rows = [line.split(",") for line in path.read_text().splitlines()]
    on_disk.write_csv(path, [rows[0], *([*row[:7], f"{100 - float(row[7]):.4f}", *row[8:]] for row in rows[1:])])


def _reverse_live(folder):
    values = loadmat(folder / "dmos.mat")
    savemat(folder / "dmos.mat", {"dmos": 100 - values["dmos"], "orgs": values["orgs"]})


DAMAGES = [
    ("ft-tid2013", _edit("mos_with_names.txt", r"^\S+ ", "9.5 "), "expected a MOS of 0..9 (higher is better), got 9.5"),
    ("ft-tid2013", _edit("mos_with_names.txt", r"^\S+ ", "nan "), "line 1: expected a finite number, got 'nan'"),
    ("ft-tid2013", _edit("mos_with_names.txt", r"^\S+ ", "x "), "line 1: expected a number, got 'x'"),
    ("ft-tid2013", _edit("mos_with_names.txt", r" i", " "), "line 1: expected `mos name` with a name such as"),
    ("ft-tid2013", _edit("mos_with_names.txt", r"^.*\n", ""), "expected 3000 images of 25 references, got 2999"),
    ("ft-tid2013", _edit("mos_with_names.txt", r"i01_01_2", "i01_01_1"), "expected each image once, got twice: "),
    ("ft-live", _edit("wn/info.txt", r"^\w+", "nobody"), "info.txt line 1: expected `reference.bmp imgN.bmp value`"),
    ("ft-live", _edit("wn/info.txt", r"img\d+", "img999"), "N 1..174"),
    ("ft-live", _edit("wn/info.txt", r"^.*\n", ""), "expected each of the 174 images of wn once, got 173 lines"),
    ("ft-live", _reverse_live, "expected a DMOS, lower is better, got higher labels for the references"),
    ("ft-live", lambda f: savemat(f / "dmos.mat", {"dmos": np.zeros(9)}), "expected labels by folder, or 982 `dmos`"),
    ("ft-live", lambda f: (f / "dmos.mat").write_bytes(b"MATLAB"), "dmos.mat: expected a MATLAB file, got"),
    (
        "ft-live",
        _delete("dmos.mat"),
        "expected LIVE2_labels.mat, dmos.mat, dmos_realigned.mat (or --labels FILE), got none",
    ),
    ("ft-live", lambda f: shutil.rmtree(f / "jp2k"), "expected a folder jp2k, got none"),
    ("csiq", _delete("csiq.DMOS.xlsx"), "expected csiq.DMOS.xlsx or csiq_label.txt (or --labels FILE), got neither"),
    ("csiq", lambda f: (f / "csiq.DMOS.xlsx").write_bytes(b"PK"), "csiq.DMOS.xlsx: expected an .xlsx workbook, got"),
    ("mlive", _mlive_scores(lambda s: s + 40), "expected a DMOS of 0..100 (lower is better), got"),
    ("mlive", _mlive_scores(lambda s: s[:, :9]), "expected distimgs, ref4dist and DMOSscores of 225 images"),
    ("mlive", lambda f: shutil.rmtree(f / "Part 1"), "expected a folder `Part 1` with blurjpeg/, got none"),
    ("mlive", _delete("Part 2/Imagelists.mat"), "Part 2: expected Imagelists.mat, got no such file"),
    ("kadid10k", _edit("dmos.csv", "dmos", "mos"), "expected the columns dist_img, ref_img, dmos, got"),
    ("kadid10k", _edit("dmos.csv", r"I01\.png", "I02.png"), "line 2: expected an image such as I01_01_01.png and its"),
    ("kadid10k", _edit("dmos.csv", r"png,4", "png,40"), "expected a MOS of 1..5 (higher is better), got 40.41"),
    ("kadid10k", _edit("dmos.csv", r"0.9", "9" * 200000), "dmos.csv line 2: expected comma-separated values, got"),
    (
        "kadid10k",
        lambda f: (f / "dmos.csv").write_bytes(b"\xff\xfe\x00"),
        "dmos.csv line 1: expected a table of comma-separated values in UTF-16-LE, got",
    ),
    ("kadid10k", _edit("dmos.csv", r"png,4.41,", "png,,"), "line 2: expected a number, got ''"),
    ("kadid10k", _reverse_kadid, "from the mildest to the strongest level, as if the direction were reversed"),
    ("koniq10k", _edit(koniq10k.LABELS[0], "image_name", "name"), "expected the columns image_name and MOS"),
    ("koniq10k", _edit(koniq10k.LABELS[0], r",(test|training|validation)\n", ",spare\n"), "line 2: expected a set of"),
    ("koniq10k", _reverse_koniq, "labels that fall with the mean of the ratings c1..c5"),
    ("clive", _delete("Data/AllMOS_release.mat"), "expected Data/AllMOS_release.mat, got no such file"),
    ("clive", lambda f: savemat(f / "Data/AllMOS_release.mat", {"AllMOS_release": np.zeros(3)}), "expected 1169 names"),
    ("spaq", lambda f: (f / "TestImage").rename(f / "x"), "expected a folder TestImage or"),
    ("koniq10k", lambda f: (f / "1024x768").rename(f / "x"), "expected a folder 1024x768 or 512x384, got none"),
]


@pytest.mark.parametrize("name, damage, message", DAMAGES)
def test_what_is_wrong_is_said(copy_data_set, tmp_path, capsys, name, damage, message):
    folder = copy_data_set(name)
    damage(folder)
    status, err = run_lists(capsys, tmp_path, name, folder)
    assert status == 2 and message in err
    file_defects = ("a number", "a MATLAB file", "an .xlsx workbook", "comma-separated", "a table of comma")
    if not any(f"expected {text}" in err for text in file_defects):
        assert READERS[name].SET.home in err


def test_tid2013_names_that_differ_in_case_alone(copy_data_set, tmp_path, capsys):
    folder = copy_data_set("ft-tid2013")
    # The labels name i07_01_1.bmp and the whole set has I07_01_1.BMP
    (folder / "distorted_images" / "I07_01_1.bmp").touch()
    status, err = run_lists(capsys, tmp_path, "ft-tid2013", folder)
    assert status == 2 and "expected one i07_01_1.bmp, got I07_01_1.BMP, I07_01_1.bmp" in err


def test_a_random_label_is_no_wrong_direction(data_set):
    """Labels that clearly run the wrong way are refused; random labels are not."""
    data = kadid10k.read(str(data_set("kadid10k")))
    random = np.random.RandomState(0)
    data.items = [replace(item, label=float(random.uniform(1, 5))) for item in data.items]
    checked(data, partial=False)
    data.items = [replace(item, label=1 + 0.8 * (item.level - 1)) for item in data.items]
    with pytest.raises(ValueError, match="as if the direction were reversed"):
        checked(data, partial=False)


def test_a_part_splits_in_proportion(tmp_path, capsys):
    """A copy of TID2013 with seven references is split in proportion, one with one reference is refused."""
    folder = on_disk.tid2013(tmp_path / "tid")
    for path in (folder / "distorted_images").iterdir():
        if int(path.name[1:3]) > 7:
            path.unlink()
    status = main(["lists", "ft-tid2013", str(folder), "--out", str(tmp_path / "out"), "--allow-partial"])
    out = capsys.readouterr().out
    assert status == 0 and "600 lines, 5 references" in out and "240 lines, 2 references" in out
    for path in (folder / "distorted_images").iterdir():
        if int(path.name[1:3]) > 1:
            path.unlink()
    status, err = run_lists(capsys, tmp_path / "alone", "ft-tid2013", folder, "--allow-partial")
    assert status == 2 and "expected at least 2 references to split" in err
