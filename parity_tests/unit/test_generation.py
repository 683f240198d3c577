"""Parts of `rankiqa distort`: names and shards, records, settings, and the folder for unfinished files."""

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import rankiqa
from rankiqa.data.folders import Kind
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets import make_files, names, set_description
from rankiqa.ranked_sets.make_files import random_generator
from rankiqa.ranked_sets.records import Record, read_record, record_bytes, record_path, remove_files


def touch(folder, files):
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file).touch()
    return folder


def photographs_of(folder, shard=(1, 1), **options):
    """Return [(name, files)] of a folder's shard."""
    return list(names.photographs(folder, shard, names.count(folder, shard).shard, **options))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.jpg", "a"), ("IMG 0001.JPG", "IMG_0001"), ("a.b.tif", "a_b"), ("tab\there\u2003.png", "tab_here_"),
        ("line\x1cline\x85.bmp", "line_line_"), ("é-1_.webp", "é-1_"),
    ],
)  # fmt: skip
def test_names_survive_a_list(file, name):
    assert names.output_name(file) == name
    assert f"{name}.bmp 1".split() == [f"{name}.bmp", "1"] and len(f"{name}.bmp 1".splitlines()) == 1


def test_names_sort_alike_with_any_suffix():
    files = ["a.jpg", "a-1.jpg", "a.c.jpg", "a c.png", "a_b.png", "a1.bmp", "A.bmp", "a+.tif"]
    output_names = [names.output_name(file) for file in files if file != "a c.png"]
    orders = [[os.path.splitext(file)[0] for file in sorted(name + suffix for name in output_names)] for suffix in
              (".bmp", ".jpg", ".jp2")]  # fmt: skip
    assert orders[0] == orders[1] == orders[2]
    stems = sorted(os.path.splitext(file)[0] for file in files)  # upstream keeps these names, which sort differently
    assert [os.path.splitext(f)[0] for f in sorted(k + ".bmp" for k in stems)] != [
        os.path.splitext(f)[0] for f in sorted(k + ".jpg" for k in stems)
    ]


def test_what_is_counted(tmp_path):
    touch(tmp_path, ["a.jpg", "b.JPEG", "c.Tif", ".hidden.jpg", "notes.txt", ".DS_Store", "noname"])
    touch(tmp_path / "inside.jpg", ["d.jpg"])
    os.symlink(tmp_path / "a.jpg", tmp_path / "link.png")
    os.symlink(tmp_path / "nowhere", tmp_path / "broken.png")
    count = names.count(tmp_path, (1, 1))
    assert (count.photographs, count.shard, count.ignored.total()) == (5, 5, 3)
    assert sorted(count.ignored.first[Kind.OTHER]) == ["noname", "notes.txt"]
    assert count.ignored.first[Kind.FOLDER] == ["inside.jpg"]
    assert [name for name, _ in photographs_of(tmp_path)] == ["a", "b", "broken", "c", "link"]


def test_names_that_are_shared_come_together(tmp_path):
    touch(tmp_path, ["x y.jpg", "x_y.png", "x.y.tif", "z.jpg", *(f"{n}.jpg" for n in range(50))])
    for at_once in (3, 1000):
        assert ("x_y", ["x y.jpg", "x.y.tif", "x_y.png"]) in photographs_of(tmp_path, at_once=at_once)


def test_rounds_give_each_photograph_once(tmp_path):
    files = {f"{n:04}.jpg" for n in range(500)}
    touch(tmp_path, files)
    for at_once in (1, 7, 100, 500, 10_000):
        photographs = photographs_of(tmp_path, at_once=at_once)
        assert sorted(file for _, (file,) in photographs) == sorted(files)


