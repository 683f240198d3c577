"""The command `rankiqa evaluate`: measure how well scores agree with people's opinions."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rankiqa.cli import progress
from rankiqa.cli.arguments import SEED, check_results_file, int_in_range, usable_device
from rankiqa.models import memory

_ROWS = ("n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse")


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    parser = commands.add_parser(
        "evaluate",
        help="correlate scores with people's opinions",
        description="Score the images of a list and correlate the scores with its labels: SROCC, LCC, KROCC, and PLCC "
        "and RMSE after a logistic fit, over all images and for each distortion type, with bootstrap intervals. Exit "
        "status: 0 all images scored, 1 some images could not be scored, 2 no evaluation (wrong options, weights or "
        "list).",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "list",
        nargs="?",
        metavar="LIST",
        help="a file of `path label` lines, a NAME_lists.json of `rankiqa lists`, or the per-image file of an "
        "evaluation, "
        "whose scores are then used (default with --preset: the original's list)",
    )
    parser.add_argument("--weights", metavar="W", help="a .safetensors file from `rankiqa convert` or `rankiqa train` "
                        "(default: the model in the package)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    _add_list(parser)
    _add_scoring(parser)
    _add_statistics(parser)
    _add_preset(parser)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--per-image", metavar="FILE", help="write a row per image: .csv, or .json with the summary, too"
    )
    files.add_argument(
        "--page", metavar="FILE", help="write an HTML page with the images and plots of scores against opinions"
    )
    files.add_argument("--against", metavar="FILE", help="compare with another evaluation, given by its per-image file")


def _add_list(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the list")
    group.add_argument(
        "--root",
        default="",
        metavar="DIR",
        help="folder that relative paths in the list start from (default: the current folder)",
    )
    group.add_argument("--side", choices=("train", "validation", "test", "all"), help="which list of a NAME_lists.json")
    group.add_argument(
        "--types-from",
        default="auto",
        metavar="PATTERN|FILE",
        help="distortion types and references of the images: a regular expression with the group (?P<type>..) and, "
        "optionally, (?P<reference>..); a .csv file with the columns path, type, reference; or one of auto (default: "
        "from "
        "`rankiqa lists` if known, else TID2013's file names, else folders), tid2013, folder, none",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scoring")
    group.add_argument("--crops", type=int_in_range(1, 100_000), help="random crops per image (default: the number in "
                       "the weights file, else 30)")  # fmt: skip
    group.add_argument("--seed", type=SEED, default=0, help="seed of the crops, resamples and splits (default 0)")
    group.add_argument("--device", default="cpu", help="device of the network: cpu (default), cuda, cuda:1 ..")
    group.add_argument("--workers", type=int_in_range(1, 64), default=2, help="threads that read images (default 2)")
    group.add_argument(
        "--strict",
        action="store_true",
        help="refuse images in which the original's reader ignores something (alpha, ..)",
    )


def _add_statistics(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--logistic",
        type=int,
        choices=(4, 5),
        default=4,
        help="parameters of the logistic function: 4 (VQEG, default) or 5 (Sheikh et al.)",
    )
    group.add_argument(
        "--bootstrap",
        type=int_in_range(0, 1_000_000),
        default=1000,
        help="number of bootstrap resamples (default 1000; 0: no intervals)",
    )
    group.add_argument(
        "--confidence", type=float, default=0.95, help="confidence level of the intervals (default 0.95)"
    )
    group.add_argument(
        "--splits",
        type=int_in_range(0, 100_000),
        default=0,
        metavar="N",
        help="number of random splits by reference image (10 in the paper's protocol)",
    )


def _add_preset(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("evaluations of the original code, with its result files")
    group.add_argument(
        "--preset",
        choices=("live", "tid2013"),
        help="evaluate as the original does and write RESULTS/PRESET/TAG_{srocc,lcc}.txt",
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="evaluate all images together (default)")
    which.add_argument("--each", action="store_true", help="evaluate each distortion type separately (tid2013)")
    net = group.add_mutually_exclusive_group()
    net.add_argument("--rank", action="store_true", help="the net is ranked only; its output is fc8_m")
    net.add_argument("--ft", action="store_true", help="the net is fine-tuned; its output is fc8 (default)")
    group.add_argument(
        "--results", default="results", metavar="DIR", help="folder of the result files (default results)"
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate and return the exit status."""
    from rankiqa.evaluation import against, evaluation, scored_images, upstream_evaluations
    from rankiqa.evaluation.agreement import Bootstrap

    memory.keep_freed()
    try:
        preset = _preset(options)
        bootstrap = Bootstrap(options.bootstrap, options.seed, options.confidence)
        settings = evaluation.Settings(options.logistic, bootstrap, options.splits, options.seed)
        other = scored_images.read(options.against)[0] if options.against else None
        _check_files(options)
        images, about, label_lower = _scored(options, preset)
        evaluated = evaluation.evaluate(
            images, settings, lower_is_better=about["lower_is_better"], label_lower_is_better=label_lower
        )
        summary = evaluated.summary | about
        if preset is not None:
            files = upstream_evaluations.write_results(preset, evaluated.images, options.results)
            mode = "each" if preset.each else "all"
            summary["preset"] = {"name": preset.dataset, "evaluates": mode, "net": preset.net, "files": files}
        if other is not None:
            names = (str(options.list), options.against)
            summary["against"] = against.compare(images, other, bootstrap, options.logistic, names)
            summary["against"]["file"] = options.against
        if options.per_image:
            scored_images.write(options.per_image, images, summary)
        if options.page:
            from rankiqa.evaluation import evaluation_page

            evaluation_page.write(options.page, evaluated, summary)
    except (ValueError, RuntimeError, MemoryError) as error:  # RuntimeError: torch out of memory
        return _failed(error)
    except OSError as error:
        where = " or ".join(filter(None, (options.per_image, options.page)))
        return _failed(ValueError(f"{where}: expected a file that can be written, got: {error.strerror or error}"))
    if options.json:
        print(json.dumps(summary, indent=1, allow_nan=False))
    else:
        _show(summary)
    return 1 if evaluated.errors else 0


