"""The command `rankiqa`."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import sys

from rankiqa import __version__, train_command

COLUMNS = ("path", "score", "median", "crops", "seed", "error")


def _whole(text: str, least: int, most: float) -> int:
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        limits = f"{least} or more" if math.isinf(most) else f"{least}..{most}"
        raise argparse.ArgumentTypeError(f"expected a whole number, {limits}, got {text!r}")
    return value


def _crops(text: str) -> int:
    return _whole(text, 1, math.inf)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1)


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
    one.add_argument("--crops", type=_crops, default=30, help="random crops an image (default 30, the original's)")
    one.add_argument("--seed", type=_seed, default=0, help="of the crops, anew for each image (default 0)")
    one.add_argument("--device", default="cpu", help="where the network runs: cpu (default), cuda, cuda:1 ..")
    one.add_argument(
        "--convert", action="store_true", help="read grey, alpha, 16-bit and CMYK images as the original would"
    )
    train_command.add(commands)
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
            print(json.dumps(row))  # ASCII: any file name survives any encoding of stdout
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
        print(f"rankiqa: {_line(error)}", file=sys.stderr)
        return 2
    show, failed = _Printer(options), 0
    bar = tqdm(paths, unit="image", disable=not sys.stderr.isatty() or len(paths) == 1)
    for path in bar:
        try:
            image = rankiqa.read_image(path, convert=options.convert)
            found = rankiqa.score(model, image, crops=options.crops, seed=options.seed)
        except (ValueError, MemoryError, RuntimeError) as error:  # torch's own when memory or the device fails
            failed += 1
            row = {"path": str(path), "error": _line(error)}
        else:
            row = {"path": str(path), "score": found.score, "median": found.median}
            row |= {"crops": found.crops, "seed": found.seed}
        bar.clear()
        show(row)
    return 1 if failed else 0


def _line(error: BaseException) -> str:
    """The first line of an error's text."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        return train_command.run(options) if options.command == "train" else _score(options)
    except BrokenPipeError:  # `rankiqa score .. | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
