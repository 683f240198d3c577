"""A sheet of an .xlsx workbook, read with the standard library: values only, no formulas, links or macros."""

from __future__ import annotations

import os
import posixpath
import re
import zipfile
from xml.etree import ElementTree

MOST = 1 << 26  # bytes of one part, unpacked; CSIQ's whole workbook is far below
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_CELL = re.compile(r"([A-Z]{1,3})[0-9]+")


def rows(path: str | os.PathLike, sheet: str) -> list[dict[int, str | float]]:
    """The rows of a sheet: {column, from 0: text or number}, empty cells left out.

    Raises ValueError for a file that is no workbook, is damaged, lacks the sheet, or defines XML entities.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = set(archive.namelist())
            name = _sheet(archive, path, sheet)
            texts = []
            if "xl/sharedStrings.xml" in parts:
                shared = _xml(archive, "xl/sharedStrings.xml")
                texts = [_text(one) for one in shared.iter(f"{MAIN}si")]
            return [_row(row, texts) for row in _xml(archive, name).iter(f"{MAIN}row")]
    except Exception as error:  # zipfile, zlib and expat raise many kinds on damaged files
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: expected an .xlsx workbook, got: {error}") from None


def _sheet(archive: zipfile.ZipFile, path: object, sheet: str) -> str:
    """The part of the archive that holds a sheet."""
    book = _xml(archive, "xl/workbook.xml")
    sheets = {one.get("name"): one.get(RELATION) for one in book.iter(f"{MAIN}sheet")}
    if sheet not in sheets:
        raise ValueError(f"{path}: expected a sheet {sheet}, got {', '.join(map(str, sheets))}")
    for one in _xml(archive, "xl/_rels/workbook.xml.rels"):
        if one.get("Id") == sheets[sheet]:
            return posixpath.normpath(posixpath.join("/xl", one.get("Target", ""))).lstrip("/")
    raise ValueError(f"{path}: expected the part of sheet {sheet}, got none")


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    with archive.open(name) as part:
        data = part.read(MOST + 1)  # the directory's own size may lie
    if len(data) > MOST:
        raise ValueError(f"{name} is above {MOST >> 20} MiB")
    text = data.decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities that unfold or read files: no workbook needs one
        raise ValueError(f"{name} defines a document type")
    return ElementTree.fromstring(text.encode())


def _text(element: ElementTree.Element) -> str:
    """The text of a shared or inline string, its phonetic hints left out."""
    runs = [element, *element.findall(f"{MAIN}r")]
    return "".join(one.findtext(f"{MAIN}t") or "" for one in runs)


def _row(row: ElementTree.Element, texts: list[str]) -> dict[int, str | float]:
    found: dict[int, str | float] = {}
    column = -1
    for cell in row.iter(f"{MAIN}c"):
        match = _CELL.fullmatch(cell.get("r", ""))
        column = _column(match[1]) if match else column + 1
        kind, value = cell.get("t", "n"), cell.findtext(f"{MAIN}v")
        if kind == "inlineStr" and (inline := cell.find(f"{MAIN}is")) is not None:
            found[column] = _text(inline)
        elif value is None:
            continue
        elif kind == "s":
            found[column] = texts[int(value)]
        elif kind == "n":
            found[column] = float(value)
        else:  # a formula's text, a truth value, an error such as #REF!
            found[column] = value
    return found


def _column(letters: str) -> int:
    """A is 0, Z 25, AA 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
