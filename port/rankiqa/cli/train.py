"""`rankiqa train` and `finetune`: a training of a preset, from lists to snapshots."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankiqa.cli import arguments, progress, train_arguments
from rankiqa.cli.train_arguments import DEFAULT_ARCH, LAST, LATEST
from rankiqa.data.atomic_files import replacing
from rankiqa.models import memory
from rankiqa.training.presets import Preset, flat

if TYPE_CHECKING:
    import torch

    from rankiqa.training.distributed import Ranks
    from rankiqa.training.trainer import Trainer


def add(commands) -> None:
    """Add the commands to an argument parser's."""
    train_arguments.add(commands, run)


class _Log:
    """Lines to stderr and to OUT/log.txt; that one of them fails (a closed terminal, a full disk) ends no training.

    Of several ranks the first writes; the others say only what is wrong.
    """

    def __init__(self, out: Path, rank: int):
        self._rank, self._file = rank, None
        if rank:
            return
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
        if self._file is None:
            if line.startswith("rankiqa:"):
                print(f"{line} (rank {self._rank})", file=sys.stderr, flush=True)
            return
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            self._file.write(f"{line}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _trainer(options: argparse.Namespace, preset: Preset, log: _Log, ranks: Ranks, device: torch.device) -> Trainer:
    """The training, ready to run. Raises ValueError or OSError for what keeps it from beginning."""
    from rankiqa.caffe.blas import CaffeBlas
    from rankiqa.data.order import FAITHFUL, SANE
    from rankiqa.training import snapshots
    from rankiqa.training.initial_weights import arch_of
    from rankiqa.training.trainer import Trainer

    before = snapshots.latest(options.out, preset.name)
    if before is not None and options.resume is None:
        raise ValueError(
            f"{options.out}: expected a folder without a training of {preset.name}, got {before.name}: "
            "--resume goes on from it; a new training takes another --out"
        )
    if options.init and options.resume not in (None, LATEST):
        raise ValueError("--init: expected it without --resume, whose snapshot has the weights")
    from_snapshot = before if options.resume in (LAST, LATEST) else options.resume
    if options.resume == LAST and before is None:
        raise ValueError(f"{options.out}: expected a snapshot {preset.name}_iter_N.safetensors, got none")
    if from_snapshot is not None:
        options.init = None
    train, test = train_arguments.sources_of(options)
    with _initial_weights(options, preset) as weights:
        trainer = Trainer.from_preset(
            preset,
            options.arch or arch_of(from_snapshot or options.init) or DEFAULT_ARCH,
            train=train,
            test=test,
            seed=options.seed,
            weights=weights,
            out=options.out,
            quirks=SANE if options.sane else FAITHFUL,
            workers=options.workers,
            cache_mb=options.cache_mb,
            device=device,
            products=None if options.caffe_products is None else CaffeBlas(options.caffe_products or None),
            recipe=train_arguments.recipe_of(options),
            ranks=ranks,
            log_csv=options.log_csv,
            tensorboard=options.tensorboard,
            log=log,
        )
    if from_snapshot is not None:
        trainer.restore(from_snapshot)
        log(f"Restored {from_snapshot}, iteration {trainer.iteration}")
    if not options.no_check and ranks.rank == 0:
        _check(trainer)
    return trainer


@contextlib.contextmanager
def _initial_weights(options: argparse.Namespace, preset: Preset) -> Iterator[str | None]:
    """What --init names; a caffemodel as a converted file beside the run's, for as long as it is read."""
    if options.init is None or not options.init.lower().endswith((".caffemodel", ".caffemodel.h5")):
        yield options.init
        return
    from rankiqa_convert.commands import shared_to_port  # late: the port does without the bridge

    with tempfile.TemporaryDirectory(prefix=".init-", dir=options.out) as folder:
        target = Path(folder) / f"{Path(options.init).name}.safetensors"
        try:
            shared_to_port(Path(options.init), preset.net, options.arch or DEFAULT_ARCH, target)
        except ValueError as error:
            raise ValueError(
                f"{error}; `rankiqa convert inspect` shows what it holds, `rankiqa convert MODEL.caffemodel --for "
                f"{preset.net} --out W.safetensors` converts what it shares with the network"
            ) from None
        yield str(target)


def _check(trainer: Trainer) -> None:
    from rankiqa.data.image_check import check_images, distinct
    from rankiqa.ranked_sets.on_the_fly import PristinePhotographs

    lists = [images for images in trainer.lists.values() if images is not None]
    photographs = any(isinstance(images, PristinePhotographs) for images in lists)
    last_offset = photographs or not trainer.quirks.last_offset_never_drawn
    with progress.bar(total=len(distinct(lists)), unit="image", desc="checking", leave=False) as bar:
        check_images(lists, trainer.model.input_spec.crop, last_offset=last_offset, each=bar.update)


def _write_settings(options: argparse.Namespace, preset: Preset) -> None:
    """OUT/settings.json of the run that began; OUT/settings_resumed_N.json of the N-th that goes on."""
    settings = {
        "preset": flat(preset),
        "recipe": asdict(train_arguments.recipe_of(options)),
        "options": {key: str(value) for key, value in vars(options).items() if key != "run"},
    }
    path, number = options.out / "settings.json", 0
    while options.resume is not None and path.exists():
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
        preset = train_arguments.preset_of(options)
        train_arguments.recipe_of(options)
        from rankiqa.training.distributed import ranks_of_environment

        ranks = ranks_of_environment()
        log = _Log(options.out, ranks.rank)
    except (ValueError, TypeError) as error:
        print(f"rankiqa: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        got = error.strerror or error
        print(f"rankiqa: {options.out}: expected a folder to write to (--out), got: {got}", file=sys.stderr)
        return 2
    with contextlib.closing(log), contextlib.ExitStack() as stack:
        return _train(options, preset, log, ranks, stack)


def _train(options: argparse.Namespace, preset: Preset, log: _Log, ranks: Ranks, stack: contextlib.ExitStack) -> int:
    """Train inside the ranks' process group, which `stack` ends; returns the exit status."""
    from rankiqa.training.distributed import own_device, process_group

    try:
        name = own_device(ranks, options.device)  # before the device is tried: else each rank opens the first GPU, too
        device = stack.enter_context(process_group(ranks, arguments.usable_device(name, "float64")))
        trainer = _trainer(options, preset, log, ranks, device)
        if ranks.rank == 0:
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
