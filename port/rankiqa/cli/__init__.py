"""The command `rankiqa`: each module of COMMANDS adds one command and runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rankiqa import __version__
from rankiqa.cli import distort, evaluate, lists, prepare, score, show, train
from rankiqa.cli.guard import guarded

# add(commands) adds a command and sets run=run(options) -> exit status
CONVERT = "convert"
COMMANDS = (score, evaluate, train, prepare, distort, lists, show)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rankiqa", description="No-reference image quality by RankIQA.")
    parser.add_argument("--version", action="version", version=f"rankiqa {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    commands.add_parser(CONVERT, help="convert a caffemodel to weights for the port, and back")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return guarded(_run, sys.argv[1:] if argv is None else argv)


def _run(argv: Sequence[str]) -> int:
    if argv[:1] == [CONVERT]:  # its options are its own; late: the port does without the bridge
        from rankiqa_convert.cli import main as convert

        return convert(argv[1:])
    options = _parser().parse_args(argv)
    return options.run(options)
