"""The trainings of an experiment. Each has its own folder, runs only once, and is resumed after an interruption."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.data.image_lists import ImageList
from rankiqa.data.order import FAITHFUL
from rankiqa.experiments.budgets import Settings
from rankiqa.experiments.csv_tables import read_csv, write_csv
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.models import weights
from rankiqa.models.backbones import is_backbone
from rankiqa.models.network import Network
from rankiqa.models.score_meaning import MEANINGS
from rankiqa.models.scorer import Scorer
from rankiqa.training import snapshots
from rankiqa.training.callbacks import Callback, Snapshots
from rankiqa.training.initial_weights import initialise
from rankiqa.training.presets import Preset
from rankiqa.training.recipe import ORIGINAL
from rankiqa.training.setup import first_network
from rankiqa.training.solvers import solver_of
from rankiqa.training.tasks import Task, task_of
from rankiqa.training.trainer import Trainer

CURVE = "curve.csv"
EFFICIENT = "efficient"  # the run by the efficient method, in every experiment that has one
COLUMNS = ("iteration", "images_forwarded", "seconds", "loss", "worst")
CACHE_MB = 400  # for decoded images, so that a small ranked set is read only once


class Curve(Callback):
    """Writes FOLDER/curve.csv: the held-out loss at the start and at each snapshot.

    Args:
        path: The file.
        held_out: The held-out images.
        images: The number of images that an iteration forwards.
        either_sign: Whether to use the smaller of the losses of the scores and of the negated scores.
    """

    def __init__(self, path: Path, held_out: HeldOut, images: int, *, either_sign: bool = False):
        self.path, self.held_out, self.images, self.either_sign = path, held_out, images, either_sign
        self.rows: list[dict] = []
        self._since, self._spent = 0.0, 0.0

    def on_start(self, trainer: Trainer) -> None:
        """Read the rows of an interrupted run, or measure the untrained network."""
        self.rows = [row for row in read_csv(self.path) if int(row["iteration"]) <= trainer.iteration]
        self._spent = float(self.rows[-1]["seconds"]) if self.rows else 0.0
        if not self.rows:
            self._measure(trainer)
        self._since = time.perf_counter()

    def on_snapshot(self, trainer: Trainer) -> None:
        """Measure the loss. The time for this is not counted."""
        self._spent += time.perf_counter() - self._since
        if int(self.rows[-1]["iteration"]) < trainer.iteration:
            self._measure(trainer)
        self._since = time.perf_counter()

    def _measure(self, trainer: Trainer) -> None:
        """Append a row to the file."""
        scores = self.held_out.scores(trainer.model)
        losses = self.held_out.losses(scores)
        if self.either_sign:
            losses = min(losses, self.held_out.losses(-scores), key=lambda values: values.mean())
        worst = self.held_out.names[int(losses.sum(0).argmax())]
        n = trainer.iteration
        values = (n, n * self.images, round(self._spent, 2), float(losses.mean()), worst)
        self.rows.append(dict(zip(COLUMNS, values, strict=True)))
        write_csv(self.path, COLUMNS, self.rows)


class _LastOnly(Callback):
    """Removes all snapshots but the last."""

    def __init__(self, folder: Path):
        self.folder = folder

    def on_snapshot(self, trainer: Trainer) -> None:
        """Remove the older snapshots. `Snapshots` must run before."""
        last = snapshots.latest(self.folder, trainer.preset.name)
        for path in self.folder.glob(f"{trainer.preset.name}_iter_*.safetensors"):
            if path != last:
                path.unlink()


def trained(
    folder: Path,
    preset: Preset,
    arch: str,
    train: ImageList,
    settings: Settings,
    *,
    seed: int,
    init: str | Path | None = None,
    task: Task | None = None,
    trainer_class: type[Trainer] = Trainer,
    watch: Callback | None = None,
    products: CaffeBlas | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Scorer:
    """Return a trained network. Train it, resume its training or, if that is finished, load it.

    Args:
        folder: The folder of the run, with its snapshot and done.json.
        preset: The settings of the training.
        arch: The network.
        train: The training list.
        settings: Say whether a network without initial weights starts with centred filters.
        seed: The seed of weights, minibatches and crops.
        init: Initial weights, see `rankiqa.training.initial_weights`.
        task: A task other than the preset's.
        trainer_class: The class that runs the training.
        watch: A callback that runs before the snapshot is written.
        products: Computes matrix products in Caffe's order of sums; None: PyTorch's own products.
        say: Called with lines about the progress.

    Returns:
        The network.

    Raises:
        ValueError: Weights or lists do not fit, or the folder belongs to another training.
        FloatingPointError: The loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done, last = folder / "done.json", snapshots.latest(folder, preset.name)
    if done.exists() and last is not None:
        model = weights.load(last)
        if products is not None:
            products.apply_to(model)
        return model
    random = CaffeRandom(seed)
    model = start(preset, arch, settings, random, init)
    if products is not None:
        products.apply_to(model)
    callbacks: list[Callback] = [Snapshots(folder, say), _LastOnly(folder)]
    trainer = trainer_class(
        model, task or task_of(preset), solver_of(model, preset, ORIGINAL, products), preset, train=train, seed=seed,
        random=random, quirks=FAITHFUL, cache_mb=CACHE_MB,
        callbacks=callbacks if watch is None else [watch, *callbacks],
    )  # fmt: skip
    trainer.products = products
    if last is not None:
        trainer.restore(last)
    begin = time.perf_counter()
    trainer.run()
    with replacing(done) as temporary:
        about = {"iterations": trainer.iteration, "seconds": round(time.perf_counter() - begin, 1)}
        temporary.write_text(json.dumps(about) + "\n")
    return model


def check_networks(archs: Sequence[str], settings: Settings, init: str | None) -> dict[str, str]:
    """Check before an experiment begins that its networks and their initial weights are available.

    Args:
        archs: The networks.
        settings: Their `arch` is the network that `init` belongs to.
        init: Initial weights; None: fillers.

    Returns:
        {"init_sha256"} for a weights file, so that changed weights of the same name count as another experiment; else
        {}.

    Raises:
        ValueError: A package is missing, or the weights are missing or do not fit.
    """
    for arch in archs:
        if is_backbone(arch):
            need(arch.partition(":")[0], "timm", f"arch {arch}")
    if init is None:
        return {}
    if settings.arch not in archs:
        raise ValueError(f"--init: expected an experiment with {settings.arch}, got {', '.join(archs)}")
    start(settings.rank_preset(iterations=1), settings.arch, settings, CaffeRandom(0), init)
    return {"init_sha256": hashlib.sha256(Path(init).read_bytes()).hexdigest()} if Path(init).is_file() else {}


def start(preset: Preset, arch: str, settings: Settings, random: CaffeRandom, init: str | Path | None) -> Scorer:
    """Return the network that a training starts from. Raise ValueError if the initial weights do not fit."""
    model = first_network(preset, arch, random, ORIGINAL, test_net=False)
    model.meaning = MEANINGS[preset.net]
    if init is not None:
        initialise(model, init)
    elif settings.centred_start and isinstance(model, Network):
        first = next(model.parameters())
        first.data = centred(first.data)
    return model


def centred(filters: torch.Tensor) -> torch.Tensor:
    """Return filters (N, C, H, W) shifted so that each channel sums to zero: see `Settings.centred_start`."""
    return filters - filters.mean((2, 3), keepdim=True)
