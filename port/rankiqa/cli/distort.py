"""`rankiqa distort`: a folder of photographs to a ranked set."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rankiqa.cli import arguments, progress

SETS = ("live", "tid2013")
DEFAULT, OURS, ALL = "default", "ours", "all"


def _shard(text: str) -> tuple[int, int]:
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        i = n = 0
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"expected i/n with 1 <= i <= n, got {text!r}")
    return i, n


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    one = commands.add_parser(
        "distort",
        help="make a ranked set",
        description="Distort photographs as the original's MATLAB code does: OUT/TYPE/TYPE<level>/NAME.bmp (.jpg, "
        ".jp2) and OUT/pristine_images/NAME.bmp. The same command goes on where a killed one stopped; what is there "
        "and right is skipped. Exit status: 0 all made, 1 something was refused or the run failed on the way, "
        "2 nothing was begun (options, folders), 130 stopped.",
    )
    one.set_defaults(run=run)
    one.add_argument("--set", required=True, choices=SETS, dest="dataset", help="whose types, levels and parameters")
    one.add_argument("--images", required=True, metavar="DIR", type=Path, help="photographs (not in folders inside)")
    one.add_argument("--out", required=True, metavar="DIR", type=Path)
    one.add_argument(
        "--workers", type=arguments.processes(1), default=1, help="processes (default 1; any number: the same files)"
    )
    one.add_argument(
        "--types", nargs="+", metavar="T", default=[DEFAULT],
        help="such as GB JPEG; default: those that the original makes or lists; ours: those beyond it; all",
    )  # fmt: skip
    one.add_argument("--levels", nargs="+", metavar="L", help="1 is the mildest (default: all)")
    one.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="i/n", help="the i-th of n parts, one for each machine"
    )
    one.add_argument("--seed", type=arguments.SEED, default=0, help="of what is random (default 0)")
    one.add_argument(
        "--min-side",
        type=arguments.whole(1),
        default=227,
        help="pixels; smaller photographs are refused (default 227: a crop)",
    )
    one.add_argument(
        "--max-pixels",
        type=arguments.whole(1),
        default=1 << 26,
        help="larger photographs are refused (default 67108864)",
    )
    one.add_argument("--quick", action="store_true", help="take a file of the right size as right, without reading it")
    one.add_argument("--json", action="store_true", help="the summary as a JSON object")


def _split(words: list[str]) -> list[str]:
    return [part for word in words for part in word.split(",") if part]


def types_of(table: dict, words: list[str]) -> list[str]:
    """The types that --types names, each once, in the table's order. Raises ValueError for a name that is none."""
    groups = {
        DEFAULT: [name for name, row in table.items() if row.origin != OURS],
        OURS: [name for name, row in table.items() if row.origin == OURS],
        ALL: list(table),
    }
    chosen: set[str] = set()
    for word in _split(words):
        if word not in groups and word not in table:
            raise ValueError(f"--types: expected of {', '.join([*table, OURS, ALL])}, got {word!r}")
        chosen.update(groups.get(word, [word]))
    if not chosen:
        raise ValueError("--types: expected at least one type, got none")
    return [name for name in table if name in chosen]


def levels_of(table: dict, types: list[str], words: list[str] | None) -> list[int]:
    """The levels that --levels names, rising. Raises ValueError for a level that a type lacks."""
    most = min(len(table[name].levels) for name in types)
    if words is None:
        return list(range(1, most + 1))
    every = {str(level): level for level in range(1, most + 1)}
    for word in _split(words):
        if word not in every:
            raise ValueError(f"--levels: expected of 1..{most}, got {word!r}")
    if not _split(words):
        raise ValueError("--levels: expected at least one level, got none")
    return sorted({every[word] for word in _split(words)})


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does; a second signal does not disturb the clearing up."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def stop(*_) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(options: argparse.Namespace) -> int:
    """Make a ranked set; returns the exit status."""
    with _stoppable():
        try:
            return _run(options)
        except KeyboardInterrupt:
            print("rankiqa: stopped; the same command goes on from here", file=sys.stderr)
            return 130


