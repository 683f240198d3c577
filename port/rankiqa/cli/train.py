"""The commands `rankiqa train` and `rankiqa finetune`: train as a preset says, from lists of images to snapshots."""

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
    """Add the commands to the subparsers `commands`."""
    train_arguments.add(commands, run)


class _Log:
    """Writes lines to stderr and to OUT/log.txt. A failed write (a closed terminal, a full disk) does not end the
    training.

    With several ranks, the first rank writes everything; the others write only errors, to stderr.

    Args:
        out: The folder OUT, which is created.
        rank: The rank of this process.

    Raises:
        ValueError: Another training is writing to OUT.
    """

    def __init__(self, out: Path, rank: int):
        self._rank, self._file = rank, None
        if rank:
            return
        out.mkdir(parents=True, exist_ok=True)
        self._file = open(out / "log.txt", "ab", buffering=0)  # noqa: SIM115  open until the process ends
        with contextlib.suppress(ImportError):
            import fcntl  # not on Windows

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise ValueError(f"{out}: expected a folder that no other training uses, got one in use") from None
            except OSError:  # a file system without locks
                pass  # the file system has no locks

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
    """Return the trainer, ready to run. Raise ValueError or OSError if the training cannot begin."""
    from rankiqa.caffe.blas import CaffeBlas
    from rankiqa.data.order import FAITHFUL, SANE
    from rankiqa.training import snapshots
    from rankiqa.training.initial_weights import arch_of
    from rankiqa.training.trainer import Trainer

    before = snapshots.latest(options.out, preset.name)
    if before is not None and options.resume is None:
        raise ValueError(
            f"{options.out}: expected a folder without a training of {preset.name}, got {before.name}: "
            "--resume continues it; a new training needs another --out"
        )
    if options.init and options.resume not in (None, LATEST):
        raise ValueError("--init: expected no --resume with it, since the snapshot has the weights")
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
    """Yield the file that --init names.

    A caffemodel is converted to a temporary file in OUT, which exists until the exit.
    """
    if options.init is None or not options.init.lower().endswith((".caffemodel", ".caffemodel.h5")):
        yield options.init
        return
    from rankiqa_convert.commands import shared_to_port  # imported late, since the port does not need rankiqa_convert

    with tempfile.TemporaryDirectory(prefix=".init-", dir=options.out) as folder:
        target = Path(folder) / f"{Path(options.init).name}.safetensors"
        try:
            shared_to_port(Path(options.init), preset.net, options.arch or DEFAULT_ARCH, target)
        except ValueError as error:
            raise ValueError(
                f"{error}; `rankiqa convert inspect` lists its layers, `rankiqa convert MODEL.caffemodel --for "
                f"{preset.net} --out W.safetensors` converts the layers that it shares with the network"
            ) from None
        yield str(target)


def _check(trainer: Trainer) -> None:
    """Check every image of the lists before the training."""
    from rankiqa.data.image_check import check_images, distinct
    from rankiqa.ranked_sets.on_the_fly import PristinePhotographs

    lists = [images for images in trainer.lists.values() if images is not None]
    photographs = any(isinstance(images, PristinePhotographs) for images in lists)
    last_offset = photographs or not trainer.quirks.last_offset_never_drawn
    with progress.bar(total=len(distinct(lists)), unit="image", desc="checking", leave=False) as bar:
        check_images(lists, trainer.model.input_spec.crop, last_offset=last_offset, each=bar.update)


def _write_settings(options: argparse.Namespace, preset: Preset) -> None:
    """Write OUT/settings.json for a new run, OUT/settings_resumed_N.json for the N-th resumed run."""
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
    """Let signals stop the training after its current iteration, with a snapshot, instead of ending the process."""
    numbers = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
    if threading.current_thread() is not threading.main_thread():
        numbers = set()
    numbers = {number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}  # nohup
    previous = {
        number: signal.signal(number, lambda *_: setattr(trainer, "stop_requested", True)) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _line(error: BaseException, out: Path) -> str:
    """Return an error as one line."""
    if isinstance(error, OSError):
        return f"{error.filename or out}: expected a file that can be written, got: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "expected a training that fits into memory, got too little memory: use a smaller batch or --cache-mb"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def run(options: argparse.Namespace) -> int:
    """Train and return the exit status."""
    memory.keep_freed()
    if options.caffe_products is not None:  # before torch is imported: rankiqa.caffe.blas
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported, see rankiqa.caffe.blas
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
    """Train in the process group of the ranks, which `stack` ends, and return the exit status."""
    from rankiqa.training import snapshots
    from rankiqa.training.distributed import own_device, process_group

    group = None
    try:
        name = own_device(ranks, options.device)  # first: otherwise every rank would also open the first GPU
        group = stack.enter_context(process_group(ranks, arguments.usable_device(name, "float64")))
        trainer = _trainer(options, preset, log, ranks, group.device)
        if ranks.rank == 0:
            _write_settings(options, preset)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        problem = _line(error, options.out)
        if group is not None:
            problem = group.line(error, problem)
        if problem is not None:
            log(f"rankiqa: {problem}")
        return 2

    problem = "stopped" if ranks.rank == 0 else None
    try:
        with _stopping(trainer):
            trainer.run()
        if not trainer.stop_requested:
            return 0
    except (ValueError, OSError, RuntimeError, MemoryError, FloatingPointError) as error:
        problem = group.line(error, _line(error, options.out))
    if ranks.rank == 0:
        last = snapshots.latest(options.out, preset.name)
        way_out = f"--resume continues from {last}" if last else "there is no snapshot yet"
        problem = f"{problem}; at iteration {trainer.iteration}; {way_out}"
    if problem is not None:
        log(f"rankiqa: {problem}")
    return 1
