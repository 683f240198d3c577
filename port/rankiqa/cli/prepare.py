"""The command `rankiqa prepare`: choose the pristine images of Waterloo or Places2 as in the paper."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from rankiqa.cli import arguments, progress
from rankiqa.cli.interrupts import stoppable
from rankiqa.data.atomic_files import remove_abandoned, replacing, target_of
from rankiqa.data.json_text import parse_json

LARGE = ("keep", "scale", "refuse")
SHOWN = 20  # number of refused images that stderr lists; OUT.json and --json list all of them


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    command = commands.add_parser(
        "prepare",
        help="choose the pristine images that ranked sets are made from",
        description="Write OUT/NAME.bmp and OUT.json, which says what was chosen and how. The same command resumes a "
        "run "
        "that was stopped or killed. Exit status: 0 all images written, 1 some images were refused or missing or the "
        "run "
        "failed, 2 not started (wrong options, folders or labels), 130 stopped.",
    )
    collections = command.add_subparsers(dest="collection", required=True, metavar="SET")
    texts = {
        "waterloo": "the 4,744 pristine images of the Waterloo Exploration Database",
        "places2": "validation images of Places2 (Places365-Standard), the same number of each scene",
    }
    waterloo, places2 = (
        collections.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        for name, text in texts.items()
    )
    for parser in (waterloo, places2):
        parser.set_defaults(run=run)
        parser.add_argument("--images", required=True, metavar="DIR", type=Path, help="folder of the unpacked archive")
        parser.add_argument("--out", required=True, metavar="OUT", type=Path, help="folder for the chosen images only")
    waterloo.add_argument(
        "--count",
        type=arguments.int_in_range(1, 99999),
        default=4744,
        help="number of images in the collection (default 4744)",
    )
    places2.add_argument("--labels", required=True, metavar="FILE", type=Path, help="places365_val.txt")
    places2.add_argument(
        "--scenes",
        type=arguments.int_in_range(1),
        metavar="N",
        help="number of scenes, drawn by the seed (default: all 365; paper: 356)",
    )
    places2.add_argument(
        "--per-scene", type=arguments.int_in_range(1), default=100, metavar="N", help="images per scene (default 100)"
    )
    places2.add_argument("--seed", type=arguments.SEED, default=0, help="seed of the choice (default 0)")
    for parser in (waterloo, places2):
        parser.add_argument(
            "--large",
            choices=LARGE,
            default=LARGE[0],
            help="what to do with an image of which a 224 crop is less than a third (shorter side above 672): keep "
            "it, as the original's code does (default), scale it down to 672, or refuse it",
        )
        arguments.add_photograph_limits(parser)
        parser.add_argument(
            "--workers", type=arguments.processes(1), default=1, metavar="N", help="number of processes (default 1)"
        )
        parser.add_argument("--quick", action="store_true", help="trust existing files without reading them")
        parser.add_argument("--json", action="store_true", help="print the summary as a JSON object")


def run(options: argparse.Namespace) -> int:
    """Prepare a collection and return the exit status."""
    with stoppable():
        try:
            return _run(options)
        except KeyboardInterrupt:
            print("rankiqa: stopped; the same command resumes", file=sys.stderr)
            return 130


def _run(options: argparse.Namespace) -> int:
    """Choose and write the images, and return the exit status."""
    from rankiqa.ranked_sets import pristine_images, pristine_selection
    from rankiqa.ranked_sets.worker_pool import WorkerLost

    out = Path(os.path.abspath(options.out))
    rules = pristine_images.Rules(int(options.min_side), int(options.max_pixels), options.large)
    try:
        if options.collection == "waterloo":
            chosen = pristine_selection.waterloo(options.images, options.count)
        else:
            chosen = pristine_selection.places2(
                options.images, options.labels, scenes=options.scenes, per_scene=options.per_scene, seed=options.seed
            )
        record = _record(options.collection, chosen, rules)
        _claim(out, record)
    except OSError as error:
        print(f"rankiqa: {error.filename}: expected a folder to write, got: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    files = {name: file.name for name, file in chosen.images}
    counts = {"written": 0, "skipped": 0, "large": 0, "bytes": 0}
    refused = dict(chosen.refused)
    reasons: dict[str, str] = {}  # reasons for refusing chosen images
    problem = None
    try:
        outcomes = pristine_images.prepare_images(
            chosen.images, out, rules, workers=options.workers, quick=options.quick
        )
        try:
            with contextlib.closing(outcomes):
                for outcome in progress.bar(outcomes, total=len(files), unit="image"):
                    if outcome.refused:
                        reasons[outcome.name] = outcome.refused
                        continue
                    counts["written" if outcome.written else "skipped"] += 1
                    counts["large"] += outcome.large
                    counts["bytes"] += outcome.size
        finally:  # workers finish in any order; list refusals in the order of the images
            refused |= {file: reasons[name] for name, file in files.items() if name in reasons}
        rows = [{"image": name, "error": why} for name, why in refused.items()]
        _write(_sidecar(out), record | {"complete": True, "refused": rows})
    except OSError as error:
        problem = f"{error.filename or out}: expected a file that can be written, got: {error.strerror}"
    except WorkerLost as error:
        problem = str(error)
    _report(options, chosen, record, counts, list(refused.items()), problem)
    return 1 if refused or problem else 0


def _sidecar(out: Path) -> Path:
    """Return the path of OUT.json."""
    return out.with_name(out.name + ".json")


def _record(collection: str, chosen, rules) -> dict:
    """Return the content of OUT.json when the run begins. A resumed run ends with the same content."""
    return {
        "command": f"prepare {collection}",
        "settings": {**chosen.settings, **vars(rules)},
        "selected": len(chosen.images),
        "selection_sha256": chosen.sha256,
        "files": {name: file.name for name, file in chosen.images},
    }


def _claim(out: Path, record: dict) -> None:
    """Create OUT, or check that it contains nothing but files of such a run. Raise ValueError or OSError."""
    sidecar = _sidecar(out)
    existing = set(os.listdir(out)) if out.is_dir() else set()
    try:
        earlier = parse_json(sidecar.read_bytes())
    except FileNotFoundError:
        if existing:
            raise ValueError(
                f"{out}: expected a new or an empty folder, or one with {sidecar.name} of an earlier run beside it, "
                f"got {len(existing)} files and no {sidecar.name}"
            ) from None
        earlier = record
    except ValueError:
        raise ValueError(f"{sidecar}: expected the record of an earlier run, got another file") from None
    earlier = earlier if isinstance(earlier, dict) else {}
    for key in ("command", "settings"):  # the images may differ: missing ones may have been added
        if earlier.get(key) != record[key]:
            raise ValueError(
                f"{sidecar}: {key}: expected {json.dumps(record[key])}, the value of this run, got "
                f"{json.dumps(earlier.get(key))}; use another --out"
            )
    temporary = {name for name in existing if target_of(name) in record["files"]}
    if others := sorted(existing - record["files"].keys() - temporary):
        raise ValueError(
            f"{out}: expected only images that this run makes, got {len(others)} other files, for example {others[0]}"
        )
    out.mkdir(parents=True, exist_ok=True)
    remove_abandoned(out)
    _write(sidecar, record | {"complete": False})


def _write(path: Path, content: dict) -> None:
    """Write a JSON file."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def _report(options, chosen, record: dict, counts: dict, refused: list[tuple[str, str]], problem: str | None) -> None:
    """Print the summary on stdout, and remarks, refused images and the problem on stderr."""
    total, sidecar = len(chosen.images), str(_sidecar(Path(os.path.abspath(options.out))))
    if options.json:
        summary = {
            "set": options.collection, "images": str(options.images), "out": str(options.out), "selected": total,
            "sidecar": sidecar, **counts, "ignored": chosen.ignored.total(), "selection_sha256": chosen.sha256,
            "settings": record["settings"], "refused": [{"image": name, "error": why} for name, why in refused],
            "error": problem,
        }  # fmt: skip
        print(json.dumps(summary), flush=True)
    else:
        print(f"chosen: {total} images, {counts['written']} written, {counts['skipped']} valid")
        print(f"{options.out}: {counts['bytes'] / 1e6:.1f} MB; how they were chosen: {sidecar}", flush=True)
    if counts["large"] and options.large == "keep":
        print(
            f"rankiqa: kept {counts['large']} images with a shorter side above 672 unchanged; a 224 crop is less than "
            f"a third "
            "of them (--large scale, --large refuse)",
            file=sys.stderr,
        )
    if chosen.ignored.total():
        print(f"rankiqa: ignored, not in the collection: {chosen.ignored.text()}", file=sys.stderr)
    for name, why in refused[:SHOWN]:
        print(f"rankiqa: {name}: {why}", file=sys.stderr)
    if len(refused) > SHOWN:
        print(f"rankiqa: and {len(refused) - SHOWN} more", file=sys.stderr)
    if refused:
        print(f"rankiqa: {len(refused)} refused or missing", file=sys.stderr)
    if problem:
        print(f"rankiqa: {problem}", file=sys.stderr)
