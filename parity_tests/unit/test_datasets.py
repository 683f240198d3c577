"""Readers of the public data sets: whole sets, the label of each image, and the layouts in use."""

import shutil

import datasets_on_disk as on_disk
import pytest

from lib.lists_command import READERS, run_lists
from rankiqa.datasets import clive, csiq, kadid10k, koniq10k, label_files, live, mlive, spaq, tid2013
from rankiqa.datasets.data_set import checked


@pytest.mark.parametrize("name", READERS)
def test_a_whole_set(data_set, name):
    data = checked(READERS[name].read(str(data_set(name))), partial=False)
    published = READERS[name].SET
    assert len(data.items) == published.images
    assert len({item.reference for item in data.items}) == published.references
    assert all((data_set(name) / item.path).is_file() for item in data.items)
    assert not data.missing


def test_labels_belong_to_their_images(data_set):
    """Compare with the rules in datasets_on_disk.py that wrote the label files, not with the readers' code."""
    tid = tid2013.read(str(data_set("ft-tid2013")))
    for item in tid.items:
        reference, kind, level = (int(part) for part in item.path.split("/")[1].lower()[1:-4].split("_"))
        assert (item.reference, item.kind, item.level) == (str(reference), f"{kind:02}", level)
        assert item.label == pytest.approx(6.5 - level - kind / 100, abs=1e-5)
    labels = on_disk.live_labels()
    for item in live.read(str(data_set("ft-live"))).items:
        kind, name = item.path.split("/")
        number = int(name[3:-4])
        assert (item.kind, item.reference) == (kind, live.REFERENCES[number * 7 % 29])
        assert item.label == labels[kind][0][number - 1]
        assert item.copy == (item.label == 0)
    expected = {(row[0], on_disk.CSIQ_TYPES[row[1]][0], row[2]): row[3] for row in on_disk.csiq_rows()}
    labels_read = {
        (item.reference, item.kind, item.level): item.label for item in csiq.read(str(data_set("csiq"))).items
    }
    assert labels_read == expected
    rows = {}
    for number, kind in enumerate(mlive.PARTS, start=1):
        images, references, made_from, dmos = on_disk.mlive_part(number)
        for image, number_of_reference, label in zip(images, made_from, dmos):
            rows[f"Part {number}/{kind}/{image}"] = (references[number_of_reference - 1][:-4], label)
    assert {item.path: (item.reference, item.label) for item in mlive.read(str(data_set("mlive"))).items} == rows
    for item in kadid10k.read(str(data_set("kadid10k"))).items:
        reference, kind, level = item.path.split("/")[1][:-4].split("_")
        assert (item.reference, item.kind, item.level) == (reference, kind, int(level))
        assert item.label == pytest.approx(5.2 - 0.8 * int(level) + int(kind) / 100, abs=0.006)


@pytest.mark.parametrize(
    "name, make_other",
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
def test_other_layouts_say_the_same(data_set, tmp_path, name, make_other):
    module = READERS[name]
    usual = module.read(str(data_set(name))).items
    other = module.read(str(make_other(tmp_path) and tmp_path)).items
    keys = [
        [(item.reference, item.kind, item.level, item.label, item.copy) for item in items] for items in (usual, other)
    ]
    assert keys[0] == keys[1]
    assert all((tmp_path / item.path).is_file() for item in other)


def test_folders_of_images_given_instead_of_the_sets(data_set, tmp_path):
    for name, inner in (("koniq10k", "1024x768"), ("kadid10k", "images")):
        given = READERS[name].read(str(data_set(name) / inner))
        expected = READERS[name].read(str(data_set(name)))
        assert [item.path for item in given.items] == [item.path.split("/")[1] for item in expected.items]
        assert [(item.label, item.reference) for item in given.items] == [
            (item.label, item.reference) for item in expected.items
        ]
    moved = on_disk.koniq10k(tmp_path, folder="photographs")  # a user's folder name; the labels are beside it
    assert len(koniq10k.read(str(moved / "photographs")).items) == 10073


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_labels_in_other_forms(data_set, copy_data_set, mark):
    """Spaces in the header, semicolons, Windows line endings, and an encoding with a byte order mark."""
    folder = copy_data_set("kadid10k")
    text = (folder / "dmos.csv").read_text().replace("dist_img,ref_img,dmos", "dist_img , ref_img,  dmos ")
    (folder / "dmos.csv").write_bytes(("# mine\n\n" + text).replace(",", ";").replace("\n", "\r\n").encode(mark))
    assert kadid10k.read(str(folder)).items == kadid10k.read(str(data_set("kadid10k"))).items
    folder = copy_data_set("ft-tid2013")
    text = (folder / "mos_with_names.txt").read_text()
    (folder / "mos_with_names.txt").write_bytes(text.replace(" ", "\t").replace("\n", "\r\n").encode(mark))
    assert tid2013.read(str(folder)).items == tid2013.read(str(data_set("ft-tid2013"))).items


def test_photographs_without_references(data_set):
    scores = on_disk.clive_scores()
    data = clive.read(str(data_set("clive")))
    assert [item.label for item in data.items] == pytest.approx(scores[7:])
    assert data.items[0].path == "Images/3.jpg" and data.items[1].path == "Images/4.bmp"
    data = spaq.read(str(data_set("spaq")))
    assert [(item.path, item.label) for item in data.items[:2]] == [
        ("TestImage/00001.jpg", 11.25), ("TestImage/00002.jpg", 12.25),
    ]  # fmt: skip


def test_csiq_labels_from_elsewhere(data_set, tmp_path):
    folder = on_disk.csiq(tmp_path / "a" / "CSIQ", labels="txt")
    path = shutil.move(folder / "csiq_label.txt", tmp_path / "labels.txt")
    data = csiq.read(str(tmp_path / "a"), labels=str(path))
    assert [(item.reference, item.label) for item in data.items] == [
        (item.reference, item.label) for item in csiq.read(str(data_set("csiq"))).items
    ]


def test_koniq10k_scores_file(tmp_path):
    folder = on_disk.koniq10k(tmp_path, labels="koniq10k_scores_and_distributions.csv")
    scaled = koniq10k.read(str(folder))
    assert (scaled.dataset.low, scaled.dataset.high, scaled.official) == (0, 100, None)
    five = koniq10k.read(str(folder), column="MOS")
    assert (five.dataset.low, five.dataset.high) == (1, 5)
    assert [item.label for item in five.items[:2]] == [2.0, pytest.approx(2.02)]
    checked(five, partial=False)


def test_koniq10k_without_its_split(tmp_path, capsys):
    folder = on_disk.koniq10k(tmp_path / "k", labels="koniq10k_scores_and_distributions.csv")
    status, err = run_lists(capsys, tmp_path, "koniq10k", folder)
    assert status == 2 and "--split official: expected a labels' file with the official split" in err
    assert run_lists(capsys, tmp_path, "koniq10k", folder, "--split", "random")[0] == 0


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
