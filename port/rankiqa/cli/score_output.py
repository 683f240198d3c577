"""Output of `rankiqa score`: rows on stdout as they arrive, or rows in a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rankiqa.cli import progress

if TYPE_CHECKING:
    from rankiqa.cli.score_inputs import Inputs
    from rankiqa.data.image_sources import ImageSource
    from rankiqa.scoring.result_files import ResultFile
    from rankiqa.scoring.rows import Row


def say(text: str) -> None:
    """Print a line on stderr."""
    print(f"rankiqa: {text}", file=sys.stderr)


class _Printer:
    """Prints rows on stdout as JSON lines, CSV or plain text."""

    def __init__(self, form: str | None):
        from rankiqa.data.text_files import TableWriter
        from rankiqa.scoring.rows import COLUMNS

        self.json = form == "jsonl"
        self.csv = TableWriter(sys.stdout, COLUMNS) if form == "csv" else None

    def __call__(self, row: Row) -> None:
        if self.json:
            print(json.dumps(row))  # ASCII, so that any file name can be printed in any encoding
        elif self.csv:
            self.csv.write(row)
        elif "error" in row:
            print(f"{row['path']}: {row['error']}", file=sys.stderr)
        else:
            note = f"  ({row['note']})" if "note" in row else ""
            print(f"{row['score']:12.5f}  median {row['median']:.5f}  {row['path']}{note}")
        sys.stdout.flush()


Keep = Callable[["Row"], object]


def print_rows(rows: Iterator[Row], form: str | None, total: int | None, keep: Keep | None = None) -> int:
    """Print rows and return the exit status.

    Args:
        rows: The rows to print.
        form: "jsonl", "csv", or None for plain text.
        total: The number of rows, if it is known.
        keep: Called with each row.

    Returns:
        1 if a row has an error, else 0.
    """
    from tqdm import tqdm

    show, failed = _Printer(form), 0
    bar = tqdm(rows, unit="image", total=total, disable=not sys.stderr.isatty() or total == 1)
    for row in bar:
        failed += "error" in row
        bar.clear()
        show(row)
        if keep:
            keep(row)
    return 1 if failed else 0


def write_rows(
    score: Callable[[Iterator[ImageSource]], Iterator[Row]], inputs: Inputs, out: ResultFile, keep: Keep | None = None
) -> int:
    """Score the images that the file does not contain yet, and return the exit status.

    Args:
        score: Returns the rows of images.
        inputs: All images.
        out: The file.
        keep: Called with each row of the finished file.

    Returns:
        1 if a row has an error, else 0.
    """
    if out.rows:
        say(f"{out.part}: already contains {out.rows} images")
    missing = (source for source in inputs if not out.is_done(source.name))
    left = None if inputs.total is None else max(0, inputs.total - out.rows)
    for row in progress.bar(score(missing), unit="image", total=left):
        out.append(row)
    failed = out.finish(keep)
    say(f"{out.path}: {out.rows} images, {failed} without a score")
    return 1 if failed else 0
