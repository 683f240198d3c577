"""Sheets of .xlsx workbooks, by openpyxl (the extra `data`): values only; formulas, links and macros are not run."""

from __future__ import annotations

import os
import warnings
import zipfile

from rankiqa.data.extras import MissingExtra, need

MAX_BYTES = 1 << 26  # of one part, unpacked; CSIQ's whole workbook is far below
MAX_CELLS = 1 << 24  # empty ones between others included: a small file can name a cell far away
Cell = object  # text, a number, a truth value, a date, or None


def rows(path: str | os.PathLike, sheet: str | None = None) -> list[tuple[Cell, ...]]:
    """Read the rows of a sheet.

    Args:
        path: The workbook.
        sheet: The sheet's name; None: the first.

    Returns:
        The cells of each row from column A on, None where empty. A formula's cell has the value that was stored.

    Raises:
        ValueError: For a file that is no workbook, is damaged, lacks the sheet, or is too large when unpacked; and
            where openpyxl is missing, with the line that installs it.
    """
    openpyxl = need("openpyxl", "data", os.fspath(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are not read
            with zipfile.ZipFile(path) as archive:
                large = [part.filename for part in archive.infolist() if part.file_size > MAX_BYTES]
            if large:
                raise ValueError(f"{large[0]} is above {MAX_BYTES >> 20} MiB")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                if sheet is not None and sheet not in book.sheetnames:
                    raise _NoSheet(f"{path}: expected a sheet {sheet}, got {', '.join(book.sheetnames)}")
                chosen = book.worksheets[0] if sheet is None else book[sheet]
                return _read(chosen)
            finally:
                book.close()
    except (_NoSheet, MissingExtra):
        raise
    except Exception as error:  # zipfile, zlib, expat and openpyxl raise many kinds on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected an .xlsx workbook, got: {reason}") from None


class _NoSheet(ValueError):
    pass


def _read(sheet) -> list[tuple[Cell, ...]]:
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    rows, cells = [], 0
    for row in sheet.iter_rows(values_only=True):
        cells += len(row) + 1
        if cells > MAX_CELLS:
            raise ValueError(f"a sheet of more than {MAX_CELLS} cells")
        rows.append(tuple(row))
    return rows


def text(cell: Cell) -> str:
    """A cell as text: "" for an empty one; a whole number has no point, since Excel makes a number of a name 1600."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell).strip()


def table(path: str | os.PathLike, sheet: str | None = None) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Read a sheet whose first row in use names the columns; the same as `rankiqa.data.text_files.read_table` gives.

    Args:
        path: The workbook.
        sheet: The sheet's name; None: the first.

    Raises:
        ValueError: As `rows` does, and for a column's name that comes twice.
    """
    columns, records = [], []
    for n, row in enumerate(rows(path, sheet), start=1):
        cells = [text(cell) for cell in row]
        if not any(cells):
            continue
        if not columns:
            columns = cells
            if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
                raise ValueError(f"{path} row {n}: expected each column once, got {', '.join(map(repr, twice))}")
            continue
        cells += [""] * (len(columns) - len(cells))
        records.append((f"{path} row {n}", {name: cell for name, cell in zip(columns, cells) if name}))
    return [name for name in columns if name], records
