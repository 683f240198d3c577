"""Readers of the public data sets: the layouts that people have, and one line for each thing that is wrong."""

import os
import shutil
from dataclasses import replace

import datasets_on_disk as on_disk
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from rankiqa.cli import main
from rankiqa.datasets import (
    base,
    clive,
    csiq,
    kadid10k,
    koniq10k,
    label_files,
    live,
    live_labels,
    mlive,
    spaq,
    tid2013,
)  # fmt: skip

SETS = {module.SET.name: module for module in (live, tid2013, csiq, mlive, kadid10k, koniq10k, clive, spaq)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """whole(name) -> a folder with the whole data set, made once."""
    root, made = tmp_path_factory.mktemp("whole"), {}
    makers = {
        "ft-live": on_disk.live_release2, "ft-tid2013": on_disk.tid2013, "csiq": on_disk.csiq,
        "mlive": on_disk.mlive_set, "kadid10k": on_disk.kadid10k, "koniq10k": on_disk.koniq10k,
        "clive": on_disk.clive, "spaq": on_disk.spaq,
    }  # fmt: skip

    def make(name):
        if name not in made:
            made[name] = makers[name](root / name)
        return made[name]

    return make


@pytest.fixture
def copied(whole, tmp_path):
    """copied(name) -> a copy of the data set that a test may damage (the empty images are hard links)."""

    def copy(source, target):
        (shutil.copyfile if os.path.getsize(source) else os.link)(source, target)

    return lambda name: shutil.copytree(whole(name), tmp_path / name, copy_function=copy)


def run(capsys, tmp_path, name, folder, *options):
    """The exit status and stderr of `rankiqa lists`."""
    status = main(["lists", name, str(folder), "--out", str(tmp_path / "out"), *options])
    captured = capsys.readouterr()
    if status:
        assert captured.err.count("\n") == 1 and captured.err.startswith("rankiqa: "), captured.err
        assert captured.out == "" and not (tmp_path / "out").exists()
    return status, captured.err


@pytest.mark.parametrize("name", SETS)
def test_a_whole_set(whole, name):
    found = base.checked(SETS[name].read(str(whole(name))), partial=False)
    wanted = SETS[name].SET
    assert len(found.items) == wanted.images
    assert len({item.reference for item in found.items}) == wanted.references
    assert all((whole(name) / item.path).is_file() for item in found.items)
    assert not found.missing


def test_labels_belong_to_their_images(whole):
    """Against the rule that made them, not the reader's own code."""
    tid = tid2013.read(str(whole("ft-tid2013")))
    for item in tid.items:
        reference, kind, level = (int(part) for part in item.path.split("/")[1].lower()[1:-4].split("_"))
        assert (item.reference, item.kind, item.level) == (str(reference), f"{kind:02}", level)
        assert item.label == pytest.approx(6.5 - level - kind / 100, abs=1e-5)
    labels = on_disk.live_labels()
    for item in live.read(str(whole("ft-live"))).items:
        kind, name = item.path.split("/")
        number = int(name[3:-4])
        assert (item.kind, item.reference) == (kind, live.REFERENCES[number * 7 % 29])
        assert item.label == labels[kind][0][number - 1]
        assert item.copy == (item.label == 0)
    expected = {(row[0], on_disk.CSIQ_TYPES[row[1]][0], row[2]): row[3] for row in on_disk.csiq_rows()}
    found = {(one.reference, one.kind, one.level): one.label for one in csiq.read(str(whole("csiq"))).items}
    assert found == expected
    rows = {}
    for number, kind in enumerate(mlive.PARTS, start=1):
        images, references, made_from, dmos = on_disk.mlive_part(number)
        for image, n, label in zip(images, made_from, dmos):
            rows[f"Part {number}/{kind}/{image}"] = (references[n - 1][:-4], label)
    assert {one.path: (one.reference, one.label) for one in mlive.read(str(whole("mlive"))).items} == rows
    for item in kadid10k.read(str(whole("kadid10k"))).items:
        reference, kind, level = item.path.split("/")[1][:-4].split("_")
        assert (item.reference, item.kind, item.level) == (reference, kind, int(level))
        assert item.label == pytest.approx(5.2 - 0.8 * int(level) + int(kind) / 100, abs=0.006)


@pytest.mark.parametrize(
    "name, same",
    [
        ("csiq", lambda root: on_disk.csiq(root, labels="txt", images="dst_imgs_all")),
        ("csiq", lambda root: on_disk.csiq(root / "archive" / "CSIQ")),
        ("csiq", lambda root: on_disk.csiq(root, labels="txt", images="")),
        ("ft-live", lambda root: on_disk.live_release2(root, labels="LIVE2_labels.mat", padded=True)),
        ("ft-live", lambda root: on_disk.live_release2(root / "databaserelease2")),
        ("mlive", lambda root: on_disk.mlive_set(root, parts=("Part_1", "Part_2"))),
        ("mlive", lambda root: on_disk.mlive_set(root / "To_Release", hdf5=True)),
        ("kadid10k", lambda root: on_disk.kadid10k(root / "kadid10k")),
        ("ft-tid2013", lambda root: on_disk.tid2013(root / "tid2013")),
        ("koniq10k", lambda root: on_disk.koniq10k(root, folder="512x384")),
    ],
)
def test_other_layouts_say_the_same(whole, tmp_path, name, same):
    module = SETS[name]
    one = module.read(str(whole(name))).items
    other = module.read(str(same(tmp_path) and tmp_path)).items
    keys = [
        [(item.reference, item.kind, item.level, item.label, item.copy) for item in items] for items in (one, other)
    ]
    assert keys[0] == keys[1]
    assert all((tmp_path / item.path).is_file() for item in other)


def test_live_without_info_takes_refnames_all(whole, tmp_path):
    found = live.read(str(on_disk.live_release2(tmp_path, info=False)))
    expected = {item.path: item.reference for item in live.read(str(whole("ft-live"))).items}
    assert {item.path: item.reference for item in found.items} == expected
    assert [item.path for item in found.items[:3]] == ["gblur/img1.bmp", "gblur/img2.bmp", "gblur/img3.bmp"]


def test_live_realigned(whole, tmp_path, capsys):
    folder = on_disk.live_release2(tmp_path / "live", labels="dmos_realigned.mat")
    status, _ = run(capsys, tmp_path, "ft-live", folder, "--labels", str(folder / "dmos_realigned.mat"))
    assert status == 0  # labels below 0 and above 100 are that file's own
    found = live.read(str(folder), labels=str(folder / "dmos_realigned.mat"))
    assert sum(item.copy for item in found.items) == 203
    assert min(item.label for item in found.items) == -2
    assert found.labels == {"files": [str(folder / "dmos_realigned.mat")], "values": "realigned"}
    alone = live.read(str(folder))  # the only one that there is
    assert alone.labels == found.labels and alone.items == found.items
    assert "realigned" in alone.remarks[0]


def test_live_has_three_sets_of_labels(tmp_path, capsys):
    folder = on_disk.live_release2(tmp_path / "live", labels="LIVE2_labels.mat")
    for name in ("dmos.mat", "dmos_realigned.mat"):
        on_disk.live_release2(tmp_path / "others" / name, labels=name)
        shutil.copy(tmp_path / "others" / name / name, folder)
    known = {}
    for which in (None, "authors", "dmos", "realigned"):
        found = live.read(str(folder), labels=which)
        known[which] = {item.path: item.label for item in found.items}
        assert found.labels["values"] == (which or "authors")
    assert known[None] == known["authors"] == known["dmos"] != known["realigned"]
    assert "(--labels dmos or realigned for another)" in live.read(str(folder)).remarks[0]
    status, err = run(capsys, tmp_path, "ft-live", folder, "--labels", str(folder / "refnames_all.mat"))
    assert status == 2 and "expected labels by folder, or 982 `dmos`" in err
    (folder / "dmos_realigned.mat").unlink()
    status, err = run(capsys, tmp_path, "ft-live", folder, "--labels", "realigned")
    assert status == 2 and "expected dmos_realigned.mat, got none" in err


def test_live_with_the_labels_of_the_authors_lists(tmp_path, capsys):
    """Lists such as theirs, with paths of their machine; what they do not name has no label."""
    folder = on_disk.live_release2(tmp_path / "live", labels="dmos_realigned.mat")
    labels = on_disk.live_labels()
    rows = [
        f"/home/someone/LIVE2/{kind}/img{n:03}.bmp {labels[kind][0][n - 1]:6.2f}\n"
        for kind, count in live_labels.FOLDERS.items()
        for n in range(1, count + 1)
    ]
    (tmp_path / "ft_live_train.txt").write_text("".join(rows[:700]))
    (tmp_path / "ft_live_test.txt").write_text("".join(rows[700:]))
    lists = [str(tmp_path / f"ft_live_{side}.txt") for side in ("train", "test")]
    found = base.checked(live.read(str(folder), "authors", authors_list=lists), partial=False)
    live.check_copies(found)
    for item in found.items:
        kind, name = item.path.split("/")
        assert item.label == pytest.approx(labels[kind][0][int(name[3:-4]) - 1], abs=0.006)
    options = ("--labels", "authors", "--authors-list", lists[0])
    status, err = run(capsys, tmp_path, "ft-live", folder, *options)
    assert status == 2 and "expected a label of each image, got none for 282: " in err
    assert run(capsys, tmp_path, "ft-live", folder, *options, "--allow-partial")[0] == 0
    assert sum(len(path.read_text().splitlines()) for path in (tmp_path / "out").glob("*.txt")) == 700
    shutil.rmtree(tmp_path / "out")
    status, err = run(capsys, tmp_path, "ft-live", folder, "--labels", "authors")
    assert status == 2 and "expected LIVE2_labels.mat (or --authors-list FILE..), got none" in err
    status, err = run(capsys, tmp_path, "ft-live", folder, "--authors-list", lists[0])
    assert status == 2 and "--authors-list: expected --labels authors with it" in err


def test_a_part_of_live(whole, copied, tmp_path):
    folder = copied("ft-live")
    shutil.rmtree(folder / "gblur")
    on_disk.change(folder / "wn" / "info.txt", r"(?s)^(?:.*?\n){100}", "")
    with pytest.raises(ValueError, match="expected the folders"):
        live.read(str(folder))
    found = base.checked(live.read(str(folder), partial=True), partial=True)
    kinds = [item.kind for item in found.items]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"wn": 74, "jpeg": 233, "jp2k": 227, "fastfading": 174}
    expected = {item.path: item for item in live.read(str(whole("ft-live"))).items}
    assert all(expected[item.path] == item for item in found.items)
    assert "no folder gblur" in found.remarks
    assert any(remark.startswith("100 images that info.txt does not name are left out: ") for remark in found.remarks)


