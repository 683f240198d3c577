"""`rankiqa train`: a training of a preset, from lists to snapshots."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rankiqa.cli import arguments, progress
from rankiqa.data.atomic_files import replacing
from rankiqa.data.json_text import parse_json
from rankiqa.models import memory
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.training.presets import PRESETS, Preset, flat

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer

LATEST = "latest"


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, parse_json(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from None


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    one = commands.add_parser(
        "train",
        help="train a network",
        description="Train as the original does; the same seed gives the same training in Caffe. Writes OUT/log.txt, "
        "OUT/settings.json and OUT/PRESET_iter_N.safetensors. After SIGINT, SIGTERM or SIGHUP, or an image that cannot "
        "be read, a snapshot is written and the training ends; --resume continues it, bit for bit. Exit status: "
        "0 trained, 1 stopped or failed on the way, 2 nothing was begun (options, lists, images, weights).",
    )
    one.set_defaults(run=run)
    one.add_argument("preset", choices=sorted(PRESETS), help="the settings of the original, or the paper's")
    one.add_argument("--train", required=True, metavar="LIST", help="`path label` lines, in the original's order")
    one.add_argument("--test", metavar="LIST", help="the same for the test phase")
    one.add_argument("--root", default="", metavar="DIR", help="where the lists' paths start")
    one.add_argument("--out", required=True, metavar="DIR", type=Path)
    one.add_argument(
        "--seed", type=arguments.SEED, default=0, help="Caffe's random_seed, and the data layers' (default 0)"
    )
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
    one.add_argument(
        "--workers",
        type=arguments.processes(0),
        default=0,
        help="processes that read images (any number: the same batches)",
    )
    one.add_argument(
        "--no-check", action="store_true", help="do not look at every listed image before the first iteration"
    )
    one.add_argument(
        "--cache-mb",
        type=arguments.int_in_range(0, 1 << 24),
        default=0,
        help="decoded images to keep in memory, each worker",
    )
    one.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 ..")
    one.add_argument(
        "--caffe-products",
        nargs="?",
        type=arguments.int_in_range(1, 1024),
        const=0,
        metavar="THREADS",
        help="sum matrix products as Caffe does, to reach its weights bit for bit; slower, CPU only. THREADS: the "
        "cores that Caffe had (default: those of this machine)",
    )


class _Log:
    """Lines to stderr and to OUT/log.txt; that one of them fails (a closed terminal, a full disk) ends no training."""

    def __init__(self, out: Path):
        out.mkdir(parents=True, exist_ok=True)
        self._file = open(out / "log.txt", "ab", buffering=0)  # noqa: SIM115  open as long as the process
        with contextlib.suppress(ImportError):
            import fcntl  # Unix only

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise ValueError(f"{out}: expected a folder of one training, got one that is training now") from None
            except OSError:  # a file system without locks
                pass

    def __call__(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            self._file.write(f"{line}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        self._file.close()


def _trainer(options: argparse.Namespace, preset: Preset, log: _Log) -> Trainer:
    """The training, ready to run. Raises ValueError or OSError for what keeps it from beginning."""
    from rankiqa.caffe.blas import CaffeBlas
    from rankiqa.data.lists import read_list
    from rankiqa.data.order import FAITHFUL, SANE
    from rankiqa.training import snapshots
    from rankiqa.training.trainer import Trainer

    before = snapshots.latest(options.out, preset.name)
    if before is not None and not options.resume:
        raise ValueError(
            f"{options.out}: expected a folder without a training of {preset.name}, got {before.name}: "
            "--resume goes on from it; a new training takes another --out"
        )
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
        device=arguments.usable_device(options.device),
        products=None if options.caffe_products is None else CaffeBlas(options.caffe_products or None),
        log=log,
    )
    if options.resume:
        path = before if options.resume == LATEST else options.resume
        if path is None:
            raise ValueError(f"{options.out}: expected a snapshot {preset.name}_iter_N.safetensors, got none")
        trainer.restore(path)
        log(f"Restored {path}, iteration {trainer.iteration}")
    if not options.no_check:
        _check(trainer)
    return trainer


def _check(trainer: Trainer) -> None:
    from rankiqa.data.image_check import check_images, distinct

    lists = [images for images in trainer.lists.values() if images is not None]
    last_offset = not trainer.quirks.last_offset_never_drawn
    with progress.bar(total=len(distinct(lists)), unit="image", desc="checking", leave=False) as bar:
        check_images(lists, trainer.model.input_spec.crop, last_offset=last_offset, each=bar.update)


def _write_settings(options: argparse.Namespace, preset: Preset) -> None:
    """OUT/settings.json of the run that began; OUT/settings_resumed_N.json of the N-th that goes on."""
    settings = {
        "preset": flat(preset),
        "options": {key: str(value) for key, value in vars(options).items() if key != "run"},
    }
    path, number = options.out / "settings.json", 0
    while options.resume and path.exists():
        number += 1
        path = options.out / f"settings_resumed_{number}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")


@contextlib.contextmanager
def _stopping(trainer: Trainer) -> Iterator[None]:
    """Signals that end a program end the training after its iteration, with a snapshot."""
    numbers = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
    if threading.current_thread() is not threading.main_thread():
        numbers = set()
    numbers = {number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}  # nohup
    before = {number: signal.signal(number, lambda *_: setattr(trainer, "stop_requested", True)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(error: BaseException, out: Path) -> str:
    """An error on one line."""
    if isinstance(error, OSError):
        return f"{error.filename or out}: expected a file that can be written, got: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "expected a training that fits into memory, got no memory for it: a smaller batch or --cache-mb"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    memory.keep_freed()
    if options.caffe_products is not None:  # before torch is imported: rankiqa.caffe.blas
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        preset = PRESETS[options.preset].but(**dict(options.set))
        log = _Log(options.out)
    except (ValueError, TypeError) as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        got = error.strerror or error
        print(f"rankiqa: {options.out}: expected a folder to write to (--out), got: {got}", file=sys.stderr)
        return 2
    with contextlib.closing(log):
        return _train(options, preset, log)


def _train(options: argparse.Namespace, preset: Preset, log: _Log) -> int:
    try:
        trainer = _trainer(options, preset, log)
        _write_settings(options, preset)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        log(f"rankiqa: {_line(error, options.out)}")
        return 2
    from rankiqa.training import snapshots

    problem = None
    try:
        with _stopping(trainer):
            trainer.run()
    except (ValueError, OSError, RuntimeError, MemoryError, FloatingPointError) as error:
        problem = _line(error, options.out)
    if problem is None and not trainer.stop_requested:
        return 0
    last = snapshots.latest(options.out, preset.name)
    way_out = f"--resume goes on from {last}" if last else "there is no snapshot yet"
    log(f"rankiqa: {problem or 'stopped'}; at iteration {trainer.iteration}; {way_out}")
    return 1
