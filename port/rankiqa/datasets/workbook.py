"""Read sheets of .xlsx workbooks by openpyxl (extra `data`): values only; formulas, links and macros are not run."""

from __future__ import annotations

import os
import warnings
import zipfile

from rankiqa.data.extras import MissingExtra, need

MAX_BYTES = 1 << 26  # of an unpacked part; CSIQ's whole workbook is much smaller
MAX_CELLS = 1 << 24  # including empty ones in between, since a small file can contain a cell at a very high position
Cell = object  # a text, a number, a boolean, a date, or None


def rows(path: str | os.PathLike, sheet: str | None = None) -> list[tuple[Cell, ...]]:
    """Read the rows of a sheet.

    Args:
        path: The workbook.
        sheet: The name of the sheet; None: the first sheet.

    Returns:
        The cells of each row from column A on, None if empty. For a formula, the stored value.

    Raises:
        ValueError: The file is no workbook, is damaged, lacks the sheet or is too large when unpacked, or openpyxl is
            missing (the message tells how to install it).
    """
    openpyxl = need("openpyxl", "data", os.fspath(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about styles and extensions, which are not read
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
    except Exception as error:  # for damaged files, zipfile, zlib, expat and openpyxl raise many types of errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected an .xlsx workbook, got: {reason}") from None


class _NoSheet(ValueError):
    pass


def _read(sheet) -> list[tuple[Cell, ...]]:
    """Return the rows of a sheet."""
    sheet.reset_dimensions()  # the size that the file states may be wrong
    rows, cells = [], 0
    for row in sheet.iter_rows(values_only=True):
        cells += len(row) + 1
        if cells > MAX_CELLS:
            raise ValueError(f"a sheet of more than {MAX_CELLS} cells")
        rows.append(tuple(row))
    return rows


def text(cell: Cell) -> str:
    """Return a cell as text: "" if empty, whole numbers without a point, since Excel turns a name like 1600 into a
    number."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell).strip()


def table(path: str | os.PathLike, sheet: str | None = None) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Read a sheet whose first non-empty row names the columns.

    Args:
        path: The workbook.
        sheet: The name of the sheet; None: the first sheet.

    Returns:
        (columns, rows) in the form of `rankiqa.data.text_files.read_table`.

    Raises:
        ValueError: As for `rows`, and for a repeated column name.
    """
    columns, records = [], []
    for n, row in enumerate(rows(path, sheet), start=1):
        cells = [text(cell) for cell in row]
        if not any(cells):
            continue
        if not columns:
            columns = cells
            if repeated := sorted({name for name in columns if name and columns.count(name) > 1}):
                raise ValueError(f"{path} row {n}: expected each column once, got {', '.join(map(repr, repeated))}")
            continue
        cells += [""] * (len(columns) - len(cells))
        records.append((f"{path} row {n}", {name: cell for name, cell in zip(columns, cells) if name}))
    return [name for name in columns if name], records
