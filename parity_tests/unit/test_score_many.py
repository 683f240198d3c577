"""Scores of many images: the bits of single calls, from every kind of input, into every kind of file, through kills."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import cv2
import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.data.image_sources import ImageSource, paths_of_lines
from rankiqa.scoring import blocked_layout, result_files
from rankiqa.scoring.engines import TorchEngine
from rankiqa.scoring.many import ScoreSettings, score_sources
from rankiqa.scoring.result_files import FORMATS, ResultFile, read_rows

CROPS = 2
BAD = {"empty.png": b"", "text.png": b"no image", "small.png": None, "stump.jpg": None}


def _png(side, seed, channels=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 1, channels), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six good images, one of them with alpha, and four bad ones."""
    place = tmp_path_factory.mktemp("many")
    for k in range(6):
        (place / f"{k}.png").write_bytes(_png(228 + k, k, 4 if k == 5 else 3))
    contents = BAD | {"small.png": _png(20, 9), "stump.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF"}
    for name, content in contents.items():
        (place / name).write_bytes(content)
    return place


@pytest.fixture(scope="module")
def network(weights):
    return rankiqa.load(weights)


@pytest.fixture(scope="module")
def expected(folder, network):
    """{name: row} as single calls give them."""
    rows = {}
    for path in sorted(folder.iterdir()):
        try:
            image, notes = rankiqa.read_image_with_notes(path)
            found = rankiqa.score(network, image, crops=CROPS)
        except ValueError as error:
            rows[path.name] = {"error": str(error)}
        else:
            rows[path.name] = {"score": found.score, "median": found.median, "crops": CROPS, "seed": 0}
            if notes:
                rows[path.name]["note"] = "; ".join(notes)
    return rows


def _by_name(rows):
    """{name: row without its path}, each name once."""
    rows = [dict(row) for row in rows]
    named = {os.path.basename(row.pop("path")): row for row in rows}
    assert len(named) == len(rows)
    return named


@pytest.mark.parametrize("workers, batch", [(1, 1), (3, 4)])
def test_rows_are_those_of_single_calls(folder, network, expected, workers, batch):
    paths = sorted(folder.iterdir(), reverse=True)
    rows = list(rankiqa.score_many(network, paths, crops=CROPS, workers=workers, batch=batch))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert _by_name(rows) == expected
    assert {name for name, row in expected.items() if "error" in row} == set(BAD)
    assert expected["5.png"]["note"] == "alpha dropped"


def test_a_last_pass_of_fewer_crops(folder, network):
    path = folder / "3.png"
    (row,) = rankiqa.score_many(network, path, crops=13, seed=4)
    assert row["score"] == rankiqa.score(network, rankiqa.read_image(path), crops=13, seed=4).score


def test_parts_make_the_whole(folder, network, expected):
    parts = [list(rankiqa.score_many(network, folder, crops=CROPS, shard=(i, 3))) for i in (1, 2, 3)]
    assert _by_name(itertools.chain(*parts)) == expected
    assert [len(part) for part in parts] == [4, 3, 3]


