"""The command `rankiqa distort`: make a ranked set from a folder of photographs."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from rankiqa.cli import arguments, progress
from rankiqa.cli.interrupts import stoppable
from rankiqa.data import ray_cluster

DEFAULT, OURS, ALL = "default", "ours", "all"


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    parser = commands.add_parser(
        "distort",
        help="make a ranked set",
        description="Distort photographs as the original's MATLAB code does (live, tid2013), or as cameras and the web "
        "do (wild): OUT/TYPE/TYPE<level>/NAME.bmp (.jpg, .jp2) and OUT/pristine_images/NAME.bmp. The same command "
        "resumes a run that was stopped or killed; valid files are skipped. Exit status: 0 all files made, 1 some "
        "photographs were refused or the run failed, 2 not started (wrong options or folders), 130 stopped.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--set",
        required=True,
        choices=arguments.Lazy("rankiqa.distortions", "DATASETS"),
        metavar="SET",
        dest="dataset",
        help="set that defines types, levels and parameters: %(choices)s",
    )
    parser.add_argument("--images", required=True, metavar="DIR", type=Path, help="a folder of photographs")
    parser.add_argument("--recursive", action="store_true", help="also read subfolders; a/b.jpg gives the files a_b.*")
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="folder of the ranked set")
    parser.add_argument(
        "--workers", type=arguments.processes(1),
        help="number of processes; the files do not depend on it (default 1; with --ray the cores of the cluster)",
    )  # fmt: skip
    parser.add_argument(
        "--types", nargs="+", metavar="T", default=[DEFAULT],
        help="distortion types, such as GB JPEG. default: those that the original makes or lists; ours: the others; "
        "all",
    )  # fmt: skip
    parser.add_argument(
        "--levels", nargs="+", metavar="L", help="levels of distortion; 1 is the mildest (default: all)"
    )
    parser.add_argument(
        "--shard", type=arguments.shard, default=(1, 1), metavar="i/n", help="distort part i of n, one part per machine"
    )
    parser.add_argument(
        "--ray", nargs="?", const=ray_cluster.HERE, metavar="ADDRESS",
        help="run on a Ray cluster: HOST:PORT or auto; without an address, the cluster of RAY_ADDRESS or of this "
        "machine, which is started if there is none. Every machine needs the same folders and versions (extra scale)",
    )  # fmt: skip
    parser.add_argument("--seed", type=arguments.SEED, default=0, help="seed of everything that is random (default 0)")
    arguments.add_photograph_limits(parser)
    parser.add_argument("--quick", action="store_true", help="trust existing files; compare only their sizes")
    parser.add_argument("--json", action="store_true", help="print the summary as a JSON object")


def _split(words: list[str]) -> list[str]:
    """Return the comma-separated parts of all words."""
    return [part for word in words for part in word.split(",") if part]


def types_of(table: dict, words: list[str]) -> list[str]:
    """Return the distortion types that --types names.

    Args:
        table: A table of DATASETS.
        words: Names of types and groups; a word may contain several, separated by commas.

    Returns:
        Each type once, in the table's order.

    Raises:
        ValueError: A word is neither a type nor a group, or the words are empty.
    """
    groups = {
        DEFAULT: [name for name, row in table.items() if row.origin != OURS],
        OURS: [name for name, row in table.items() if row.origin == OURS],
        ALL: list(table),
    }
    chosen: set[str] = set()
    for word in _split(words):
        if word not in groups and word not in table:
            raise ValueError(f"--types: expected some of {', '.join([*table, OURS, ALL])}, got {word!r}")
        chosen.update(groups.get(word, [word]))
    if not chosen:
        raise ValueError("--types: expected at least one type, got none")
    return [name for name in table if name in chosen]


def levels_of(table: dict, types: list[str], words: list[str] | None) -> list[int]:
    """Return the levels that --levels names.

    Args:
        table: A table of DATASETS.
        types: Names of types in that table.
        words: Levels; a word may contain several, separated by commas. None: every level that all types have.

    Returns:
        The levels in ascending order.

    Raises:
        ValueError: One of the types lacks a level, or the words are empty.
    """
    most = min(len(table[name].levels) for name in types)
    if words is None:
        return list(range(1, most + 1))
    every = {str(level): level for level in range(1, most + 1)}
    for word in _split(words):
        if word not in every:
            raise ValueError(f"--levels: expected levels in 1..{most}, got {word!r}")
    if not _split(words):
        raise ValueError("--levels: expected at least one level, got none")
    return sorted({every[word] for word in _split(words)})


def run(options: argparse.Namespace) -> int:
    """Make a ranked set and return the exit status."""
    with stoppable():
        try:
            with contextlib.ExitStack() as cluster:
                return _run(options, cluster)
        except KeyboardInterrupt:
            print("rankiqa: stopped; the same command resumes", file=sys.stderr)
            return 130


def _run(options: argparse.Namespace, cluster: contextlib.ExitStack) -> int:
    """Make a ranked set. The connection to a Ray cluster ends with the stack `cluster`."""
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets import ray_jobs, set_description, worker_pool
    from rankiqa.ranked_sets.generation_run import Counts
    from rankiqa.ranked_sets.generation_run import run as distort
    from rankiqa.ranked_sets.make_files import DistortionJob, WriteError, check_types, level_folder
    from rankiqa.ranked_sets.names import PRISTINE, count
    from rankiqa.ranked_sets.worker_pool import WorkerLost

    table = DATASETS[options.dataset]
    out, images = options.out.absolute(), options.images.absolute()
    try:
        types = types_of(table, options.types)
        levels = levels_of(table, types, options.levels)
        _check_apart(options, images, out)
        folder = count(images, options.shard, recursive=options.recursive)
        if not folder.photographs:
            others = f" but {folder.ignored.text()}" if folder.ignored.total() else ""
            raise ValueError(f"{options.images}: expected a folder with photographs, got none{others}")
        pristine = not ((out / PRISTINE).exists() and os.path.samefile(images, out / PRISTINE))
        run_settings = set_description.settings(options.dataset, options.seed, table)
        folders = [level_folder(name, level) for name in types for level in levels]
        pristine_folder = [PRISTINE] * pristine
        check_types(options.dataset, types)
        ray = None if options.ray is None else cluster.enter_context(ray_cluster.connected(options.ray))
        set_description.claim(out, run_settings, [*table, *pristine_folder], [*folders, *pristine_folder])
    except OSError as error:
        print(f"rankiqa: {error.filename}: expected a folder to use, got: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    counts, begin, problem = Counts(), time.monotonic(), None
    try:
        with set_description.temporary_folder(out) as temporary:
            job = DistortionJob(
                images=str(images), out=str(out), dataset=options.dataset, types=tuple(types), levels=tuple(levels),
                seed=options.seed, settings=set_description.digest(run_settings), temporary=str(temporary),
                min_side=int(options.min_side), max_pixels=int(options.max_pixels), quick=options.quick,
                pristine=pristine,
            )  # fmt: skip
            with progress.bar(total=folder.shard * job.files, unit="file") as bar:
                if ray is None:
                    options.workers, run_jobs = options.workers or 1, worker_pool.run_jobs
                else:
                    check = partial(ray_jobs.check_machine, job, run_settings["versions"])
                    run_jobs = partial(ray_jobs.run_jobs, ray=ray, check=check)
                distort(
                    job, options.workers, options.shard, folder.shard, counts, bar.update,
                    recursive=options.recursive, run_jobs=run_jobs,
                )  # fmt: skip
    except (WriteError, WorkerLost) as error:
        problem = str(error)
    except OSError as error:
        problem = (
            f"{error.filename or options.out}: expected a file or folder that stays usable during the run, got: "
            f"{error.strerror}"
        )
    _report(options, counts, folder, time.monotonic() - begin, types, levels, problem)
    return 1 if problem or counts.refused else 0


def _check_apart(options: argparse.Namespace, images: Path, out: Path) -> None:
    """Raise ValueError if --recursive would read the files that the run itself makes."""
    inside = images.resolve() in [out.resolve(), *out.resolve().parents]
    if options.recursive and inside:
        raise ValueError(f"{options.out}: expected a folder outside of --images with --recursive, got one inside")


def _report(options, counts, folder, seconds: float, types: list[str], levels: list[int], problem: str | None) -> None:
    """Print the summary on stdout, and refused photographs and the problem on stderr."""
    peaks = [round(peak / 1024) for _, peak in sorted(counts.peak_kb.items())]
    if options.json:
        summary = {
            "set": options.dataset, "types": types, "levels": levels, "seed": options.seed,
            "images": str(options.images), "out": str(options.out), "shard": "{}/{}".format(*options.shard),
            "workers": options.workers or len(counts.peak_kb), "photographs": folder.shard,
            "made": {"photographs": counts.photographs, "files": counts.files},
            "skipped": {"photographs": counts.skipped_photographs, "files": counts.skipped_files},
            "other_files": folder.ignored.total(), "ignored": folder.ignored.by_kind(),
            "seconds": round(seconds, 3), "worker_peak_mb": peaks, "error": problem,
        }  # fmt: skip
        print(json.dumps(summary)[:-1], end=', "refused": [')  # streamed: there may be many
        for number, row in enumerate(counts.refusal_rows()):
            print(", " * bool(number) + json.dumps(row), end="")
        print("]}", flush=True)
    else:
        print(f"made {counts.files} files from {counts.photographs} photographs in {seconds:.1f} s")
        print(f"skipped {counts.skipped_files} valid files")
        if counts.skipped_photographs:
            names = _some(counts.skipped_names, counts.skipped_photographs)
            print(f"  photographs with all files valid: {counts.skipped_photographs} ({names})")
        print(f"peak memory of each worker: {', '.join(map(str, peaks)) or 0} MB", flush=True)
    if folder.ignored.total():
        print(f"rankiqa: {options.images}: ignored {folder.ignored.text()}", file=sys.stderr)
    for row in counts.refusal_rows():
        print(f"rankiqa: {row['image']}: {row['error']}", file=sys.stderr)
    if counts.refused:
        print(f"rankiqa: refused {counts.refused} of {folder.shard} photographs", file=sys.stderr)
    if problem:
        print(f"rankiqa: {problem}", file=sys.stderr)


def _some(names: list[str], count: int) -> str:
    """Return some of `count` names as a text."""
    return ", ".join(sorted(names)) + (f" and {count - len(names)} more" if count > len(names) else "")
