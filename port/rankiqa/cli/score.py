"""The command `rankiqa score`: score images."""

from __future__ import annotations

import argparse
import itertools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankiqa.cli import arguments, score_output
from rankiqa.cli.guard import FAILED
from rankiqa.cli.interrupts import stoppable
from rankiqa.cli.score_inputs import Inputs
from rankiqa.cli.score_output import say
from rankiqa.models import memory

if TYPE_CHECKING:
    from rankiqa.data.image_sources import ImageSource
    from rankiqa.models.scorer import Scorer
    from rankiqa.scoring.many import ScoreSettings
    from rankiqa.scoring.result_files import ResultFile
    from rankiqa.scoring.rows import Row

FORMATS = arguments.Lazy("rankiqa.scoring.result_files", "FORMATS")
STOPPED = 130
Score = Callable[[Iterator["ImageSource"]], Iterator["Row"]]  # returns the rows of the images, in their order


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    parser = commands.add_parser(
        "score",
        help="score images",
        description="Score images: the mean score of random crops. The model comes with the package or is given by "
        "--weights. Exit status: 0 all images scored, 1 some images could not be scored, 2 nothing was scored (wrong "
        "options or weights), 130 stopped.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image, a folder of images, a glob in quotes ('photos/**/*.jpg'), a tar archive (WebDataset), or - "
        "to read a list from standard input: on each line a path, or `path label`",
    )
    parser.add_argument("--recursive", action="store_true", help="also read the images in subfolders")
    parser.add_argument("--weights", metavar="W", help="a .safetensors file from `rankiqa convert` or `rankiqa train` "
                        "(default: the model in the package)")  # fmt: skip
    parser.add_argument(
        "--mode", choices=("crops", "dense"), default="crops",
        help="crops: random crops, as the original does (default); dense: run the network once over the whole image",
    )  # fmt: skip
    parser.add_argument(
        "--agreement", type=arguments.int_in_range(0), default=5, metavar="N",
        help="with --mode dense: also score the first N images by crops and report the difference (default 5)",
    )  # fmt: skip
    parser.add_argument("--crops", type=arguments.int_in_range(1, 100_000), help="random crops per image (default: "
                        "the number in the weights file, else 30)")  # fmt: skip
    parser.add_argument(
        "--seed",
        type=arguments.SEED,
        default=0,
        help="seed of the crop positions; each image starts from it (default 0)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse images that are not 8-bit colour, or in which the original's reader ignores something (alpha, "
        "high bits, a colour profile, further frames); without this option, a note lists what was ignored",
    )
    _add_engine(parser)
    _add_speed(parser)
    _add_output(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "engine", "other engines and bf16 differ from the reference; the difference is reported"
    )
    group.add_argument(
        "--engine", choices=("torch", "winograd", "onnxruntime", "openvino"), default="torch",
        help="what computes the scores: torch (default, the reference), winograd (torch with Winograd's algorithm for "
        "3 x 3 convolutions), onnxruntime or openvino (extras of the same name)",
    )  # fmt: skip
    group.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="fp32 (default) or bfloat16")
    group.add_argument("--device", default="cpu", help="device of torch: cpu (default), cuda, cuda:1 ..")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("speed", "scores do not depend on --workers, --batch or --shard")
    group.add_argument("--workers", type=arguments.processes(1), default=2, help="threads that read images (default 2)")
    group.add_argument(
        "--batch", type=arguments.int_in_range(1, 1024), default=1,
        help="images that are scored before waiting for their results; for GPUs (default 1)",
    )  # fmt: skip
    group.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="run on a Ray cluster: HOST:PORT or auto; without an address, the cluster of RAY_ADDRESS or of this "
        "machine, which is started if there is none. Every machine needs the same files, weights and versions "
        "(extra scale)",
    )  # fmt: skip
    group.add_argument(
        "--shard", type=arguments.shard, default=(1, 1), metavar="i/n", help="score part i of n: every n-th image"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", metavar="FILE",
        help="write the rows to FILE.part and FILE at the end; the same command resumes a stopped or killed run",
    )  # fmt: skip
    group.add_argument("--resume", action="store_true", help="with --out: also add new images to a finished file")
    group.add_argument(
        "--page",
        metavar="FILE",
        help="also write an HTML page that shows the images from worst to best, with a filter by score",
    )
    group.add_argument(
        "--map",
        metavar="DIR",
        help="also write a PNG of each image with its dense scores as a colour overlay; brighter is worse",
    )
    group.add_argument(
        "--map-range", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="scores at the two ends of the colour scale (default: the range of each image)",
    )  # fmt: skip
    form = group.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, metavar="FORMAT", help="%(choices)s (default: by FILE's extension)")
    form.add_argument(
        "--json", action="store_const", const="jsonl", dest="format", help="JSON lines: one object per row"
    )
    form.add_argument("--csv", action="store_const", const="csv", dest="format", help="CSV with a header")