def _run(options: argparse.Namespace) -> int:
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets.make_files import PRISTINE, Order, WriteError, level_folder, rehearse
    from rankiqa.ranked_sets.names import count
    from rankiqa.ranked_sets.run import Tally
    from rankiqa.ranked_sets.run import run as make
    from rankiqa.ranked_sets.settings import claim, digest, settings, temporary
    from rankiqa.ranked_sets.worker_pool import WorkerLost

    table = DATASETS[options.dataset]
    out, images = options.out.absolute(), options.images.absolute()
    try:
        types = types_of(table, options.types)
        levels = levels_of(table, types, options.levels)
        found = count(images, options.shard)
        if not found.every:
            raise ValueError(f"{options.images}: expected a folder with photographs, got none")
        pristine = not ((out / PRISTINE).exists() and os.path.samefile(images, out / PRISTINE))
        wanted = settings(options.dataset, options.seed, table)
        folders = [level_folder(kind, level) for kind in types for level in levels]
        own = [PRISTINE] * pristine
        per_photograph = len(folders) + pristine
        rehearse(options.dataset, types)
        claim(out, wanted, [*table, *own], [*folders, *own])
    except OSError as error:
        print(f"rankiqa: {error.filename}: expected a folder to use, got: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    tally, begin, problem = Tally(), time.monotonic(), None
    try:
        with temporary(out) as place, progress.bar(total=found.shard * per_photograph, unit="file") as bar:
            order = Order(
                images=str(images), out=str(out), dataset=options.dataset, types=tuple(types), levels=tuple(levels),
                seed=options.seed, settings=digest(wanted), temporary=str(place), min_side=options.min_side,
                max_pixels=options.max_pixels, quick=options.quick, pristine=pristine,
            )  # fmt: skip
            make(order, options.workers, options.shard, found.shard, tally, bar.update)
    except (WriteError, WorkerLost) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or options.out}: expected it to be usable to the end, got: {error.strerror}"
    _report(options, tally, found, time.monotonic() - begin, types, levels, problem)
    return 1 if problem or tally.refused else 0


def _report(options, tally, found, seconds: float, types: list[str], levels: list[int], problem: str | None) -> None:
    peaks = [round(peak / 1024) for _, peak in sorted(tally.peak_kb.items())]
    if options.json:
        summary = {
            "set": options.dataset, "types": types, "levels": levels, "seed": options.seed,
            "images": str(options.images), "out": str(options.out), "shard": "{}/{}".format(*options.shard),
            "workers": options.workers, "photographs": found.shard,
            "made": {"photographs": tally.photographs, "files": tally.files},
            "skipped": {"photographs": tally.skipped_photographs, "files": tally.skipped_files},
            "other_files": found.others, "seconds": round(seconds, 3), "worker_peak_mb": peaks, "error": problem,
        }  # fmt: skip
        print(json.dumps(summary)[:-1], end=', "refused": [')  # streamed: there may be as many as photographs
        for number, row in enumerate(tally.refusal_rows()):
            print(", " * bool(number) + json.dumps(row), end="")
        print("]}", flush=True)
    else:
        print(f"made {tally.files} files of {tally.photographs} photographs in {seconds:.1f} s")
        print(f"skipped {tally.skipped_files} files that were there and right")
        if whole := tally.skipped_photographs:
            print(f"  {whole} whole photographs: {_some(tally.skipped_names, whole)}")
        print(f"most memory of a worker: {', '.join(map(str, peaks)) or 0} MB", flush=True)
    if found.others:
        print(f"passed over, no image by its name: {_some(found.first, found.others)}", file=sys.stderr)
    for row in tally.refusal_rows():
        print(f"rankiqa: {row['image']}: {row['error']}", file=sys.stderr)
    if tally.refused:
        print(f"rankiqa: refused {tally.refused} of {found.shard} photographs", file=sys.stderr)
    if problem:
        print(f"rankiqa: {problem}", file=sys.stderr)


def _some(names: list[str], count: int) -> str:
    return ", ".join(sorted(names)) + (f" and {count - len(names)} more" if count > len(names) else "")
