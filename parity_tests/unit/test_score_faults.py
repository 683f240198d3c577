"""`rankiqa score` with damaged, odd or unwritable files: every loss is reported."""

import gzip
import io
import json
import os
import re
import stat
import sys
import tarfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.data import atomic_files
from rankiqa.data.image_sources import paths_of_lines
from rankiqa.scoring.result_files import FORMATS, ResultFile, read_rows
from rankiqa.scoring.score_map import _spread


@pytest.fixture(scope="module")
def png():
    pixels = np.random.default_rng(0).integers(0, 256, (229, 240, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def run(weights, tmp_path, monkeypatch, capsys):
    """Return run(*words), which runs the command in an empty folder and returns its status, rows and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words, crops=1):
        words = [*map(str, words), "--weights", str(weights), "--crops", str(crops)]
        status = main(["score", *words])
        captured = capsys.readouterr()
        assert "internal error" not in captured.err
        rows = [json.loads(line) for line in captured.out.splitlines()] if "--json" in words else captured.out
        return SimpleNamespace(status=status, rows=rows, err=captured.err)

    return run


def archive(path, members, mode="w"):
    with tarfile.open(path, mode) as file:  # pyright: ignore (it expects a literal mode)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
            else:
                member.type, member.linkname = content
            file.addfile(member, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


@pytest.mark.parametrize("suffix, mode", [("tar", "w"), ("tgz", "w:gz")])
def test_links_in_an_archive_are_named(run, png, suffix, mode):
    """An archive that stores a link instead of a repeated file gets an error that names the link's target."""
    members = {
        "a.png": png, "hard.png": (tarfile.LNKTYPE, "a.png"), "soft.png": (tarfile.SYMTYPE, "a.png"),
        "d.png": (tarfile.CHRTYPE, ""), "e.png": (tarfile.DIRTYPE, ""), "._a.png": b"", "a.txt": b"",
    }  # fmt: skip
    done = run(archive(f"a.{suffix}", members, mode), "--json")
    assert [row["path"].rpartition("/")[2] for row in done.rows] == ["a.png", "hard.png", "soft.png", "d.png"]
    assert done.status == 1 and "score" in done.rows[0]
    assert all("a link to a.png" in row["error"] for row in done.rows[1:3]) and "special" in done.rows[3]["error"]


def damaged(whole, header):
    """Yield (description, damaged bytes, expected words); header: the position of the second member's header."""
    flipped = bytearray(whole)
    flipped[header + 3] ^= 1
    yield "a bit of a header", bytes(flipped), f"bad checksum (byte {header})"
    yield "cut between members", whole[:header], "without an end"
    yield "cut in a header", whole[: header + 99], "truncated header"
    yield "joined by cat", whole + whole, "more data after its end"


def test_an_archive_does_not_end_early_without_a_word(run, png, tmp_path):
    """tarfile treats a damaged header as the end of an archive, which would lose the images after it."""
    whole = (tmp_path / archive("a.tar", {"a.png": png, "b.png": png})).read_bytes()
    assert run("a.tar", "--json").status == 0
    header = 512 + -(-len(png) // 512) * 512
    for what, content, words in damaged(whole, header):
        for name, data in (("b.tar", content), ("b.tgz", gzip.compress(content))):
            (tmp_path / name).write_bytes(data)
            done = run(name, "--json")
            assert done.status == 1 and done.rows[0]["path"] == f"{name}/a.png" and "score" in done.rows[0], what
            assert done.rows[-1]["path"] == name and words in done.rows[-1]["error"], what


def test_lists_on_standard_input(run, png, tmp_path, monkeypatch):
    for name in ("a.png", "#b.png"):
        (tmp_path / name).write_bytes(png)
    marked = b"\xef\xbb\xbfa.png\r\n# made today\r\n#b.png\r\n".decode("utf-8", "surrogateescape")
    for text in (marked, marked.encode().decode("ascii", "surrogateescape")):  # the C locale's reading
        assert list(paths_of_lines(text.splitlines(True))) == ["a.png", "#b.png"]
    # Lists of find -print0: line breaks belong to the names
    assert list(paths_of_lines(["a.png\n", *"\0b\nc.png\0\r.png\0d\n\ne.png\0f.png\0".splitlines(True)])) == [
        "a.png", "b\nc.png", "\r.png", "d\n\ne.png", "f.png"
    ]  # fmt: skip
    utf16 = "a.png\n".encode("utf-16").decode("utf-8", "surrogateescape")
    for stdin, words in ((io.StringIO(utf16), "got one in UTF-16"), (None, "got a closed one")):
        monkeypatch.setattr(sys, "stdin", stdin)
        done = run("-", "--json")
        assert done.status != 0 and done.rows == [] and done.err.count("\n") == 1 and words in done.err


def test_rows_of_odd_names(tmp_path):
    """Line breaks in names and undecodable bytes in errors survive a round trip through every format."""
    rows = [
        {"path": f"{mark}{k}.png", "error": f"got {mark}"} for k, mark in enumerate(["\r", "\n", '"', ",", "\udcff"])
    ]
    for form in FORMATS:
        out = tmp_path / f"o.{form}"
        with ResultFile(out, form, {}) as file:
            for row in rows:
                file.append(row)
            assert file.finish() == len(rows)
        rows_read = list(read_rows(out))
        assert rows_read[:4] == rows[:4] and len(rows_read) == len(rows)
        with ResultFile(out, form, {}, resume=True) as file:
            assert all(file.is_done(row["path"]) for row in rows)


def test_results_do_not_replace_what_is_read(run, png, tmp_path, weights):
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "b.PNG").write_bytes(png)
    archive("a.tar", {"a.png": png})
    os.symlink(".", "here")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} | {"w": weights.read_bytes()}
    for words in (["a.png", "--out", "a.png"], ["a.png", "--page", "b.PNG"], ["a.tar", "--out", "here/a.tar"],
                  ["a.png", "--out", weights], ["a.png", "--out", "x", "--page", "./x"]):  # fmt: skip
        done = run(*words)
        assert done.status == 2 and done.err.count("\n") == 1 and "expected" in done.err
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} | {"w": weights.read_bytes()}
    with pytest.raises(ValueError, match="than those that are read"):
        atomic_files.check_target("a.png", ["a.png"])


