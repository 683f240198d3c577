"""`rankiqa score`: scores of image files."""

from __future__ import annotations

import argparse
import csv
import json
import sys

from rankiqa.cli.arguments import SEED, int_in_range, usable_device
from rankiqa.models import memory

COLUMNS = ("path", "score", "median", "crops", "seed", "error", "note")


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    one = commands.add_parser(
        "score",
        help="score images",
        description="Score images with converted weights: the mean over random crops. Exit status: 0 all scored, "
        "1 some image could not be, 2 nothing was (options, weights).",
    )
    one.set_defaults(run=run)
    one.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder of images")
    one.add_argument("--recursive", action="store_true", help="also the images of folders inside a folder")
    one.add_argument("--weights", required=True, metavar="W", help="a .safetensors from conversion/convert.py")
    one.add_argument("--crops", type=int_in_range(1, 100_000), default=30, help="random crops an image (default 30)")
    one.add_argument("--seed", type=SEED, default=0, help="of the crops, anew for each image (default 0)")
    one.add_argument("--device", default="cpu", help="where the network runs: cpu (default), cuda, cuda:1 ..")
    one.add_argument(
        "--strict",
        action="store_true",
        help="refuse images that are not 8-bit colour, or of which the original's reader drops something (alpha, high "
        "bits, a colour profile, further frames); without it, a note says what was dropped",
    )
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    form.add_argument("--csv", action="store_true", help=f"CSV: {','.join(COLUMNS)}")


class _Printer:
    """Rows to stdout as they come: JSON lines, CSV or plain text."""

    def __init__(self, options):
        self.json = options.json
        self.csv = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n") if options.csv else None
        if self.csv:
            self.csv.writeheader()

    def __call__(self, row: dict) -> None:
        if self.json:
            print(json.dumps(row))  # ASCII: any file name survives any encoding of stdout
        elif self.csv:
            self.csv.writerow(row)
        elif "error" in row:
            print(f"{row['path']}: {row['error']}", file=sys.stderr)
        else:
            note = f"  ({row['note']})" if "note" in row else ""
            print(f"{row['score']:12.5f}  median {row['median']:.5f}  {row['path']}{note}")
        sys.stdout.flush()


def run(options: argparse.Namespace) -> int:
    """Score; returns the exit status."""
    from tqdm import tqdm

    import rankiqa
    from rankiqa.data.folders import find_images

    memory.keep_freed()
    try:
        paths, passed_over = find_images(options.paths, recursive=options.recursive)
        model = rankiqa.load(options.weights).to(usable_device(options.device))
    except (ValueError, RuntimeError, MemoryError) as error:  # torch's own when memory fails
        print(f"rankiqa: {_line(error)}", file=sys.stderr)
        return 2
    for folder, others in passed_over.items():
        print(f"rankiqa: {folder}: passed over {others.text()}", file=sys.stderr)
    show, failed = _Printer(options), 0
    bar = tqdm(paths, unit="image", disable=not sys.stderr.isatty() or len(paths) == 1)
    for path in bar:
        try:
            image, notes = rankiqa.read_image_with_notes(path, strict=options.strict)
            found = rankiqa.score(model, image, crops=options.crops, seed=options.seed)
        except (ValueError, MemoryError, RuntimeError) as error:  # torch's own when memory or the device fails
            failed += 1
            row = {"path": str(path), "error": _line(error)}
        else:
            row = {"path": str(path), "score": found.score, "median": found.median}
            row |= {"crops": found.crops, "seed": found.seed}
            if notes:
                row["note"] = "; ".join(notes)
        bar.clear()
        show(row)
    return 1 if failed else 0


def _line(error: BaseException) -> str:
    """The first line of an error's text."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
