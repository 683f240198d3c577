"""`rankiqa score`: scores of images."""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rankiqa.cli import arguments, score_output
from rankiqa.cli.interrupts import stoppable
from rankiqa.models import memory

if TYPE_CHECKING:
    from rankiqa.data.image_sources import ImageSource
    from rankiqa.models.scorer import Scorer
    from rankiqa.scoring.many import ScoreSettings
    from rankiqa.scoring.result_files import ResultFile
    from rankiqa.scoring.rows import Row

STDIN = "-"
FORMATS = arguments.Lazy("rankiqa.scoring.result_files", "FORMATS")
STOPPED = 130


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    parser = commands.add_parser(
        "score",
        help="score images",
        description="Score images with converted weights: the mean over random crops. Exit status: 0 all scored, "
        "1 some image could not be, 2 nothing was (options, weights), 130 stopped.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image, a folder of images, a glob in quotes ('photos/**/*.jpg'), a tar archive (WebDataset's), or - "
        "for a list on standard input: a path on each line, or `path label`",
    )
    parser.add_argument("--recursive", action="store_true", help="also the images of folders inside a folder")
    parser.add_argument("--weights", required=True, metavar="W", help="a .safetensors from conversion/convert.py")
    parser.add_argument(
        "--mode", choices=("crops", "dense"), default="crops",
        help="crops: the original's way (default); dense: the network once over the whole image",
    )  # fmt: skip
    parser.add_argument(
        "--agreement", type=arguments.int_in_range(0), default=5, metavar="N",
        help="with --mode dense: also score the first N images by crops, and say how far the two agree (default 5)",
    )  # fmt: skip
    parser.add_argument("--crops", type=arguments.int_in_range(1, 100_000), default=30, help="random crops an image "
                        "(default 30)")  # fmt: skip
    parser.add_argument("--seed", type=arguments.SEED, default=0, help="of the crops, anew for each image (default 0)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse images that are not 8-bit colour, or of which the original's reader drops something (alpha, high "
        "bits, a colour profile, further frames); without it, a note says what was dropped",
    )
    _add_engine(parser)
    _add_speed(parser)
    _add_output(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("engine", "other engines and bf16 differ from the reference; they say how much")
    group.add_argument(
        "--engine", choices=("torch", "onnxruntime", "openvino"), default="torch",
        help="what computes: torch (default, the reference), or an extra of that name",
    )  # fmt: skip
    group.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="fp32 (default) or bfloat16")
    group.add_argument("--device", default="cpu", help="where torch runs: cpu (default), cuda, cuda:1 ..")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("speed", "no score depends on --workers, --batch or --shard")
    group.add_argument("--workers", type=arguments.processes(1), default=2, help="threads that read images (default 2)")
    group.add_argument(
        "--batch", type=arguments.int_in_range(1, 1024), default=1,
        help="images whose results are waited for together, for GPUs (default 1)",
    )  # fmt: skip
    group.add_argument(
        "--shard", type=arguments.shard, default=(1, 1), metavar="i/n", help="the i-th of n parts: every n-th image"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", metavar="FILE",
        help="write to a file, by way of FILE.part; the same command resumes a run that was stopped or killed",
    )  # fmt: skip
    group.add_argument("--resume", action="store_true", help="with --out: also add new images to a finished file")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, metavar="FORMAT", help="%(choices)s; by default as FILE's name says")
    form.add_argument("--json", action="store_const", const="jsonl", dest="format", help="a JSON object a line")
    form.add_argument("--csv", action="store_const", const="csv", dest="format", help="CSV with a header")


def run(options: argparse.Namespace) -> int:
    """Score; returns the exit status."""
    import rankiqa
    from rankiqa.scoring.dense_agreement import DenseAgreement
    from rankiqa.scoring.engines import engine_named
    from rankiqa.scoring.many import ScoreSettings, score_sources
    from rankiqa.scoring.rows import first_line

    memory.keep_freed()
    try:
        _check(options)
        sources, total = _sources(options)
        model = rankiqa.load(options.weights).to(arguments.usable_device(options.device))
        settings = ScoreSettings(options.mode, options.crops, options.seed, options.strict)
        engine = engine_named(
            options.engine, model, precision=options.precision, mode=options.mode, say=score_output.say
        )
        out = _result_file(options, settings, model) if options.out else None
    except (ValueError, RuntimeError, MemoryError) as error:  # torch's own when memory fails
        score_output.say(first_line(error))
        return 2

    def rows(chosen: Iterator[ImageSource]) -> Iterator[Row]:
        hook = (
            DenseAgreement(engine, settings, options.agreement, score_output.say) if options.mode == "dense" else None
        )
        yield from score_sources(engine, chosen, settings, workers=options.workers, batch=options.batch, hook=hook)
        if hook:
            hook.end()

    if out is None:
        return score_output.print_rows(rows(sources), options.format, total)
    with stoppable(), out:
        try:
            return score_output.write_rows(rows, sources, out, total)
        except KeyboardInterrupt:
            score_output.say(f"stopped after {out.rows} images; the same command resumes")
            return STOPPED


def _check(options: argparse.Namespace) -> None:
    if options.resume and not options.out:
        raise ValueError("--resume: expected --out FILE, got none")
    if options.format == "parquet" and not options.out:
        raise ValueError("--format parquet: expected --out FILE, got none")


def _sources(options: argparse.Namespace) -> tuple[Iterator[ImageSource], int | None]:
    """The images, and how many there are; None where only reading tells.

    Folders and globs are listed now, so that nothing begins where one of them has no image.
    """
    from rankiqa.data.folders import PassedOver
    from rankiqa.data.image_sources import files_of, is_archive, paths_of_lines, sources_of, sources_of_all

    files: list[str] = []
    parts: list[Iterable[ImageSource]] = []
    passed_over: dict[str, PassedOver] = {}
    if STDIN in options.paths and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors())
    for path in options.paths:
        if path == STDIN:
            parts.append(sources_of_all(paths_of_lines(sys.stdin), recursive=options.recursive))
        else:
            found = files_of(path, recursive=options.recursive, passed_over=passed_over)
            files += found
            parts.append(sources_of(found))
    for folder, others in passed_over.items():
        score_output.say(f"{folder}: passed over {others.text()}")
    i, n = options.shard
    sources = itertools.islice(itertools.chain.from_iterable(parts), i - 1, None, n)
    known = STDIN not in options.paths and not any(map(is_archive, files))
    return sources, len(range(i - 1, len(files), n)) if known else None


def _result_file(options: argparse.Namespace, settings: ScoreSettings, model: Scorer) -> ResultFile:
    from rankiqa.models.weights import digest
    from rankiqa.scoring.result_files import ResultFile, format_of

    decisive = asdict(settings) | {"engine": options.engine, "precision": options.precision}
    decisive["weights_sha256"] = digest(model)
    return ResultFile(options.out, options.format or format_of(options.out), decisive, resume=options.resume)
