"""Read text files of various origins: lists, labels and tables.

Encoding: UTF-8 with or without a byte order mark (BOM), UTF-16 and UTF-32 with one, independent of the locale. Other
encodings (Latin-1, Windows-1252, GBK ..) are refused, and the error names the first line that contains such bytes. The
bytes do not determine the encoding, and a wrong guess would give a wrong file name.

Lines: Unix, Windows or old Macintosh line ends. Empty lines and comments (#) are skipped. Errors give the line number
in the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

MAX_BYTES = 1 << 28  # a list of a million images has about 60 MB
DELIMITERS = ",;\t"  # between the columns of a table
_MARKS = (  # UTF-32 comes before UTF-16, because its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


@dataclass(frozen=True)
class Line:
    """A line of a text file.

    Attributes:
        where: The file and the line number, for error messages.
        text: The text without line end and surrounding blanks.
    """

    where: str
    text: str


def read_text(path: str | os.PathLike, expected: str = "a text file", max_bytes: int = MAX_BYTES) -> str:
    """Read a text file.

    Args:
        path: The file.
        expected: A description of the expected content, for error messages.
        max_bytes: The maximum size; a larger file is refused.

    Returns:
        The text without a byte order mark, with line ends "\\n".

    Raises:
        ValueError: If the file cannot be read, is too large, is not text, or has another encoding; the message names
            the first bad line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        raise ValueError(f"{path}: expected {expected}, got: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > max_bytes:
        raise ValueError(f"{path}: expected {expected} of at most {max_bytes} bytes, got a larger one")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = data[len(mark) : len(mark) + error.start].decode(encoding, errors="ignore")
        raise _undecodable(path, expected, before, data[len(mark) :][error.start : error.start + 8], encoding) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        hint = "a NUL character: a binary file, or UTF-16 without its mark"
        raise ValueError(f"{path} line {number}: expected {expected}, got {hint}")
    return text


def _undecodable(path: object, expected: str, before: str, bad: bytes, encoding: str) -> ValueError:
    """Return an error that names the line where decoding fails; `before` is the text before that position."""
    text = before.replace("\r\n", "\n").replace("\r", "\n")
    number, start = text.count("\n") + 1, text.rsplit("\n", 1)[-1]
    if not encoding.startswith("utf-16"):
        bad = bad.split(b"\n")[0]
    if before == "\x1f" and bad.startswith(b"\x8b"):
        return ValueError(f"{path}: expected {expected}, got a gzip file (gunzip unpacks it)")
    hint = "" if encoding != "utf-8" else " (Latin-1, GBK or binary? `iconv -f LATIN1 -t UTF-8` converts a text)"
    return ValueError(
        f"{path} line {number}: expected {expected} in {encoding.upper()}, got the bytes {bad!r} after "
        f"{start[-40:]!r}{hint}"
    )


def read_lines(path: str | os.PathLike, expected: str = "a text file") -> list[Line]:
    """Return the lines of a text file without empty lines and comments (`#`). Raises ValueError like `read_text`."""
    return lines_of(path, read_text(path, expected))


def lines_of(path: str | os.PathLike, text: str, keep: Callable[[str], bool] = lambda _: False) -> list[Line]:
    """Split a text from `read_text` into lines like `read_lines`.

    Args:
        path: The file, for `Line.where`.
        text: The file's text.
        keep: A function that returns whether a line that begins with # is not a comment.
    """
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [
        Line(f"{path} line {number}", line)
        for number, line in stripped
        if line and (not line.startswith("#") or keep(line))
    ]


def number(text: object, where: str) -> float:
    """Parse a finite number.

    Args:
        text: Decimal digits, optionally with a point and an exponent, or a number from a workbook.
        where: The file and line, for error messages.

    Raises:
        ValueError: For anything else, including "1_000", "0,5" and "nan".
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        try:
            text = repr(float(text))
        except OverflowError:  # an integer with hundreds of digits
            raise ValueError(f"{where}: expected a number that a float64 holds, got a larger one") from None
    shown = text.strip() if isinstance(text, str) else ""
    if NOT_FINITE.fullmatch(shown):
        raise ValueError(f"{where}: expected a finite number, got {text!r}")
    if not NUMBER.fullmatch(shown):
        hint = " (a decimal comma? a point is expected)" if _DECIMAL_COMMA.fullmatch(shown) else ""
        raise ValueError(f"{where}: expected a number, got {text!r}{hint}")
    value = float(shown)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{where}: expected a finite number, got {text!r}")
    return value


def read_table(path: str | os.PathLike) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Read a text table with a header and one row per line. Commas, semicolons or tabs separate the columns.

    Args:
        path: A .csv, .tsv or .txt file. Its cells may be in quotes.

    Returns:
        The column names without surrounding blanks, and (file and line, {column: text}) for each row.

    Raises:
        ValueError: If the file is not text, a column name occurs twice, or a row has another length than the header.
    """
    text = read_text(path, "a table of comma-separated values")
    rows, columns = [], []
    for start, line, cells in _cells(path, text):
        if not columns:
            columns = [cell.strip() for cell in cells]
            columns = columns[: max((n for n, name in enumerate(columns, start=1) if name), default=0)]
            if twice := sorted({name for name in columns if columns.count(name) > 1}):
                raise ValueError(f"{path} line {start}: expected each column once, got {', '.join(map(repr, twice))}")
            continue
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            got = f"{len(cells)}: {line[:80]!r}"
            raise ValueError(f"{path} line {start}: expected {len(columns)} columns as in the header, got {got}")
        rows.append((f"{path} line {start}", dict(zip(columns, (cell.strip() for cell in cells)))))
    return columns, rows


def header_of(path: str | os.PathLike) -> list[str]:
    """Return the column names of a table; an empty list if it cannot be read."""
    try:
        _, _, cells = next(_cells(path, read_text(path)), (0, "", []))
    except ValueError:
        return []
    return [cell.strip() for cell in cells]


class TableWriter:
    """A writer of CSV tables with line ends "\\n", for a file that was opened with newline="".

    It quotes cells that contain a carriage return. Python's csv before 3.13 does not, and a reader would end the row
    there.

    Args:
        file: The open file.
        columns: The header, which is written immediately.
    """

    def __init__(self, file: TextIO, columns: Sequence[str]):
        self.plain = csv.DictWriter(file, columns, lineterminator="\n")
        self.quoted = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.plain.writeheader()

    def write(self, row: Mapping[str, object]) -> None:
        """Write a row. Missing columns are left empty."""
        returns = any(isinstance(cell, str) and "\r" in cell for cell in row.values())
        (self.quoted if returns else self.plain).writerow(row)


def _cells(path: object, text: str):
    """Yield (number of the first line, its text, cells) for each row of a table, without empty lines and comments."""
    lines = text.split("\n")
    header = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    before = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = f"{path} line {before + 1}"
            raise ValueError(f"{where}: expected comma-separated values, got: {error}") from None
        start, before = before + 1, reader.line_num
        if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
            yield start, lines[start - 1], cells
