"""The command `rankiqa`."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys

from rankiqa import __version__

COLUMNS = ("path", "score", "median", "crops", "seed", "error")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"expected 0..{2**32 - 1}, got {value}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rankiqa", description="No-reference image quality by RankIQA.")
    parser.add_argument("--version", action="version", version=f"rankiqa {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser(
        "score",
        help="score images",
        description="Score images with converted weights: the mean over random crops. Exit status: 0 all scored, "
        "1 some image could not be, 2 nothing was (options, weights).",
    )
    one.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder of images")
    one.add_argument("--weights", required=True, metavar="W", help="a .safetensors from conversion/convert.py")
    one.add_argument("--crops", type=_count, default=30, help="random crops an image (default 30, the original's)")
    one.add_argument("--seed", type=_seed, default=0, help="of the crops, anew for each image (default 0)")
    one.add_argument("--device", default="cpu", help="where the network runs: cpu (default), cuda, cuda:1 ..")
    one.add_argument(
        "--convert", action="store_true", help="read grey, alpha, 16-bit and CMYK images as the original would"
    )
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    form.add_argument("--csv", action="store_true", help=f"CSV: {','.join(COLUMNS)}")
    return parser


class _Printer:
    """Rows to stdout as they come: JSON lines, CSV or plain text."""

    def __init__(self, options):
        self.json = options.json
        self.csv = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n") if options.csv else None
        if self.csv:
            self.csv.writeheader()

    def __call__(self, row: dict) -> None:
        if self.json:
            print(json.dumps(row, ensure_ascii=False))
        elif self.csv:
            self.csv.writerow(row)
        elif "error" in row:
            print(f"{row['path']}: {row['error']}", file=sys.stderr)
        else:
            print(f"{row['score']:12.5f}  median {row['median']:.5f}  {row['path']}")
        sys.stdout.flush()


def _score(options: argparse.Namespace) -> int:
    import torch  # late, so that --help and a wrong option answer at once
    from tqdm import tqdm

    import rankiqa
    from rankiqa.images import find_images

    try:
        paths = find_images(options.paths)
        model = rankiqa.load(options.weights).to(torch.device(options.device))
    except (ValueError, RuntimeError, AssertionError) as error:  # torch's own words for a device it lacks
        print(f"rankiqa: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    show, failed = _Printer(options), 0
    for path in tqdm(paths, unit="image", disable=not sys.stderr.isatty() or len(paths) == 1):
        try:
            found = rankiqa.score(
                model, rankiqa.read_image(path, convert=options.convert), crops=options.crops, seed=options.seed
            )
        except ValueError as error:
            failed += 1
            show({"path": str(path), "error": str(error)})
            continue
        row = {"path": str(path), "score": found.score, "median": found.median}
        show({**row, "crops": found.crops, "seed": found.seed})
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return _score(options)
    except BrokenPipeError:  # `rankiqa score .. | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
