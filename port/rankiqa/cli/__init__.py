"""The command line `rankiqa`. Each module of COMMANDS adds one command and runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import rankiqa
from rankiqa.cli import distort, evaluate, experiment, lists, prepare, score, show, train
from rankiqa.cli.guard import guarded

# Each module has add(commands), which adds its command and sets run=run(options) -> exit status.
CONVERT = "convert"
COMMANDS = (score, evaluate, train, experiment, prepare, distort, lists, show)


class _Version(argparse.Action):
    """The action of --version. It reads the package's metadata only when the option is given."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"rankiqa {rankiqa.__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rankiqa", description="No-reference image quality by RankIQA.")
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    commands.add_parser(CONVERT, help="convert a caffemodel to weights for the port, and back")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        argv: The arguments; None: those of the process.
    """
    return guarded(_run, sys.argv[1:] if argv is None else argv)


def _run(argv: Sequence[str]) -> int:
    if argv[:1] == [CONVERT]:  # it parses its own options; late: the port does not need rankiqa_convert
        from rankiqa_convert.cli import main as convert

        return convert(list(argv[1:]))
    options = _parser().parse_args(argv)
    return options.run(options)