def run(options: argparse.Namespace) -> int:
    """Score the images and return the exit status."""
    import rankiqa
    from rankiqa.scoring.rows import first_line

    memory.keep_freed()
    try:
        _check(options)
        inputs = Inputs(options.paths, recursive=options.recursive, shard=options.shard, twice=options.page is not None)
        _check_files(options, inputs)
        model = rankiqa.load(options.weights).to(arguments.usable_device(options.device))
        options.crops = options.crops or model.sampling.crops
        score = _scoring(options, model)
        out = _result_file(options, model) if options.out else None
    except (ValueError, RuntimeError, MemoryError) as error:  # RuntimeError: torch out of memory
        say(first_line(error))
        return 2
    except OSError as error:  # of OUT.part, or of the folder of --map
        say(f"{error.filename}: expected a file or folder that can be used, got: {error.strerror}")
        return 2
    for note in inputs.notes:
        say(note)
    if not options.format and not options.out and model.lower_is_better is not None:  # output for people
        say(f"scores: {model.meaning}")
    rows: list[Row] = []
    keep = rows.append if options.page else None
    try:
        status = _score(options, score, inputs, out, keep)
    except ValueError as error:  # from the Ray cluster
        say(str(error))
        return FAILED
    if status != STOPPED and options.page:
        _write_page(options, rows, inputs, model.lower_is_better)
    return status


def _score(
    options: argparse.Namespace, score: Score, inputs: Inputs, out: ResultFile | None, keep: score_output.Keep | None
) -> int:
    """Score to stdout or to a file and return the exit status."""
    if out is None:
        return score_output.print_rows(score(iter(inputs)), options.format, inputs.total, keep)
    with stoppable(), out:
        try:
            return score_output.write_rows(score, inputs, out, keep)
        except KeyboardInterrupt:
            say(f"stopped after {out.rows} images; the same command resumes")
            return STOPPED


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError for options that do not go together."""
    if options.resume and not options.out:
        raise ValueError("--resume: expected --out FILE, got none")
    if options.format == "parquet" and not options.out:
        raise ValueError("--format parquet: expected --out FILE, got none")
    if options.map_range and not options.map:
        raise ValueError("--map-range: expected --map DIR, got none")
    if options.map_range and not -math.inf < options.map_range[0] < options.map_range[1] < math.inf:
        low, high = options.map_range
        raise ValueError(f"--map-range: expected finite numbers, LOW below HIGH, got {low:g} {high:g}")
    if options.ray is not None and options.map:
        raise ValueError("--map: expected to score on this machine, got --ray")
    if options.page:
        from rankiqa.scoring import score_page

        score_page.check_installed()


def _check_files(options: argparse.Namespace, inputs: Inputs) -> None:
    """Check the output files before the scoring, which may take days."""
    if options.out and options.page and os.path.abspath(options.out) == os.path.abspath(options.page):
        raise ValueError(f"--out, --page: expected two files, got {options.out} twice")
    weights = [options.weights, os.path.join(options.weights, "model.safetensors")] if options.weights else []
    for path in filter(None, (options.out, options.page)):
        read = itertools.chain(weights, inputs.files())
        arguments.check_results_file(path, read, makes_folder=path == options.out)


def _scoring(options: argparse.Namespace, model: Scorer) -> Score:
    """Return the function that scores images as the options say."""
    from rankiqa.scoring.dense_agreement import DenseAgreement
    from rankiqa.scoring.engines import engine_named
    from rankiqa.scoring.many import Hook, score_sources

    settings = _settings(options)
    if options.ray is not None:
        return _scoring_on_cluster(options, model, settings)
    mode = "dense" if options.map else options.mode
    engine = engine_named(options.engine, model, precision=options.precision, mode=mode, say=say)
    hooks: list[Hook] = []
    if options.map:
        from rankiqa.scoring.score_map import MapWriter

        hooks.append(MapWriter(options.map, engine, options.map_range and tuple(options.map_range)))
    agreement = DenseAgreement(engine, settings, options.agreement if options.mode == "dense" else 0, say)
    hooks.append(agreement)

    def score(sources: Iterator[ImageSource]) -> Iterator[Row]:
        yield from score_sources(engine, sources, settings, workers=options.workers, batch=options.batch, hooks=hooks)
        agreement.end()

    return score


def _scoring_on_cluster(options: argparse.Namespace, model: Scorer, settings: ScoreSettings) -> Score:
    """Return the function that scores images on a Ray cluster."""
    from rankiqa.data import ray_cluster
    from rankiqa.data.extras import need
    from rankiqa.scoring.engines import engine_named

    need("ray.data", "scale", "--ray")
    engine_named(options.engine, model, precision=options.precision, mode=options.mode)  # refuse a wrong engine here
    cluster = ray_cluster.connected(options.ray)

    def score(sources: Iterator[ImageSource]) -> Iterator[Row]:
        from rankiqa.scoring.ray_scoring import remote_engine, score_on_cluster

        weights = options.weights and os.path.abspath(options.weights)
        names = {"name": options.engine, "precision": options.precision, "device": options.device}
        with cluster as ray:
            yield from score_on_cluster(ray, remote_engine(weights, model, **names), sources, settings)

    return score


def _settings(options: argparse.Namespace) -> ScoreSettings:
    from rankiqa.scoring.many import ScoreSettings

    return ScoreSettings(options.mode, options.crops, options.seed, options.strict)


def _result_file(options: argparse.Namespace, model: Scorer) -> ResultFile:
    from rankiqa.models.weights import digest
    from rankiqa.scoring.result_files import ResultFile, format_of

    decisive = asdict(_settings(options)) | {"engine": options.engine, "precision": options.precision}
    decisive["weights_sha256"] = digest(model)
    return ResultFile(options.out, options.format or format_of(options.out), decisive, resume=options.resume)


def _write_page(options: argparse.Namespace, rows: list[Row], inputs: Inputs, lower_is_better: bool | None) -> None:
    from rankiqa.models.weights import SHIPPED
    from rankiqa.scoring import score_page

    title = f"Scores by {Path(options.weights or SHIPPED).name}"
    score_page.write(options.page, rows, inputs, title=title, lower_is_better=lower_is_better)
