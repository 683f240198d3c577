"""`rankiqa show distortions`: a contact sheet of every type and level."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rankiqa.cli.arguments import SEED
from rankiqa.data.atomic_files import replacing

MIN_SIDE = 32  # a block of BW
SETS = {"live": ["live"], "tid2013": ["tid2013"], "both": ["live", "tid2013"]}


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    things = commands.add_parser("show", help="pages to look at", description="Pages to look at.")
    things = things.add_subparsers(dest="thing", required=True)
    one = things.add_parser(
        "distortions",
        help="every type and level on one photograph",
        description="One HTML page, complete in itself: every type and level of distortion on one photograph. Exit "
        "status: 0 written, 1 written but for types that cannot be made here, 2 not (options, photograph, folder).",
    )
    one.set_defaults(run=run)
    one.add_argument("--image", required=True, metavar="X", type=Path)
    one.add_argument("--out", required=True, metavar="PAGE.html", type=Path)
    one.add_argument("--set", choices=sorted(SETS), default="both", dest="dataset", help="default: both")
    one.add_argument("--seed", type=SEED, default=0, help="of what is random (default 0)")


def run(options: argparse.Namespace) -> int:
    """Write the page; returns the exit status."""
    from tqdm import tqdm

    from rankiqa.data.photographs import read_photograph
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets.contact_sheet import page

    sets = SETS[options.dataset]
    total = sum(len(row.levels) for name in sets for row in DATASETS[name].values())
    missing: list[str] = []
    try:
        image = read_photograph(_read(options.image), min_side=MIN_SIDE)
        with (
            tqdm(total=total, unit="picture", disable=not sys.stderr.isatty()) as bar,
            replacing(options.out) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,  # file names need not be text
        ):
            for piece in page(image, options.image.name, sets, options.seed, bar.update, missing.append):
                file.write(piece)
    except ValueError as error:
        print(f"rankiqa: {options.image}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"rankiqa: {options.out}: expected a page to write, got: {error.strerror}", file=sys.stderr)
        return 2
    for words in missing:
        print(f"rankiqa: {words}", file=sys.stderr)
    return 1 if missing else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"expected a photograph, got: {error.strerror}") from None