def test_places_that_cannot_be_written_show_before_the_scoring(run, png, tmp_path):
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "file").write_text("")
    os.mkdir("x.csv.part")
    for words in (["--map", "file"], ["--out", "file/x.csv"], ["--out", "x.csv"], ["--page", "none/x.html"],
                  ["--page", "/proc/x.html"], ["--page", "."], ["--map", "m", "--map-range", "0", "inf"],
                  ["--map", "m", "--map-range", "nan", "1"]):  # fmt: skip
        done = run("a.png", *words)
        assert done.status == 2 and done.rows == "" and done.err.count("\n") == 1, words


def test_devices_are_not_replaced_by_files(run, png, tmp_path):
    """Replacing /dev/null, as an administrator could with --out /dev/null, would make it a regular file."""
    (tmp_path / "a.png").write_bytes(png)
    os.mkfifo("pipe")
    for name in ("pipe", "/dev/null", "/dev/stdout"):
        for option in ("--out", "--page"):
            done = run("a.png", option, name)
            assert done.status == 2 and "got a device or a pipe" in done.err and done.rows == ""
        with pytest.raises(OSError, match="a device or a pipe"), atomic_files.replacing(name) as temporary:
            temporary.write_text("x")
    assert stat.S_ISFIFO(os.stat("pipe").st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(".")) == ["a.png", "pipe"]


def test_a_full_disk_names_the_file(run, png, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png)
    full = OSError(28, os.strerror(28))

    def write(*_):
        raise full

    for words, name in ((["--map", "m"], "m/a-"), (["--page", "x.html"], "x.html"), (["--out", "x.csv"], "x.csv")):
        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.write_bytes", write)
            patch.setattr("pathlib.Path.chmod", write)
            done = run("a.png", *words)
        assert done.status != 0 and f"{name}" in done.err and "No space left" in done.err
        assert "standard output" not in done.err
    with ResultFile(tmp_path / "y.csv", "csv", {}) as out:
        monkeypatch.setattr(out, "file", SimpleNamespace(write=write, close=out.file.close))
        with pytest.raises(OSError, match=re.escape(str(out.part))):
            out.append({"path": "a"})


def test_dense_scores_of_equal_images(run, png, tmp_path):
    """Copies of one image have no SROCC, but the run completes."""
    for k in range(4):
        (tmp_path / f"{k}.png").write_bytes(png)
    done = run(".", "--mode", "dense", "--agreement", "3", "--json")
    assert done.status == 0 and len({row["score"] for row in done.rows}) == 1 and len(done.rows) == 4
    assert "first 3 images: difference" in done.err


def test_maps_of_panoramas(run, tmp_path):
    """cv2.remap limits an image's sides; a map that is drawn in parts has the same colours as one drawn at once."""
    cv2.imwrite("wide.png", np.random.default_rng(0).integers(0, 256, (230, 33_000, 3), np.uint8))
    assert run("wide.png", "--map", "maps", "--json").status == 0
    (path,) = (tmp_path / "maps").iterdir()
    assert rankiqa.read_image(path).shape[1] > 33_000
    scores = np.random.default_rng(0).normal(size=(9, 1200)).astype(np.float32)
    rows = np.linspace(0, 8, 230, dtype=np.float32)
    columns = np.clip((np.arange(20_000, dtype=np.float32) - 113) / 16, 0, 1199)
    x, y = np.meshgrid(columns, rows)
    at_once = cv2.remap(scores, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(_spread(scores, rows, columns), at_once)
