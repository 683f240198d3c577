"""Files of scores in JSON lines, CSV or Parquet, written by runs that may be killed at any moment and resumed.

During a run, its rows are in OUT.part as JSON lines, after a first line with the settings. At the end, the run writes
OUT, then OUT.settings.json, and removes OUT.part. If it is killed in between, OUT.part still exists and the next run
repeats these steps.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.json_text import parse_json
from rankiqa.data.text_files import TableWriter
from rankiqa.scoring.rows import COLUMNS, Row

JSONL, CSV, PARQUET = "jsonl", "csv", "parquet"
FORMATS = (JSONL, CSV, PARQUET)
SUFFIXES = {".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL, ".csv": CSV, ".parquet": PARQUET, ".pq": PARQUET}
NUMBERS: dict[str, Callable[[str], float]] = {"score": float, "median": float, "crops": int, "seed": int}
FORMAT = "rankiqa scores"
ROWS_AT_ONCE = 10_000  # rows per Parquet row group


def format_of(path: str | os.PathLike) -> str:
    """Return the format of a file by its extension; JSON lines for an unknown one."""
    return SUFFIXES.get(Path(path).suffix.lower(), JSONL)


def check_format(name: str) -> None:
    """Raise ValueError for an unknown format, or Parquet without pyarrow."""
    if name not in FORMATS:
        raise ValueError(f"format: expected {', '.join(FORMATS)}, got {name!r}")
    if name == PARQUET:
        need("pyarrow.parquet", "parquet", "--format parquet")


class ResultFile:
    """A file of scores that is being written. Use it as a context manager; `finish` creates the final file.

    Args:
        path: The file, OUT.
        form: One of FORMATS.
        settings: The settings that determine the scores. A run can be resumed only with the same settings.
        resume: Also continue a finished OUT, to add images to it. (An unfinished one is always continued.)

    Attributes:
        done: The number of rows by path.
        rows: The number of rows.

    Raises:
        ValueError: The rows were written with other settings, the file is of another kind, or another run is writing
            it.
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike, form: str, settings: dict, *, resume: bool = False):
        check_format(form)
        self.path, self.form, self.settings = Path(path), form, settings
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.settings_file = self.path.with_name(f"{self.path.name}.settings.json")
        self.done: Counter[str] = Counter()
        self.rows = 0
        if self.path.is_dir():
            raise ValueError(f"{self.path}: expected a file to write, got a folder")
        if not self.part.exists():
            self._begin(resume and self.path.exists())
        self.file = open(self.part, "r+b")  # noqa: SIM115  __exit__ closes it
        try:
            self._lock()
            self._take_up()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _begin(self, resume: bool) -> None:
        """Create OUT.part with the settings and, when resuming a finished file, the rows of OUT."""
        settings = self.settings
        if resume:
            try:
                settings = dict(parse_json(self.settings_file.read_bytes()))
            except (OSError, ValueError, TypeError):
                raise ValueError(
                    f"{self.path}: expected the settings of a finished run in {self.settings_file.name}, got none"
                ) from None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.part) as temporary, open(temporary, "wb") as file:
            file.write(_line({"format": FORMAT, "settings": settings}))
            for row in read_rows(self.path, settings.get("format", self.form)) if resume else ():
                file.write(_line(row))

    def _lock(self) -> None:
        """Lock OUT.part. Raise ValueError if another run has locked it."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.part}: expected a file that no other run is writing, got one in use") from None
        except OSError:  # the file system has no locks
            pass

    def _take_up(self) -> None:
        """Read the existing rows, and cut off an incomplete last line."""
        size = 0
        for number, line in enumerate(self.file, start=1):
            row = _parsed(line)
            if row is None:
                if self.file.read(1):
                    raise ValueError(f"{self.part} line {number}: expected a row of scores, got {line[:80]!r}")
                break
            if number == 1:
                self._check_settings(row)
            elif "path" not in row:
                raise ValueError(f"{self.part} line {number}: expected a row of scores, got {line[:80]!r}")
            else:
                self.done[_text(row["path"])] += 1
                self.rows += 1
            size += len(line)
        if not size:
            raise ValueError(f"{self.part}: expected rows of an unfinished run, got another file")
        self.file.seek(size)
        self.file.truncate()

    def _check_settings(self, header: Row) -> None:
        """Raise ValueError if the first line has other settings or is no line of settings."""
        settings = header.get("settings")
        if header.get("format") != FORMAT or not isinstance(settings, dict):
            raise ValueError(f"{self.part}: expected rows of an unfinished run, got another file")
        keys = {*settings, *self.settings} - {"format"}  # the format may change, since the rows do not
        differ = [
            f"{key} {settings.get(key)!r}, now {self.settings.get(key)!r}"
            for key in sorted(keys)
            if settings.get(key) != self.settings.get(key)
        ]
        if differ:
            raise ValueError(
                f"{self.part}: expected the settings of the run to resume, got other settings: "
                f"{'; '.join(differ)} (remove the file to start again)"
            )

    def is_done(self, path: str) -> bool:
        """Return whether an image has a row. Each row counts once, so that repeated paths need as many rows."""
        key = _text(path)
        if self.done[key] < 1:
            return False
        self.done[key] -= 1
        return True

    def append(self, row: Row) -> None:
        """Append a row. Once this returns, the row survives a kill of the process."""
        try:
            self.file.write(_line(row))
            self.file.flush()
        except OSError as error:  # for example a full disk
            raise OSError(error.errno, error.strerror, str(self.part)) from None
        self.rows += 1

    def finish(self, keep: Callable[[Row], object] | None = None) -> int:
        """Write OUT and OUT.settings.json, and remove OUT.part.

        Args:
            keep: Called with each row.

        Returns:
            The number of rows with an error.
        """
        failed = 0

        def counted() -> Iterator[Row]:
            nonlocal failed
            for row in _rows_of_part(self.file):
                failed += "error" in row
                if keep:
                    keep(row)
                yield row

        with replacing(self.path) as temporary:
            _WRITERS[self.form](temporary, counted(), self.settings)
        with replacing(self.settings_file) as temporary:
            settings = self.settings | {"format": self.form}
            temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        self.part.unlink()
        return failed


def _line(row: Row) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"  # ASCII, since file names may not be valid text


def _parsed(line: bytes) -> Row | None:
    """Return the row or the settings of a line; None if the line is incomplete or another one."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    row = row if line.endswith(b"\n") and isinstance(row, dict) else {}
    return row if isinstance(row.get("path", ""), str) and {"path", "settings"} & set(row) else None


