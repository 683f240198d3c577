"""`rankiqa lists csv`: lists from any table of images and scores, their paths and their digits."""

import json
import unicodedata
from pathlib import Path

import datasets_on_disk as on_disk
import pytest

from lib.lists_command import lines
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list

COLUMNS = ["--image", "file", "--score", "opinion", "--higher"]


def table(folder, suffix):
    """Write a table of twelve images of four references and return its path."""
    rows = [["file", "opinion", "made from", "distortion"]]
    for n in range(12):
        on_disk.touch(folder / f"d/{n}.png")
        rows.append([f"d\\{n}.png", n / 4, f"r{n % 4}", "ab"[n % 2]])
    path = folder / f"scores.{suffix}"
    if suffix == "xlsx":
        on_disk.workbook(path, {"notes": [["x"]], "scores": rows})
    else:
        on_disk.write_csv(path, rows)
        if suffix == "tsv":
            path.write_text(path.read_text().replace(",", "\t"))
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx"])
def test_any_table(tmp_path, capsys, suffix):
    path = table(tmp_path / "set", suffix)
    sheet = ["--sheet", "scores"] if suffix == "xlsx" else []
    command = ["lists", "csv", "--table", str(path), "--out", str(tmp_path / "out"), "--json", *sheet]
    words = [*command, *COLUMNS, "worse"]
    assert main([*words, "--reference", "made from", "--type", "distortion"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["direction"], summary["scale"]) == ("lower is better", [0, 2.75])
    assert {side: len(names) for side, names in summary["references"].items()} == {"train": 3, "test": 1}
    for side, columns in summary["lines"].items():
        for line, kind, reference in zip(lines(summary, side), columns["types"], columns["references"], strict=True):
            image, label = line.split()
            n = int(Path(image).stem)
            assert image == f"{tmp_path}/set/d/{n}.png" and float(label) == n / 4
            assert (kind, reference) == ("ab"[n % 2], f"r{n % 4}")
    words[words.index("worse")] = "better"
    assert main([*words, "--split", "all"]) == 0  # no references
    summary = json.loads(capsys.readouterr().out)
    assert summary["direction"] == "higher is better" and summary["split"]["by"].startswith("image")
    assert "references" not in summary and summary["lines"] == {"all": {}}


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda path: None, ["--type", "kind"], "expected a column 'kind' (--type), got file, opinion, made from"),
        (lambda path: None, ["--sheet", "x"], "--sheet: expected a workbook"),
        (lambda path: on_disk.change(path, r"0\.25", "x"), [], "line 3: expected a number, got 'x'"),
        (lambda path: on_disk.change(path, r"d.0\.png", ""), [], "line 2: expected an image in the column 'file'"),
        (lambda path: on_disk.change(path, r"r0", ""), ["--reference", "made from"], "line 2: expected a reference"),
        (lambda path: on_disk.change(path, r"d.1\.png", "d/0.png"), [], "expected each image once"),
        (lambda path: (path.parent / "d/3.png").unlink(), [], "1 of 12 missing: d/3.png; --allow-partial"),
        (lambda path: path.unlink(), [], "expected a table of comma-separated values, got: No such file"),
    ],
)
def test_tables_that_are_not(tmp_path, capsys, change, options, message):
    path = table(tmp_path / "set", "csv")
    change(path)
    out = tmp_path / "out"
    assert main(["lists", "csv", "--table", str(path), *COLUMNS, "better", "--out", str(out), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not out.exists()


def listed(tmp_path, capsys, rows, *options, folder=()):
    """Run `rankiqa lists csv` on a table of these rows and return [path, label] of each line."""
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"], *rows])
    options = ["--split", "none", *options]
    words = ["--table", str(tmp_path / "t.csv"), *COLUMNS, "better", "--out", str(tmp_path / "o")]
    assert main(["lists", "csv", *folder, *words, *options]) == 0
    capsys.readouterr()
    return [line.split() for line in (tmp_path / "o/csv_all.txt").read_text().splitlines()]


def test_tables_of_absolute_and_odd_paths(tmp_path, capsys):
    """Absolute paths stay, accents match in any normal form, and two spellings of one path are the same image."""
    names = ["a.png", "b/c.png", unicodedata.normalize("NFD", "é/ü.png"), unicodedata.normalize("NFC", "ö.png")]
    for name in names:
        on_disk.touch(tmp_path / name)
    given = [str(tmp_path / "a.png"), "./b//c.png", unicodedata.normalize("NFC", "é/ü.png"), "ö.png"]
    rows = listed(tmp_path, capsys, [[name, k] for k, name in enumerate(given)])
    assert [path for path, _ in rows] == [str(tmp_path / name) for name in names]
    assert [image for image in read_list(tmp_path / "o/csv_all.txt").paths if not Path(image).is_file()] == []
    rows = listed(
        tmp_path, capsys, [[name, k] for k, name in enumerate(given)], "--prefix", "x", folder=[str(tmp_path)]
    )
    assert [path for path, _ in rows] == [str(tmp_path / "a.png"), *(f"x/{name}" for name in names[1:])]
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"], ["a.png", 1], ["b/../a.png", 2]])
    words = ["lists", "csv", "--table", str(tmp_path / "t.csv"), *COLUMNS, "better", "--out", str(tmp_path / "p")]
    assert main(words) == 2 and "expected each image once, got twice: a.png" in capsys.readouterr().err
    on_disk.write_csv(tmp_path / "t.csv", [["file", "opinion"]])
    assert main(words) == 2 and "expected a row for each image, got none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size, label", [(1e-6, "0.0000013750"), (0.01, "0.013750"), (1.0, "1.3750"), (1e9, "1375000000.0000")]
)
def test_labels_of_any_size_keep_their_digits(tmp_path, capsys, size, label):
    for n in range(12):
        on_disk.touch(tmp_path / f"{n}.png")
    rows = listed(tmp_path, capsys, [[f"{n}.png", repr(size * n / 8)] for n in range(12)])
    assert rows[11][1] == label and len({text for _, text in rows}) == 12


def test_a_list_with_accents_finds_what_is_stored(tmp_path):
    stored = tmp_path / unicodedata.normalize("NFD", "été.png")
    on_disk.touch(stored)
    (tmp_path / "l.txt").write_text(unicodedata.normalize("NFC", "été.png 1\nnone-é.png 2\n"))
    assert read_list(tmp_path / "l.txt", tmp_path).paths == (str(stored), f"{tmp_path}/none-é.png")
