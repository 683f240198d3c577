"""Files of scores: every format, resumed runs, killed runs, and what cannot be resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lib.scored_folder import CROPS, rows_by_name, run
from rankiqa.scoring import result_files
from rankiqa.scoring.result_files import FORMATS, ResultFile, read_rows


@pytest.mark.parametrize("form", FORMATS)
def test_files(scored_folder, weights, expected_rows, tmp_path, form, capsys):
    """Every format has the right rows; a second run adds the new images."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("0.png", "5.png", "text.png"):
        (images / name).write_bytes((scored_folder / name).read_bytes())
    out = tmp_path / f"out.{form}"
    assert run(images, "--weights", weights, "--out", out, "--workers", 1) == 1
    rows = rows_by_name(read_rows(out))
    assert rows == {name: expected_rows[name] for name in rows} and len(rows) == 3
    assert json.loads((tmp_path / f"out.{form}.settings.json").read_text())["crops"] == CROPS
    (images / "1.png").write_bytes((scored_folder / "1.png").read_bytes())
    assert run(images, "--weights", weights, "--out", out, "--resume") == 1
    assert "already contains 3 images" in capsys.readouterr().err
    rows = rows_by_name(read_rows(out))
    assert rows == {name: expected_rows[name] for name in rows} and len(rows) == 4
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
    """Complete rows survive, each once, for any number of bytes that reached the disk."""
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


def test_what_cannot_be_resumed(scored_folder, weights, tmp_path, capsys):
    out = tmp_path / "o.jsonl"
    with ResultFile(out, "jsonl", {"seed": 1}) as file:
        file.append({"path": "a", "error": "x"})
        with pytest.raises(ValueError, match="expected a file that no other run is writing"):
            ResultFile(out, "jsonl", {"seed": 1})
    with pytest.raises(ValueError, match="seed 1, now 2"):
        ResultFile(out, "jsonl", {"seed": 2})
    assert run(scored_folder, "--weights", weights, "--out", out) == 2
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


def test_killed_runs(scored_folder, weights, expected_rows, tmp_path):
    """After two runs that were killed during scoring, the same command completes; every image has one row."""
    out = tmp_path / "o.csv"
    command = [sys.executable, "-m", "rankiqa", "score", scored_folder, "--weights", weights, "--crops", str(CROPS)]
    for _ in range(2):
        before = out.with_name("o.csv.part").stat().st_size if out.with_name("o.csv.part").exists() else 0
        process = subprocess.Popen([*map(str, command), "--out", str(out)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            part = out.with_name("o.csv.part")
            if part.exists() and part.stat().st_size > max(before, 300):  # at least one row after the settings
                process.send_signal(signal.SIGKILL)
                break
        process.wait(60)
        if out.exists():  # the run finished before it was killed
            break
    assert run(scored_folder, "--weights", weights, "--out", out) == 1
    assert rows_by_name(read_rows(out)) == expected_rows