def _rows_of_part(file: BinaryIO) -> Iterator[Row]:
    """Yield the rows of OUT.part."""
    file.seek(0)
    file.readline()  # skip the settings
    for line in file:
        yield json.loads(line)


def _write_jsonl(path: Path, rows: Iterator[Row], settings: dict) -> None:
    with open(path, "wb") as file:
        file.writelines(_line(row) for row in rows)


def _write_csv(path: Path, rows: Iterator[Row], settings: dict) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = TableWriter(file, COLUMNS)
        for row in rows:
            table.write(row)


def _write_parquet(path: Path, rows: Iterator[Row], settings: dict) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"score": pa.float64(), "median": pa.float64(), "crops": pa.int64(), "seed": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    schema = schema.with_metadata({"rankiqa": json.dumps(settings)})
    with pq.ParquetWriter(path, schema) as writer:
        group: list[Row] = []
        for row in rows:
            group.append({key: _text(value) if isinstance(value, str) else value for key, value in row.items()})
            if len(group) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _text(path: str) -> str:
    r"""Return a text as Parquet can store it: bytes that are not valid text become \xNN."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_WRITERS = {JSONL: _write_jsonl, CSV: _write_csv, PARQUET: _write_parquet}


def read_rows(path: str | os.PathLike, form: str | None = None) -> Iterator[Row]:
    """Yield the rows of a finished file, in the form of `score_many`.

    Args:
        path: The file.
        form: One of FORMATS; None: by the extension.

    Yields:
        The rows.

    Raises:
        ValueError: For another file, or a missing extra.
    """
    form = form or format_of(path)
    check_format(form)
    try:
        yield from {JSONL: _read_jsonl, CSV: _read_csv, PARQUET: _read_parquet}[form](Path(path))
    except OSError as error:
        raise ValueError(f"{path}: expected a file of scores, got: {error.strerror or error}") from None


def _read_jsonl(path: Path) -> Iterator[Row]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            row = _parsed(line)
            if row is None:
                raise ValueError(f"{path} line {number}: expected a row of scores, got {line[:80]!r}")
            yield row


def _read_csv(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if not row.get("path"):
                raise ValueError(f"{path} line {number}: expected a row of scores, got no path")
            yield {key: NUMBERS.get(key, str)(value) for key, value in row.items() if key in COLUMNS and value}


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for group in file.iter_batches(ROWS_AT_ONCE):
                for row in group.to_pylist():
                    yield {key: value for key, value in row.items() if value is not None}
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: expected a Parquet file, got: {' '.join(str(error).split())}") from None
