"""The reader of .xlsx workbooks: cells of every type, and one-line errors for other files."""

import sys
import time
import zipfile

import datasets_on_disk as on_disk
import pytest

from rankiqa.datasets import workbook


def test_workbook(tmp_path):
    on_disk.workbook(tmp_path / "a.xlsx", {"x": [["no"]], "y z": [["a", None, 1.5], [], ["<&>", 2, "é", True]]})
    assert workbook.rows(tmp_path / "a.xlsx", "y z") == [("a", None, 1.5), (), ("<&>", 2, "é", True)]
    assert workbook.rows(tmp_path / "a.xlsx") == [("no",)]
    with pytest.raises(ValueError, match="expected a sheet q, got x, y z"):
        workbook.rows(tmp_path / "a.xlsx", "q")


def test_a_workbook_as_a_table(tmp_path):
    rows = [[], ["image", "mos", None, "note"], [1600, 2.0, 7], ["b.png", 0.25, None, "x"], [None, None]]
    on_disk.workbook(tmp_path / "a.xlsx", {"x": rows})
    columns, rows_read = workbook.table(tmp_path / "a.xlsx")
    assert columns == ["image", "mos", "note"]
    assert [row for _, row in rows_read] == [
        {"image": "1600", "mos": "2", "note": ""}, {"image": "b.png", "mos": "0.25", "note": "x"},
    ]  # fmt: skip
    assert rows_read[1][0].endswith("a.xlsx row 4")
    on_disk.workbook(tmp_path / "a.xlsx", {"x": [["image", "image"]]})
    with pytest.raises(ValueError, match="row 1: expected each column once, got 'image'"):
        workbook.table(tmp_path / "a.xlsx")


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    on_disk.workbook(tmp_path / "a.xlsx", {"x": [["a"]]})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ValueError, match=r"a\.xlsx: expected the package openpyxl \(pip install 'rankiqa\[data\]'\)"):
        workbook.rows(tmp_path / "a.xlsx")


def put(path, part, data):
    """Replace one part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, old in parts.items():
            archive.writestr(name, data if name == part else old)


BOMB = '<!DOCTYPE x [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "part, data",
    [
        ("xl/worksheets/sheet1.xml", BOMB + "]><worksheet>&i;</worksheet>"),
        ("xl/worksheets/sheet1.xml", "<worksheet"),
        ("xl/worksheets/sheet1.xml", b" " * (workbook.MAX_BYTES + 1)),
        ("xl/workbook.xml", "<workbook/>"),
        ("xl/_rels/workbook.xml.rels", "<x/>"),
    ],
)
def test_workbooks_that_are_none(tmp_path, part, data):
    """Exploding entities, damage and oversized parts give a one-line error within seconds."""
    path = tmp_path / "a.xlsx"
    on_disk.workbook(path, {"s": [["a", 1]]})
    put(path, part, data)
    begin = time.monotonic()
    with pytest.raises(ValueError, match=r"a\.xlsx: expected ") as error:
        workbook.rows(path, "s")
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert time.monotonic() - begin < 20


def test_a_workbook_reads_no_other_file(tmp_path):
    (tmp_path / "secret").write_text("secret")
    entity = f'<!DOCTYPE x [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>'
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    cell = '<c r="A1" t="inlineStr"><is><t>&s;</t></is></c>'
    on_disk.workbook(tmp_path / "a.xlsx", {"s": [["a"]]})
    sheet = f"{entity}<worksheet {main}><sheetData><row>{cell}</row></sheetData></worksheet>"
    put(tmp_path / "a.xlsx", "xl/worksheets/sheet1.xml", sheet)
    try:
        rows_read = workbook.rows(tmp_path / "a.xlsx")
    except ValueError:
        return
    assert "secret" not in str(rows_read)


def test_a_cell_far_away_takes_no_memory(tmp_path):
    on_disk.workbook(tmp_path / "a.xlsx", {"s": [["a"]]})
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 1200))
    put(tmp_path / "a.xlsx", "xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>")
    with pytest.raises(ValueError, match="a sheet of more than"):
        workbook.rows(tmp_path / "a.xlsx")


def test_a_workbook_that_is_cut_off(tmp_path):
    path = tmp_path / "a.xlsx"
    on_disk.workbook(path, {"s": [["a", 1]] * 500})
    data = path.read_bytes()
    for cut in (0, 3, 100, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"expected an \.xlsx workbook"):
            workbook.rows(path, "s")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(ValueError, match=r"expected an \.xlsx workbook"):
        workbook.rows(path, "s")