def test_folders_of_images_given_instead_of_the_sets(whole, tmp_path):
    for name, inner in (("koniq10k", "1024x768"), ("kadid10k", "images")):
        given = SETS[name].read(str(whole(name) / inner))
        expected = SETS[name].read(str(whole(name)))
        assert [item.path for item in given.items] == [item.path.split("/")[1] for item in expected.items]
        assert [(one.label, one.reference) for one in given.items] == [
            (one.label, one.reference) for one in expected.items
        ]
    moved = on_disk.koniq10k(tmp_path, folder="photographs")  # a name of one's own, the labels beside it
    assert len(koniq10k.read(str(moved / "photographs")).items) == 10073


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_labels_in_other_forms(whole, copied, mark):
    """Blanks in the header, semicolons, Windows' ends of lines, an encoding with a mark."""
    folder = copied("kadid10k")
    text = (folder / "dmos.csv").read_text().replace("dist_img,ref_img,dmos", "dist_img , ref_img,  dmos ")
    (folder / "dmos.csv").write_bytes(("# mine\n\n" + text).replace(",", ";").replace("\n", "\r\n").encode(mark))
    assert kadid10k.read(str(folder)).items == kadid10k.read(str(whole("kadid10k"))).items
    folder = copied("ft-tid2013")
    text = (folder / "mos_with_names.txt").read_text()
    (folder / "mos_with_names.txt").write_bytes(text.replace(" ", "\t").replace("\n", "\r\n").encode(mark))
    assert tid2013.read(str(folder)).items == tid2013.read(str(whole("ft-tid2013"))).items


