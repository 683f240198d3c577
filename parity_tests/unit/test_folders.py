"""Folders: which files count as images, and how skipped entries are counted and named."""

import json
import os
import socket
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rankiqa.cli import main
from rankiqa.data.folders import SHOWN, Kind, find_images, list_folder, scan
from rankiqa.data.images import SUFFIXES, ImageError


def touch(folder, *names):
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_every_suffix_that_the_readers_read(tmp_path):
    for suffix in SUFFIXES:
        touch(tmp_path, f"a{suffix}", f"b{suffix.upper()}", f"._c{suffix}")
    images, others = list_folder(tmp_path)
    assert images == sorted([*(f"a{suffix}" for suffix in SUFFIXES), *(f"b{suffix.upper()}" for suffix in SUFFIXES)])
    assert others.total() == 0  # hidden files are not counted


def test_all_else_is_counted_and_named(tmp_path):
    touch(tmp_path, "a.png", "inner.png/d.png", "e/f.png", *(f"{n}.txt" for n in range(7)), ".hidden/x.png")
    os.symlink("a.png", tmp_path / "link.png")
    os.symlink("nowhere", tmp_path / "broken.png")
    os.symlink("nowhere", tmp_path / "broken")
    os.symlink("loop.png", tmp_path / "loop.png")
    os.symlink("loop", tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
    images, others = list_folder(tmp_path)
    assert images == ["a.png", "broken.png", "link.png", "loop.png"]
    assert others.by_kind() == {"folder": 2, "unreadable": 0, "dangling": 2, "special": 2, "other": 7}
    text = others.text()
    assert "2 folders (e, inner.png)" in text and "2 links to nothing (broken, loop)" in text
    assert "2 special files (pipe.png, socket)" in text
    assert f"7 other files (0.txt, 1.txt, 2.txt, 3.txt, 4.txt and {7 - SHOWN} more)" in text


def test_folders_inside(tmp_path):
    touch(tmp_path, "b/2.png", "b/a/1.png", "b/notes.txt", "a.png", "z.png", "c/.x/h.png", ".git/x.png")
    os.symlink("..", tmp_path / "b" / "up")  # a cycle of folders
    os.symlink(tmp_path / "b" / "a", tmp_path / "twice")
    images, others = list_folder(tmp_path, recursive=True)
    assert images[:2] == ["a.png", "z.png"]
    assert len(images) == 4 and {os.path.realpath(tmp_path / name) for name in images} == {
        str(tmp_path / name) for name in ("a.png", "z.png", "b/2.png", "b/a/1.png")
    }
    assert others.by_kind()["other"] == others.total() == 1 and others.first[Kind.OTHER] == ["b/notes.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_inside_that_cannot_be_read(tmp_path):
    touch(tmp_path, "a.png", "shut/b.png")
    (tmp_path / "shut").chmod(0)
    images, others = list_folder(tmp_path, recursive=True)
    (tmp_path / "shut").chmod(0o700)
    assert images == ["a.png"] and others.first[Kind.UNREADABLE] == ["shut"]


def test_a_folder_inside_that_goes_while_it_is_read(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "gone/b.png")
    scandir = os.scandir

    def failing(path):
        if str(path).endswith("gone"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    images, others = list_folder(tmp_path, recursive=True)
    assert images == ["a.png"] and others.text() == "1 folder that cannot be read (gone)"


NAME = st.text(string.ascii_letters + "._ é", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))


@settings(max_examples=60, deadline=None)
@given(st.sets(NAME, max_size=12), st.sampled_from([*sorted(SUFFIXES), ".txt", ""]))
def test_every_entry_is_given_once_or_hidden(tmp_path_factory, stems, suffix):
    folder = tmp_path_factory.mktemp("names")
    touch(folder, *(stem + suffix for stem in stems))
    entries = dict(scan(folder))
    assert set(entries) == {name for name in os.listdir(folder) if not name.startswith(".")}
    for name, kind in entries.items():
        assert (kind is Kind.IMAGE) == (os.path.splitext(name)[1].lower() in SUFFIXES)


def test_find_images(tmp_path):
    touch(tmp_path, "b.png", "A.JPG", "c.bmp", "notes.txt", "inner.png/d.png")
    images, others = find_images([tmp_path, tmp_path / "notes.txt", tmp_path / "nowhere"])
    assert [path.name for path in images] == ["A.JPG", "b.png", "c.bmp", "notes.txt", "nowhere"]
    assert others[str(tmp_path)].text() in (
        "1 other file (notes.txt), 1 folder (inner.png)", "1 folder (inner.png), 1 other file (notes.txt)",
    )  # fmt: skip
    images, others = find_images([tmp_path / "inner.png"])
    assert [path.name for path in images] == ["d.png"] and others == {}
    (tmp_path / "none" / "x").mkdir(parents=True)
    with pytest.raises(ImageError, match=r"none: expected a folder with images .*1 folder \(x\); --recursive reads"):
        find_images([tmp_path, tmp_path / "none"])


def test_score_names_what_it_passes_over(weights, photograph, tmp_path, capsys):
    Image.open(photograph).save(tmp_path / "photo.jfif", "JPEG")
    touch(tmp_path, "._photo.jfif", "notes.txt", "inside/.keep")
    os.symlink("nowhere", tmp_path / "broken.png")
    words = ["score", str(tmp_path), "--weights", str(weights), "--crops", "1", "--json"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    rows = {Path(row["path"]).name: row for row in map(json.loads, out.splitlines())}
    assert set(rows) == {"broken.png", "photo.jfif"}
    assert "expected an image, got no such file" in rows["broken.png"]["error"] and "score" in rows["photo.jfif"]
    assert f"rankiqa: {tmp_path}: ignored" in err
    assert "1 other file (notes.txt)" in err and "1 folder (inside)" in err
    Image.open(photograph).save(tmp_path / "inside" / "deep.png")
    (tmp_path / "broken.png").unlink()
    assert main([*words, "--recursive"]) == 0
    out, err = capsys.readouterr()
    assert [Path(json.loads(line)["path"]).name for line in out.splitlines()] == ["photo.jfif", "deep.png"]
    assert "1 other file (notes.txt)" in err and "folder (" not in err
