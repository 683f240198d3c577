"""Text files as people have them: one reader for lists, labels and tables.

Encoding: UTF-8 with or without its mark (BOM), UTF-16 and UTF-32 with their marks, whatever the locale says. Bytes in
another encoding (Latin-1, Windows' 1252, GBK ..) are refused with the first line that has them: which of these it is
cannot be told from the bytes, and a wrong guess would look for an image by a wrong name.

Lines: Unix's, Windows' or old Macintosh's ends; empty lines and comments (#) are skipped. Line numbers in errors are
the file's own.
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

MAX_BYTES = 1 << 28  # a list of a million images has some 60 MB
DELIMITERS = ",;\t"  # of a table's columns
_MARKS = (  # UTF-32's begins with UTF-16's
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
        where: The file and the line's number, for messages.
        text: Without its end and blanks round it.
    """

    where: str
    text: str


def read_text(path: str | os.PathLike, expected: str = "a text file", max_bytes: int = MAX_BYTES) -> str:
    """Read a text file, ends of lines as "\\n".

    Args:
        path: The file.
        expected: What the file should be, for messages.
        max_bytes: The size above which it is refused.

    Returns:
        The text, without a mark (BOM).

    Raises:
        ValueError: For a file that cannot be read, is too large, is no text, or is in another encoding; the message
            names the first bad line.
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
    """The error that names the line where decoding fails. before: the text up to there."""
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
    """The lines of a text file without empty ones and comments (`#` first). Raises ValueError as `read_text` does."""
    return lines_of(path, read_text(path, expected))


def lines_of(path: str | os.PathLike, text: str, keep: Callable[[str], bool] = lambda _: False) -> list[Line]:
    """The lines of a text that `read_text` gave, as `read_lines` gives them.

    Args:
        path: The file, for `Line.where`.
        text: Its text.
        keep: Whether a line that begins with # is no comment.
    """
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [
        Line(f"{path} line {number}", line)
        for number, line in stripped
        if line and (not line.startswith("#") or keep(line))
    ]


def number(text: object, where: str) -> float:
    """A finite number from its text.

    Args:
        text: Digits with a point, perhaps an exponent, or a number from a workbook.
        where: The file and line, for the message.

    Raises:
        ValueError: For anything else, "1_000", "0,5" and "nan" included.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        try:
            text = repr(float(text))
        except OverflowError:  # of an integer with hundreds of digits
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
    """A table of text: a header, then a row a line; columns between commas, semicolons or tabs, perhaps in quotes.

    Args:
        path: A .csv, .tsv or .txt.

    Returns:
        The columns' names, blanks round them taken off; and (file and line, {column: text}) of each row.

    Raises:
        ValueError: For no text, no header, a column's name that comes twice, or a row of another length.
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
    """The names of a table's columns; none where there is no such file."""
    try:
        _, _, cells = next(_cells(path, read_text(path)), (0, "", []))
    except ValueError:
        return []
    return [cell.strip() for cell in cells]


class TableWriter:
    """Writes a table as CSV, lines ended by "\\n", to a file that was opened with newline="".

    A cell with a carriage return is in quotes, which Python's csv before 3.13 forgets: it would end the row there.

    Args:
        file: Takes the text.
        columns: The header, which is written at once.
    """

    def __init__(self, file: TextIO, columns: Sequence[str]):
        self.plain = csv.DictWriter(file, columns, lineterminator="\n")
        self.quoted = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.plain.writeheader()

    def write(self, row: Mapping[str, object]) -> None:
        """Write a row; a column that it lacks is empty."""
        returns = any(isinstance(cell, str) and "\r" in cell for cell in row.values())
        (self.quoted if returns else self.plain).writerow(row)


def _cells(path: object, text: str):
    """(number of the first line, its text, cells) of each row of a table; empty lines and comments are left out."""
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