def _archive(path, folder, mode):
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, f"inside/{file.name}")
            label = tarfile.TarInfo(f"inside/{file.stem}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(b"7"))
    return path


@pytest.mark.parametrize("suffix, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("txz", "w:xz")])
def test_archives(folder, network, expected, tmp_path, suffix, mode):
    """WebDataset's form; what is cut off gives a reason, what comes before it a score."""
    path = _archive(tmp_path / f"a.{suffix}", folder, mode)
    rows = list(rankiqa.score_many(network, path, crops=CROPS))
    assert rows[0]["path"] == f"{path}/inside/0.png"
    assert _by_name(rows) == expected
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    rows = list(rankiqa.score_many(network, path, crops=CROPS))
    assert rows[-1]["path"] == str(path) and "expected a whole tar archive" in rows[-1]["error"]
    assert rows[0] == {"path": f"{path}/inside/0.png", **expected["0.png"]}
    (row,) = rankiqa.score_many(network, tmp_path / "none.tar", crops=CROPS)
    assert row["error"] == "expected a whole tar archive, got: No such file or directory"


def test_globs_and_lists(folder, network, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink(folder, "images")
    odd = tmp_path / "a [1] 2.png"  # a file of that name is no glob
    odd.write_bytes((folder / "1.png").read_bytes())
    rows = list(rankiqa.score_many(network, ["**/[01].png", odd.name, "*.bmp"], crops=CROPS))
    assert [row["path"] for row in rows] == ["images/0.png", "images/1.png", odd.name, "*.bmp"]
    assert rows[2]["score"] == rows[1]["score"]
    assert rows[3]["error"] == "expected a glob that matches images or archives, got none"
    lines = f"images/0.png\n\nimages/2.png 3.5\r\n{odd.name}\nnone.png 1\0images/4.png\n"
    assert list(paths_of_lines(lines.splitlines(True))) == [
        "images/0.png", "images/2.png", odd.name, "none.png", "images/4.png"
    ]  # fmt: skip


def test_reads_no_further_than_it_must(folder, network):
    """Neither images nor names pile up."""
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield ImageSource(str(number), str(folder / "0.png"))

    rows = score_sources(TorchEngine(network), endless(), ScoreSettings(crops=1), workers=2, batch=3)
    for number in range(12):
        assert next(rows)["path"] == str(number)
        assert len(taken) <= number + 2 + 3 + 3
    rows.close()


def test_another_layout_that_differs_is_not_used(folder, network, expected, monkeypatch):
    true = blocked_layout.BlockedLayout.__call__
    calls = []

    def wrong(self, x):
        calls.append(1)
        return true(self, x) * 1.0001

    monkeypatch.setattr(blocked_layout.BlockedLayout, "__call__", wrong)
    assert _by_name(rankiqa.score_many(network, folder, crops=CROPS)) == expected
    assert calls == [1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "x"}, "mode: expected crops or dense"),
        ({"crops": 0}, "crops: expected 1 or more"),
        ({"crops": 2.5}, "crops: expected 1 or more, got 2.5"),
        ({"crops": "x"}, "crops: expected 1 or more, got 'x'"),
        ({"workers": 0}, "expected 1 or more, got 0, 1"),
        ({"shard": (3, 2)}, r"shard: expected \(i, n\)"),
        ({"engine": "caffe"}, "engine: expected torch, "),
        ({"precision": "int8"}, "precision: expected fp32 or bf16"),
    ],
)
def test_wrong_settings(folder, network, options, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.score_many(network, folder, **options)


def run(*words):
    return main(["score", *map(str, words), "--crops", str(CROPS)])


@pytest.mark.parametrize("form", FORMATS)
def test_files(folder, weights, expected, tmp_path, form, capsys):
    """The rows of every kind of file; a second run adds the images that are new."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("0.png", "5.png", "text.png"):
        (images / name).write_bytes((folder / name).read_bytes())
    out = tmp_path / f"out.{form}"
    assert run(images, "--weights", weights, "--out", out, "--workers", 1) == 1
    rows = _by_name(read_rows(out))
    assert rows == {name: expected[name] for name in rows} and len(rows) == 3
    assert json.loads((tmp_path / f"out.{form}.settings.json").read_text())["crops"] == CROPS
    (images / "1.png").write_bytes((folder / "1.png").read_bytes())
    assert run(images, "--weights", weights, "--out", out, "--resume") == 1
    assert "already contains 3 images" in capsys.readouterr().err
    rows = _by_name(read_rows(out))
    assert rows == {name: expected[name] for name in rows} and len(rows) == 4
    assert sorted(os.listdir(tmp_path)) == ["images", out.name, f"{out.name}.settings.json"]


def test_names_that_are_no_text(tmp_path):
    path = os.fsdecode(b"\xff \xc3\xa9.png")
    for form in FORMATS:
        with ResultFile(tmp_path / f"o.{form}", form, {}) as file:
            file.append({"path": path, "error": "x"})
            assert file.finish() == 1
        (row,) = read_rows(tmp_path / f"o.{form}")
        assert row["path"] == (path if form != "parquet" else "\\xff é.png")
        with ResultFile(tmp_path / f"o.{form}", form, {}, resume=True) as file:
            assert file.is_done(path) and not file.is_done(path)


def test_a_run_cut_off_anywhere_goes_on(tmp_path):
    """Whatever number of bytes reached the disk: rows that are whole stay, each once."""
    rows = [{"path": f"{k}.png", "score": k / 7, "median": 0.0, "crops": 2, "seed": 0} for k in range(3)]
    out = tmp_path / "o.jsonl"
    file = ResultFile(out, "jsonl", {"crops": 2})
    begun = file.part.stat().st_size
    for row in rows:
        file.append(row)
    file.file.close()
    whole = file.part.read_bytes()
    for size in range(begun, len(whole) + 1):
        file.part.write_bytes(whole[:size])
        with ResultFile(out, "jsonl", {"crops": 2}) as again:
            assert again.rows == whole[begun:size].count(b"\n")
            for row in rows:
                if not again.is_done(row["path"]):
                    again.append(row)
            assert again.finish() == 0
        assert list(read_rows(out)) == rows


def test_killed_between_the_end_and_the_clean_up(tmp_path, monkeypatch):
    out = tmp_path / "o.csv"
    with ResultFile(out, "csv", {}) as file:
        file.append({"path": "a", "error": "x"})
        monkeypatch.setattr(type(file.part), "unlink", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            file.finish()
        monkeypatch.undo()
    with ResultFile(out, "csv", {}) as file:
        assert file.is_done("a") and file.finish() == 1
    assert sorted(os.listdir(tmp_path)) == ["o.csv", "o.csv.settings.json"]


def test_what_cannot_be_resumed(folder, weights, tmp_path, capsys):
    out = tmp_path / "o.jsonl"
    with ResultFile(out, "jsonl", {"seed": 1}) as file:
        file.append({"path": "a", "error": "x"})
        with pytest.raises(ValueError, match="expected a file that no other run is writing"):
            ResultFile(out, "jsonl", {"seed": 1})
    with pytest.raises(ValueError, match="seed 1, now 2"):
        ResultFile(out, "jsonl", {"seed": 2})
    assert run(folder, "--weights", weights, "--out", out) == 2
    assert "expected the settings of the run" in capsys.readouterr().err
    good = file.part.read_bytes()
    for content, message in [(b"", "another file"), (b"no json\n", "another file"), (good + b"x\n" + good, "line 3")]:
        file.part.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            ResultFile(out, "jsonl", {"seed": 1})
    file.part.unlink()
    out.write_text("{}")
    with pytest.raises(ValueError, match="expected the settings of a finished run"):
        ResultFile(out, "jsonl", {"seed": 1}, resume=True)
    with pytest.raises(ValueError, match="got a folder"):
        ResultFile(tmp_path, "jsonl", {})


def test_parquet_needs_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install 'rankiqa\[parquet\]'"):
        ResultFile(tmp_path / "o", "parquet", {})
    assert not list(tmp_path.iterdir())
    assert result_files.format_of("a.PQ") == "parquet" and result_files.format_of("a.txt") == "jsonl"


def test_command_line(folder, weights, expected, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder}/0.png\n{folder}/2.png 40\n"))
    assert run("-", "--weights", weights, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert _by_name(rows) == {name: expected[name] for name in ("0.png", "2.png")}
    assert run(f"{folder}/*.jpg", "--weights", weights, "--json", "--shard", "1/2") == 1
    for words, message in [
        ([f"{folder}/*.bmp"], "expected a glob that matches"),
        ([folder, "--resume"], "--resume: expected --out FILE"),
        ([folder, "--format", "parquet"], "--format parquet: expected --out FILE"),
        ([folder, "--out", folder], "expected a file to write, got a folder"),
    ]:
        assert run(*words, "--weights", weights) == 2
        assert message in capsys.readouterr().err


def test_killed_runs(folder, weights, expected, tmp_path):
    """SIGKILL while it scores, twice; then the same command ends it: every image once."""
    out = tmp_path / "o.csv"
    command = [sys.executable, "-m", "rankiqa", "score", folder, "--weights", weights, "--crops", str(CROPS)]
    for _ in range(2):
        before = out.with_name("o.csv.part").stat().st_size if out.with_name("o.csv.part").exists() else 0
        process = subprocess.Popen([*map(str, command), "--out", str(out)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            part = out.with_name("o.csv.part")
            if part.exists() and part.stat().st_size > max(before, 300):  # a row after the settings
                process.send_signal(signal.SIGKILL)
                break
        process.wait(60)
        if out.exists():  # it was faster
            break
    assert run(folder, "--weights", weights, "--out", out) == 1
    assert _by_name(read_rows(out)) == expected
