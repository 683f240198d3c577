"""The reader of LIVE: its reference files, its three sets of labels, and incomplete copies."""

import shutil

import datasets_on_disk as on_disk
import pytest

from lib.lists_command import run_lists
from rankiqa.datasets import live, live_labels
from rankiqa.datasets.data_set import checked


def test_live_without_info_takes_refnames_all(data_set, tmp_path):
    data = live.read(str(on_disk.live_release2(tmp_path, info=False)))
    expected = {item.path: item.reference for item in live.read(str(data_set("ft-live"))).items}
    assert {item.path: item.reference for item in data.items} == expected
    assert [item.path for item in data.items[:3]] == ["gblur/img1.bmp", "gblur/img2.bmp", "gblur/img3.bmp"]


def test_live_realigned(data_set, tmp_path, capsys):
    folder = on_disk.live_release2(tmp_path / "live", labels="dmos_realigned.mat")
    status, _ = run_lists(capsys, tmp_path, "ft-live", folder, "--labels", str(folder / "dmos_realigned.mat"))
    assert status == 0  # realigned labels may lie below 0 and above 100
    data = live.read(str(folder), labels=str(folder / "dmos_realigned.mat"))
    assert sum(item.copy for item in data.items) == 203
    assert min(item.label for item in data.items) == -2
    assert data.labels == {"files": [str(folder / "dmos_realigned.mat")], "values": "realigned"}
    alone = live.read(str(folder))  # the only label file of the folder
    assert alone.labels == data.labels and alone.items == data.items
    assert "realigned" in alone.remarks[0]


def test_live_has_three_sets_of_labels(tmp_path, capsys):
    folder = on_disk.live_release2(tmp_path / "live", labels="LIVE2_labels.mat")
    for name in ("dmos.mat", "dmos_realigned.mat"):
        on_disk.live_release2(tmp_path / "others" / name, labels=name)
        shutil.copy(tmp_path / "others" / name / name, folder)
    by_values = {}
    for values in (None, "authors", "dmos", "realigned"):
        data = live.read(str(folder), labels=values)
        by_values[values] = {item.path: item.label for item in data.items}
        assert data.labels["values"] == (values or "authors")
    assert by_values[None] == by_values["authors"] == by_values["dmos"] != by_values["realigned"]
    assert "(--labels dmos or realigned for another)" in live.read(str(folder)).remarks[0]
    status, err = run_lists(capsys, tmp_path, "ft-live", folder, "--labels", str(folder / "refnames_all.mat"))
    assert status == 2 and "expected labels by folder, or 982 `dmos`" in err
    (folder / "dmos_realigned.mat").unlink()
    status, err = run_lists(capsys, tmp_path, "ft-live", folder, "--labels", "realigned")
    assert status == 2 and "expected dmos_realigned.mat, got none" in err


def test_live_with_the_labels_of_the_authors_lists(tmp_path, capsys):
    """The authors' lists hold paths of their machine; an image that the lists do not name has no label."""
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
    data = checked(live.read(str(folder), "authors", authors_list=lists), partial=False)
    live.check_copies(data)
    for item in data.items:
        kind, name = item.path.split("/")
        assert item.label == pytest.approx(labels[kind][0][int(name[3:-4]) - 1], abs=0.006)
    options = ("--labels", "authors", "--authors-list", lists[0])
    status, err = run_lists(capsys, tmp_path, "ft-live", folder, *options)
    assert status == 2 and "expected a label of each image, got none for 282: " in err
    assert run_lists(capsys, tmp_path, "ft-live", folder, *options, "--allow-partial")[0] == 0
    assert sum(len(path.read_text().splitlines()) for path in (tmp_path / "out").glob("*.txt")) == 700
    shutil.rmtree(tmp_path / "out")
    status, err = run_lists(capsys, tmp_path, "ft-live", folder, "--labels", "authors")
    assert status == 2 and "expected LIVE2_labels.mat (or --authors-list FILE..), got none" in err
    status, err = run_lists(capsys, tmp_path, "ft-live", folder, "--authors-list", lists[0])
    assert status == 2 and "--authors-list: expected --labels authors with it" in err


def test_a_part_of_live(data_set, copy_data_set, tmp_path):
    folder = copy_data_set("ft-live")
    shutil.rmtree(folder / "gblur")
    on_disk.change(folder / "wn" / "info.txt", r"(?s)^(?:.*?\n){100}", "")
    with pytest.raises(ValueError, match="expected the folders"):
        live.read(str(folder))
    data = checked(live.read(str(folder), partial=True), partial=True)
    kinds = [item.kind for item in data.items]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"wn": 74, "jpeg": 233, "jp2k": 227, "fastfading": 174}
    expected = {item.path: item for item in live.read(str(data_set("ft-live"))).items}
    assert all(expected[item.path] == item for item in data.items)
    assert "no folder gblur" in data.remarks
    assert any(remark.startswith("100 images that info.txt does not name are left out: ") for remark in data.remarks)