def _failed(error: BaseException) -> int:
    """Print an error on one line and return the exit status 2."""
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    print(f"rankiqa: {line}", file=sys.stderr)
    return 2


def _preset(options: argparse.Namespace):
    """Return the preset that the options name, or None. Fill in its list if none is given."""
    from rankiqa.evaluation import upstream_evaluations

    if options.preset is None:
        given = [f"--{name}" for name in ("all", "each", "rank", "ft") if getattr(options, name)]
        if given:
            raise ValueError(f"{' '.join(given)}: expected --preset with these options, got none")
        if options.list is None:
            raise ValueError("expected a LIST, or a --preset with one, got neither")
        return None
    preset = upstream_evaluations.preset(
        options.preset, options.each, upstream_evaluations.RANK if options.rank else upstream_evaluations.FT
    )
    options.list = preset.list if options.list is None else options.list
    return preset


def _check_files(options: argparse.Namespace) -> None:
    """Check the output files before the scoring, which may take hours."""
    if options.per_image and Path(options.per_image).suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"--per-image: expected a name that ends in .csv or .json, got {options.per_image}")
    if options.per_image and options.page and os.path.abspath(options.per_image) == os.path.abspath(options.page):
        raise ValueError(f"--per-image, --page: expected two files, got {options.page} twice")
    for path in filter(None, (options.per_image, options.page)):
        check_results_file(path, filter(None, (options.list, options.weights, options.against)))
    if options.page:
        from rankiqa.evaluation import evaluation_page

        evaluation_page.check_installed()


def _scored(options: argparse.Namespace, preset) -> tuple[list, dict, bool | None]:
    """Return the images with scores, what the summary says of them, and whether lower labels are better."""
    from rankiqa.evaluation import rated_images, scored_images

    if scored_images.is_scored(options.list):
        given = [f"--{name}" for name in ("weights", "root", "side", "crops", "strict") if getattr(options, name)]
        if given or options.types_from != "auto":
            words = " ".join([*given, *["--types-from"] * (options.types_from != "auto")])
            raise ValueError(f"{options.list}: expected a list to score with {words}, got scores of an evaluation")
        images, about = scored_images.read(options.list)
        known = {key: about.get(key) for key in ("lower_is_better", "crops", "seed")}
        return images, {**known, "list": str(options.list)}, about.get("label_lower_is_better")
    rated = rated_images.read(options.list, options.root, options.side, options.types_from)

    import rankiqa
    from rankiqa.models.weights import SHIPPED

    model = rankiqa.load(options.weights).to(usable_device(options.device))
    options.crops = options.crops or model.sampling.crops
    if preset is not None:
        preset.check_head(model.head)
    scoring = scored_images.score_images(
        model, rated.images, crops=options.crops, seed=options.seed, strict=options.strict, workers=options.workers
    )
    images = list(progress.bar(scoring, total=len(rated.images), unit="image"))
    about = {
        "lower_is_better": model.lower_is_better,
        "crops": options.crops,
        "seed": options.seed,
        "list": rated.name,
        "list_sha256": rated.sha256,
        "weights": str(options.weights or SHIPPED),
    }
    return images, about, rated.lower_is_better


def _show(summary: dict) -> None:
    """Print the summary as a table and lines."""
    for image in summary.get("errors", ()):
        print(f"{image['path']}: {image['error']}", file=sys.stderr)
    rows = [("all", summary), *summary["by_type"].items()]  # a type may be called all
    width = max(len(name) for name, _ in rows)
    print(" ".join([" " * width, *(f"{name:>13}" for name in _ROWS)]))
    for name, row in rows:
        shown = [_cell(row[key]) for key in _ROWS]  # "all" may also be the name of a type
        print(" ".join([f"{name:<{width}}", *(f"{cell:>13}" for cell in shown)]))
    for name, (low, high) in summary.get("intervals", {}).items():
        bootstrap = summary["bootstrap"]
        print(f"{name}: {100 * bootstrap['confidence']:g}% interval {low:.4f} .. {high:.4f} (by {bootstrap['by']})")
    splits = summary.get("splits")
    for name in ("srocc", "lcc"):
        if splits is None:
            break
        mean, std, median = (_cell(splits[name][key]) for key in ("mean", "std", "median"))
        print(f"{name} over {splits['count']} splits by {splits['by']}: mean {mean}, std {std}, median {median}")
    print(f"logistic function: {summary['logistic']['function']}")
    for name, row in summary.get("against", {}).items():
        if isinstance(row, dict):
            interval = "" if row["interval"] is None else " interval {:+.4f} .. {:+.4f}".format(*row["interval"])
            difference = "not defined" if row["difference"] is None else f"{row['difference']:+.4f}{interval}"
            print(f"{name} minus {name} of {summary['against']['file']}: {difference}")
    for path in summary.get("preset", {}).get("files", ()):
        print(path)
    for remark in summary["remarks"]:
        print(remark)


def _cell(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"
