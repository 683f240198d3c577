"""The command `rankiqa show distortions`: write a contact sheet of every distortion type and level."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rankiqa.cli import progress
from rankiqa.cli.arguments import SEED, Lazy, check_results_file
from rankiqa.data.atomic_files import replacing
from rankiqa.data.headers.header import ImageError

MIN_SIDE = 32  # the block size of BW


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    show = commands.add_parser(
        "show",
        help="write pages that show what the library does",
        description="Write a page that shows what the library does.",
    )
    pages = show.add_subparsers(dest="page", required=True)
    parser = pages.add_parser(
        "distortions",
        help="every type and level on one photograph",
        description="Write one self-contained HTML page that shows every type and level of distortion on one "
        "photograph. "
        "Exit status: 0 written, 1 written without the types that cannot be made here, 2 not written (wrong options, "
        "photograph or folder).",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--image", required=True, metavar="X", type=Path, help="the photograph")
    parser.add_argument("--out", required=True, metavar="PAGE.html", type=Path, help="the page to write")
    parser.add_argument(
        "--set",
        choices=Lazy("rankiqa.distortions", "DATASETS"),
        metavar="SET",
        dest="dataset",
        help="which set's distortions to show: %(choices)s (default: every set)",
    )
    parser.add_argument("--seed", type=SEED, default=0, help="seed of everything that is random (default 0)")


def run(options: argparse.Namespace) -> int:
    """Write the page and return the exit status."""
    from rankiqa.data.extras import MissingExtra
    from rankiqa.data.photographs import read_photograph
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets.contact_sheet import page

    sets = [options.dataset] if options.dataset else list(DATASETS)
    total = sum(len(row.levels) for name in sets for row in DATASETS[name].values())
    errors: list[str] = []
    try:
        check_results_file(str(options.out), [options.image])
        image = read_photograph(_read(options.image), min_side=MIN_SIDE)
        with progress.bar(total=total, unit="picture", disable=not sys.stderr.isatty()) as bar:
            pieces = page(image, options.image.name, sets, options.seed, bar.update, errors.append)
            with (
                replacing(options.out) as temporary,
                open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,  # names may not be text
            ):
                file.writelines(pieces)
    except MissingExtra as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    except ImageError as error:
        print(f"rankiqa: {options.image}: {error}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"rankiqa: {options.out}: expected a page to write, got: {error.strerror}", file=sys.stderr)
        return 2
    for line in errors:
        print(f"rankiqa: {line}", file=sys.stderr)
    return 1 if errors else 0


def _read(path: Path) -> bytes:
    """Return the content of the photograph's file. Raise ImageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"expected a photograph, got: {error.strerror}") from None