def test_photographs_without_references(whole):
    scores = on_disk.clive_scores()
    found = clive.read(str(whole("clive")))
    assert [item.label for item in found.items] == pytest.approx(scores[7:])
    assert found.items[0].path == "Images/3.jpg" and found.items[1].path == "Images/4.bmp"
    found = spaq.read(str(whole("spaq")))
    assert [(item.path, item.label) for item in found.items[:2]] == [
        ("TestImage/00001.jpg", 11.25), ("TestImage/00002.jpg", 12.25),
    ]  # fmt: skip


def test_csiq_labels_from_elsewhere(whole, tmp_path):
    folder = on_disk.csiq(tmp_path / "a" / "CSIQ", labels="txt")
    path = shutil.move(folder / "csiq_label.txt", tmp_path / "labels.txt")
    found = csiq.read(str(tmp_path / "a"), labels=str(path))
    assert [(one.reference, one.label) for one in found.items] == [
        (one.reference, one.label) for one in csiq.read(str(whole("csiq"))).items
    ]


def test_koniq10k_scores_file(tmp_path):
    folder = on_disk.koniq10k(tmp_path, labels="koniq10k_scores_and_distributions.csv")
    scaled = koniq10k.read(str(folder))
    assert (scaled.dataset.low, scaled.dataset.high, scaled.official) == (0, 100, None)
    five = koniq10k.read(str(folder), column="MOS")
    assert (five.dataset.low, five.dataset.high) == (1, 5)
    assert [item.label for item in five.items[:2]] == [2.0, pytest.approx(2.02)]
    base.checked(five, partial=False)


