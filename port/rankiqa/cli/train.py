"""`rankiqa train`: a training of a preset, from lists to snapshots."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from rankiqa.data.atomic_files import replacing
from rankiqa.models import memory
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.training.presets import PRESETS, flat

LATEST = "latest"


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from None


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    one = commands.add_parser(
        "train",
        help="train a network",
        description="Train as the original does; from one seed Caffe walks the same path. Writes OUT/log.txt, "
        "OUT/settings.json and OUT/PRESET_iter_N.safetensors. SIGINT, SIGTERM: a snapshot, then the end. Exit status: "
        "0 trained, 1 stopped or failed on the way, 2 nothing was begun (options, lists, weights).",
    )
    one.set_defaults(run=run)
    one.add_argument("preset", choices=sorted(PRESETS), help="the settings of the original, or the paper's")
    one.add_argument("--train", required=True, metavar="LIST", help="`path label` lines, in the original's order")
    one.add_argument("--test", metavar="LIST", help="the same for the test phase")
    one.add_argument("--root", default="", metavar="DIR", help="where the lists' paths start")
    one.add_argument("--out", required=True, metavar="DIR", type=Path)
    one.add_argument("--seed", type=int, default=0, help="Caffe's random_seed, and the data layers' (default 0)")
    one.add_argument("--arch", choices=sorted(ARCHITECTURES), default="vgg16")
    start = one.add_mutually_exclusive_group()
    start.add_argument("--weights", metavar="W", help="a .safetensors whose layers are copied by name")
    start.add_argument(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="S",
        help="go on from a snapshot; without S: the last whole one in OUT",
    )
    one.add_argument(
        "--set",
        action="append",
        type=_setting,
        default=[],
        metavar="NAME=NUMBER",
        help="change a setting: max_iter=300",
    )
    one.add_argument("--sane", action="store_true", help="without the original's quirks in the data")
    one.add_argument("--workers", type=int, default=0, help="processes that read images (any number: the same batches)")
    one.add_argument("--cache-mb", type=int, default=0, help="decoded images to keep in memory, each worker")
    one.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 ..")
    one.add_argument(
        "--caffe-products",
        nargs="?",
        type=int,
        const=0,
        metavar="THREADS",
        help="sum matrix products as Caffe does, to reach its weights bit for bit; slower, CPU only. THREADS: the "
        "cores that Caffe had (default: those of this machine)",
    )


def _trainer(options: argparse.Namespace, log):
    from rankiqa.caffe.blas import CaffeBlas
    from rankiqa.data.lists import read_list
    from rankiqa.data.order import FAITHFUL, SANE
    from rankiqa.training import snapshots
    from rankiqa.training.trainer import Trainer

    preset = PRESETS[options.preset].but(**dict(options.set))
    trainer = Trainer.from_preset(
        preset,
        options.arch,
        train=read_list(options.train, options.root),
        test=read_list(options.test, options.root) if options.test else None,
        seed=options.seed,
        weights=options.weights,
        out=options.out,
        quirks=SANE if options.sane else FAITHFUL,
        workers=options.workers,
        cache_mb=options.cache_mb,
        device=options.device,
        products=None if options.caffe_products is None else CaffeBlas(options.caffe_products or None),
        log=log,
    )
    if options.resume:
        path = options.resume
        if path == LATEST:
            path = snapshots.latest(options.out, preset.name)
            if path is None:
                raise ValueError(f"{options.out}: expected a snapshot {preset.name}_iter_N.safetensors, got none")
        trainer.restore(path)
        log(f"Restored {path}, iteration {trainer.iteration}")
    return trainer, preset


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    memory.keep_freed()
    if options.caffe_products is not None:  # before torch is imported: rankiqa.caffe.blas
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "log.txt", "a") as log:

        def log_line(line: str) -> None:
            print(line, file=sys.stderr)
            print(line, file=log, flush=True)

        try:
            trainer, preset = _trainer(options, log_line)
        except (ValueError, RuntimeError, TypeError) as error:  # torch's own words for a device it lacks
            print(f"rankiqa: {str(error).splitlines()[0]}", file=sys.stderr)
            return 2
        settings = {
            "preset": flat(preset),
            "options": {key: str(value) for key, value in vars(options).items() if key != "run"},
        }
        with replacing(options.out / "settings.json") as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: setattr(trainer, "stop_requested", True))
        try:
            trainer.run()
        except (ValueError, RuntimeError, FloatingPointError) as error:
            print(f"rankiqa: {str(error).splitlines()[0]}", file=sys.stderr)
            return 1
    return 1 if trainer.stop_requested else 0