def test_shards_are_disjoint_whole_and_stable(tmp_path):
    files = {f"{n:04}.jpg" for n in range(300)}
    touch(tmp_path, files)
    parts = [{file for _, (file,) in photographs_of(tmp_path, (i, 4))} for i in (1, 2, 3, 4)]
    assert set().union(*parts) == files and sum(map(len, parts)) == 300
    assert min(map(len, parts)) > 50
    touch(tmp_path, [f"new{n}.jpg" for n in range(100)])
    (tmp_path / "0007.jpg").unlink()
    for i, part in enumerate(parts, start=1):
        assert {file for _, (file,) in photographs_of(tmp_path, (i, 4))} & files == part - {"0007.jpg"}


def test_memory_does_not_grow_with_the_folder(monkeypatch):
    class Entry:
        def __init__(self, name):
            self.name = self.path = name

        def is_file(self):
            return True

    class Folder:
        def __init__(self, files):
            self.files = files

        def __enter__(self):
            return (Entry(f"photograph{n:07}.jpg") for n in range(self.files))

        def __exit__(self, *_):
            pass

    def peak(files, at_once):
        monkeypatch.setattr(os, "scandir", lambda folder: Folder(files))
        tracemalloc.start()
        count = sum(1 for _ in names.photographs("", (1, 1), files, at_once))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == files
        return peak_bytes

    small, large, all_at_once = peak(1000, 500), peak(8000, 500), peak(8000, 8000)
    assert large < 1.5 * small
    assert all_at_once > 5 * small  # so the test notices memory that grows


def test_what_is_random_depends_on_all_four():
    keys = [(0, "a", "GN", 1), (1, "a", "GN", 1), (0, "b", "GN", 1), (0, "a", "IN", 1), (0, "a", "GN", 2)]
    numbers = [random_generator(*key).integers(2**63) for key in keys]
    assert len(set(numbers)) == len(keys)
    assert numbers == [random_generator(*key).integers(2**63) for key in keys]
    digest = hashlib.sha256(b'[0, "a", "GN", 1]').digest()
    assert numbers[0] == np.random.default_rng(int.from_bytes(digest, "big")).integers(2**63)


def test_records(tmp_path):
    def sha256(data):
        return hashlib.sha256(data).hexdigest()

    record_path(tmp_path, "a").parent.mkdir(parents=True)
    (tmp_path / "b.bmp").write_bytes(b"picture")
    record = Record("s", "p", 300, 400, {"b.bmp": [7, sha256(b"picture")], "gone.bmp": [7, sha256(b"picture")]})
    record_path(tmp_path, "a").write_bytes(record_bytes(record))
    assert read_record(tmp_path, "a") == record and read_record(tmp_path, "b") is None
    assert record.matches("s", "p") and not record.matches("t", "p") and not record.matches("s", "q")
    for quick in (False, True):
        assert record.is_valid(tmp_path, "b.bmp", quick)
        assert not record.is_valid(tmp_path, "gone.bmp", quick)
        assert not record.is_valid(tmp_path, "c.bmp", quick)
    (tmp_path / "b.bmp").write_bytes(b"pictura")
    assert record.is_valid(tmp_path, "b.bmp", True) and not record.is_valid(tmp_path, "b.bmp", False)
    (tmp_path / "b.bmp").write_bytes(b"picture.")
    assert not record.is_valid(tmp_path, "b.bmp", True)
    other = dataclasses.replace(record, files=dict(reversed(record.files.items())))
    assert record_bytes(other) == record_bytes(record)
    remove_files(tmp_path, "a", record)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    (tmp_path / "a.bmp").write_bytes(b"old")
    (tmp_path / "run").mkdir()
    make_files._write(tmp_path / "run", tmp_path / "a.bmp", b"new")
    assert (tmp_path / "a.bmp").read_bytes() == b"new" and os.listdir(tmp_path / "run") == []
    monkeypatch.setattr(os, "replace", killed)
    for name in ("a.bmp", "b.bmp"):
        with pytest.raises(KeyboardInterrupt):
            make_files._write(tmp_path / "run", tmp_path / name, b"newer")
    assert (tmp_path / "a.bmp").read_bytes() == b"new" and not (tmp_path / "b.bmp").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": "s"}', '{"other": 1}'])