def test_koniq10k_without_its_split(tmp_path, capsys):
    folder = on_disk.koniq10k(tmp_path / "k", labels="koniq10k_scores_and_distributions.csv")
    status, err = run(capsys, tmp_path, "koniq10k", folder)
    assert status == 2 and "--split official: expected a labels' file with the official split" in err
    assert run(capsys, tmp_path, "koniq10k", folder, "--split", "random")[0] == 0


HOMES = {
    "ft-live": "live.ece.utexas.edu", "ft-tid2013": "ponomarenko.info", "csiq": "csiq", "mlive": "multidistorted",
    "kadid10k": "kadid-10k", "koniq10k": "koniq-10k", "clive": "ChallengeDB", "spaq": "SPAQ",
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_another_folder(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        status, err = run(capsys, tmp_path, name, tmp_path / folder)
        assert status == 2 and "expected" in err
    status, err = run(capsys, tmp_path, name, tmp_path / "empty")
    assert SETS[name].SET.home in err and HOMES[name] in err and SETS[name].SET.layout in err


@pytest.mark.parametrize("name", SETS)
def test_missing_images(copied, tmp_path, capsys, name):
    folder = copied(name)
    gone = [folder / item.path for item in SETS[name].read(str(folder)).items[:7]]
    for path in gone:
        path.unlink()
    status, err = run(capsys, tmp_path, name, folder)
    assert status == 2
    assert f"expected all {SETS[name].SET.images} images, got 7 of {SETS[name].SET.images} missing: " in err
    assert "and 2 more; --allow-partial leaves them out" in err
    status = main(["lists", name, str(folder), "--out", str(tmp_path / "out"), "--allow-partial"])
    assert status == 0 and "7 images are missing and left out" in capsys.readouterr().out
    lists = [path for path in (tmp_path / "out").glob("*.txt")]
    assert sum(len(path.read_text().splitlines()) for path in lists) == SETS[name].SET.images - 7 - 120 * (
        name == "ft-tid2013"
    )


def _mlive_scores(change):
    def damage(folder):
        path = folder / "Part 2" / "Scores.mat"
        savemat(path, {"DMOSscores": change(loadmat(path)["DMOSscores"])})

    return damage


def _text(name, pattern, by, count=1):
    return lambda folder: on_disk.change(folder / name, pattern, by, count)


def _delete(name):
    return lambda folder: (folder / name).unlink()


def _all_falling(folder):
    """A MOS made of KADID's labels turned round: worse is higher."""
    rows = [line.split(",") for line in (folder / "dmos.csv").read_text().splitlines()]
    turned = [rows[0], *([one[0], one[1], f"{6 - float(one[2]):.2f}", one[3]] for one in rows[1:])]
    on_disk.write_csv(folder / "dmos.csv", turned)


def _koniq_turned(folder):
    path = folder / koniq10k.LABELS[0]
    rows = [line.split(",") for line in path.read_text().splitlines()]
    on_disk.write_csv(path, [rows[0], *([*one[:7], f"{100 - float(one[7]):.4f}", *one[8:]] for one in rows[1:])])


def _live_turned(folder):
    values = loadmat(folder / "dmos.mat")
    savemat(folder / "dmos.mat", {"dmos": 100 - values["dmos"], "orgs": values["orgs"]})


DAMAGES = [
    ("ft-tid2013", _text("mos_with_names.txt", r"^\S+ ", "9.5 "), "expected a MOS of 0..9 (higher is better), got 9.5"),
    ("ft-tid2013", _text("mos_with_names.txt", r"^\S+ ", "nan "), "line 1: expected a finite number, got 'nan'"),
    ("ft-tid2013", _text("mos_with_names.txt", r"^\S+ ", "x "), "line 1: expected a number, got 'x'"),
    ("ft-tid2013", _text("mos_with_names.txt", r" i", " "), "line 1: expected `mos name` with a name such as"),
    ("ft-tid2013", _text("mos_with_names.txt", r"^.*\n", ""), "expected 3000 images of 25 references, got 2999"),
    ("ft-tid2013", _text("mos_with_names.txt", r"i01_01_2", "i01_01_1"), "expected each image once, got twice: "),
    ("ft-live", _text("wn/info.txt", r"^\w+", "nobody"), "info.txt line 1: expected `reference.bmp imgN.bmp value`"),
    ("ft-live", _text("wn/info.txt", r"img\d+", "img999"), "N 1..174"),
    ("ft-live", _text("wn/info.txt", r"^.*\n", ""), "expected each of the 174 images of wn once, got 173 lines"),
    ("ft-live", _live_turned, "expected a DMOS, lower is better, got higher labels for the references"),
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
    ("kadid10k", _text("dmos.csv", "dmos", "mos"), "expected the columns dist_img, ref_img, dmos, got"),
    ("kadid10k", _text("dmos.csv", r"I01\.png", "I02.png"), "line 2: expected an image such as I01_01_01.png and its"),
    ("kadid10k", _text("dmos.csv", r"png,4", "png,40"), "expected a MOS of 1..5 (higher is better), got 40.41"),
    ("kadid10k", _text("dmos.csv", r"0.9", "9" * 200000), "dmos.csv line 2: expected comma-separated values, got"),
    (
        "kadid10k",
        lambda f: (f / "dmos.csv").write_bytes(b"\xff\xfe\x00"),
        "dmos.csv line 1: expected a table of comma-separated values in UTF-16-LE, got",
    ),
    ("kadid10k", _text("dmos.csv", r"png,4.41,", "png,,"), "line 2: expected a number, got ''"),
    ("kadid10k", _all_falling, "from the mildest to the strongest level, as if the direction were reversed"),
    ("koniq10k", _text(koniq10k.LABELS[0], "image_name", "name"), "expected the columns image_name and MOS"),
    ("koniq10k", _text(koniq10k.LABELS[0], r",(test|training|validation)\n", ",spare\n"), "line 2: expected a set of"),
    ("koniq10k", _koniq_turned, "labels that fall with the mean of the ratings c1..c5"),
    ("clive", _delete("Data/AllMOS_release.mat"), "expected Data/AllMOS_release.mat, got no such file"),
    ("clive", lambda f: savemat(f / "Data/AllMOS_release.mat", {"AllMOS_release": np.zeros(3)}), "expected 1169 names"),
    ("spaq", lambda f: (f / "TestImage").rename(f / "x"), "expected a folder TestImage or"),
    ("koniq10k", lambda f: (f / "1024x768").rename(f / "x"), "expected a folder 1024x768 or 512x384, got none"),
]


@pytest.mark.parametrize("name, damage, message", DAMAGES)
def test_what_is_wrong_is_said(copied, tmp_path, capsys, name, damage, message):
    folder = copied(name)
    damage(folder)
    status, err = run(capsys, tmp_path, name, folder)
    assert status == 2 and message in err
    a_file = ("a number", "a MATLAB file", "an .xlsx workbook", "comma-separated", "a table of comma")
    if not any(f"expected {kind}" in err for kind in a_file):
        assert SETS[name].SET.home in err


def test_tid2013_names_that_differ_in_case_alone(copied, tmp_path, capsys):
    folder = copied("ft-tid2013")
    (folder / "distorted_images" / "I07_01_1.bmp").touch()  # beside I07_01_1.BMP, for i07_01_1.bmp
    status, err = run(capsys, tmp_path, "ft-tid2013", folder)
    assert status == 2 and "expected one i07_01_1.bmp, got I07_01_1.BMP, I07_01_1.bmp" in err


def test_a_random_label_is_no_wrong_direction(whole):
    """Only what runs clearly the other way is refused; noise is not."""
    found = kadid10k.read(str(whole("kadid10k")))
    random = np.random.RandomState(0)
    found.items = [replace(item, label=float(random.uniform(1, 5))) for item in found.items]
    base.checked(found, partial=False)
    found.items = [replace(item, label=1 + 0.8 * (item.level - 1)) for item in found.items]
    with pytest.raises(ValueError, match="as if the direction were reversed"):
        base.checked(found, partial=False)


def test_a_part_splits_in_proportion(tmp_path, capsys):
    """Seven references of TID2013, as somebody might have copied them."""
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
    status, err = run(capsys, tmp_path / "alone", "ft-tid2013", folder, "--allow-partial")
    assert status == 2 and "expected at least 2 references to split" in err


def test_the_nearest_folder_comes_first(tmp_path):
    for place in ("b/x", "a/deep/x"):
        on_disk.touch(tmp_path / place)
    assert label_files.locate(str(tmp_path), "X") == "b"
    assert label_files.locate(str(tmp_path), "y") is None
    on_disk.touch(tmp_path / "c" / "X")
    with pytest.raises(ValueError, match="expected one folder with x, got b, c"):
        label_files.locate(str(tmp_path), "x")
    on_disk.touch(tmp_path / "x")
    assert label_files.locate(str(tmp_path), "x") == ""