def test_a_record_that_is_none(tmp_path, text):
    record_path(tmp_path, "a").parent.mkdir(parents=True)
    record_path(tmp_path, "a").write_text(text)
    assert read_record(tmp_path, "a") is None


def test_settings_must_agree(tmp_path):
    ours = set_description.settings("live", 3, DATASETS["live"])
    folders = [*DATASETS["live"], "pristine_images"]
    set_description.claim(tmp_path / "new", ours, folders, ["GB/GB1"])
    set_description.claim(tmp_path / "new", ours, folders, ["GB/GB2"])
    assert (tmp_path / "new" / "GB" / "GB2").is_dir()
    written = json.loads((tmp_path / "new" / "settings.json").read_bytes())
    assert (written["set"], written["seed"]) == ("live", 3)
    assert written["types"]["JPEG"]["levels"] == [43, 12, 7, 4, 0] and "pillow" in written["versions"]
    changes = {
        'set: expected "tid2013", the value of this run, got "live"': {**ours, "set": "tid2013"},
        "seed: expected 4, the value of this run, got 3": {**ours, "seed": 4},
        'versions.pillow: expected "0"': {**ours, "versions": {**ours["versions"], "pillow": "0"}},
        "types.GN": {**ours, "types": {**ours["types"], "GN": None}},
    }
    for words, changed in changes.items():
        with pytest.raises(ValueError, match="settings.json: " + words.replace("[", r"\[")):
            set_description.claim(tmp_path / "new", changed, folders, [])
    assert (
        set_description.digest(ours)
        != set_description.digest({**ours, "seed": 4})
        != set_description.digest({**ours, "set": "x"})
    )


def test_the_code_is_part_of_the_settings(monkeypatch, tmp_path):
    package = shutil.copytree(Path(rankiqa.__file__).parent, tmp_path / "rankiqa")
    before = set_description._code()
    monkeypatch.setattr(rankiqa, "__file__", str(package / "__init__.py"))
    changed = package / "distortions" / "noise.py"
    text = changed.read_text()
    for other, same in (
        (text + "# a comment\n", True),
        (text.replace('"""', '"""Also: ', 1), True),
        (text.replace("\n\n\n", "\n\n\n\n"), True),
        (text + "A = 1\n", False),
        (text.replace("    return ", "    pass; return ", 1), False),
    ):
        assert other != text
        changed.write_text(other)
        assert (set_description._code() == before) is same


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    touch(tmp_path / "GB", [])
    current = set_description.settings("live", 0, DATASETS["live"])
    set_description.claim(tmp_path, current, ["GB"], [])  # an empty folder does not count as another user's
    (tmp_path / "settings.json").unlink()
    touch(tmp_path / "GB", ["mine.bmp"])
    with pytest.raises(ValueError, match=r"got GB without settings\.json"):
        set_description.claim(tmp_path, current, ["GB"], ["JPEG"])
    assert not (tmp_path / "JPEG").exists() and not (tmp_path / "settings.json").exists()
    (tmp_path / "settings.json").write_text("no JSON")
    with pytest.raises(ValueError, match="expected the settings of an earlier run"):
        set_description.claim(tmp_path, current, ["GB"], [])


def test_the_folder_for_files_being_written(tmp_path):
    hidden = tmp_path / ".rankiqa"
    touch(tmp_path / ".rankiqa", [])
    killed = touch(hidden / "run-killed", ["part"])
    working = touch(hidden / "run-working", ["part"])
    lock = os.open(working, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with set_description.temporary_folder(tmp_path) as first, set_description.temporary_folder(tmp_path) as second:
        assert not killed.exists() and (working / "part").exists()
        assert first.is_dir() and second.is_dir() and first != second
    os.close(lock)
    with set_description.temporary_folder(tmp_path):
        assert not working.exists()
    assert sorted(os.listdir(hidden)) == ["lock"]
