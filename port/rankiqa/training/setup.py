"""Set up training from a preset: the network with its initial weights, the optimizer and the callbacks.

Source: Caffe 1.0 solver.cpp (behaviour, not code).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.order import Quirks
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa.models.backbones import TIMM, build_backbone
from rankiqa.models.network import build_network, fill
from rankiqa.models.registry import architecture, build
from rankiqa.models.score_meaning import MEANINGS
from rankiqa.models.scorer import Scorer
from rankiqa.ranked_sets.on_the_fly import PristinePhotographs
from rankiqa.training.callbacks import CaffeLog, Callback, CsvLog, Snapshots, TensorBoard
from rankiqa.training.distributed import Ranks
from rankiqa.training.initial_weights import initialise
from rankiqa.training.presets import Preset
from rankiqa.training.recipe import Recipe
from rankiqa.training.solvers import solver_of
from rankiqa.training.tasks import Source, task_of

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


def set_up(
    make: type[Trainer],
    preset: Preset,
    arch: str,
    *,
    train: Source,
    test: Source | None,
    seed: int,
    weights: str | Path | None,
    out: str | Path | None,
    quirks: Quirks,
    workers: int,
    cache_mb: int,
    device: torch.device,
    products: CaffeBlas | None,
    recipe: Recipe,
    ranks: Ranks,
    log_csv: bool,
    tensorboard: bool,
    log: Callable[[str], object] | None,
) -> Trainer:
    """Build a trainer: see `Trainer.from_preset`. `make` is the trainer's class."""
    task = task_of(preset, recipe)
    for images in filter(None, (train, test)):
        task.order(images, seed, quirks)  # refuses an unsuitable list before anything is built
    write = log or logging.getLogger("rankiqa.training").info
    random = CaffeRandom(seed)
    model = first_network(preset, arch, random, recipe, test_net=test is not None)
    model.meaning = MEANINGS[preset.net]
    if isinstance(train, PristinePhotographs):
        model.meaning = replace(model.meaning, dataset=train.choice.dataset)
    if weights is not None:
        for line in initialise(model, weights):
            write(line)
    model.to(device)
    if products is not None:
        if device.type != "cpu":
            raise ValueError(f"Caffe's products: expected device cpu, got {device}")
        if recipe.winograd:
            raise ValueError("winograd: expected PyTorch's products, got Caffe's, which sum in another order")
        products.apply_to(model)
    optimizer = solver_of(model, preset, recipe, products)
    callbacks: list[Callback] = [CaffeLog(write)] if ranks.rank == 0 else []
    if out is not None and ranks.rank == 0:
        callbacks.append(Snapshots(Path(out), write))
        if log_csv:
            callbacks.append(CsvLog(Path(out)))
        if tensorboard:
            callbacks.append(TensorBoard(Path(out) / "tensorboard"))
    trainer = make(
        model, task, optimizer, preset, train=train, test=test, seed=seed, random=random, quirks=quirks,
        workers=workers, cache_mb=cache_mb, callbacks=callbacks, recipe=recipe, ranks=ranks,
    )  # fmt: skip
    trainer.products = products
    return trainer


def first_network(preset: Preset, arch: str, random: CaffeRandom, recipe: Recipe, *, test_net: bool) -> Scorer:
    """Build a network with new weights. Caffe's fillers initialise the original's three networks, libraries their own.

    Args:
        preset: Determines the layer names of the original's networks.
        arch: A name for `rankiqa.build`.
        random: Caffe's random stream. A library's network takes its seed from it.
        recipe: Dropout and stochastic depth of timm's networks.
        test_net: Whether to fill a TEST net from the stream, too.

    Raises:
        ValueError: For an unknown arch, or dropout for a network that does not support it.
    """
    dropped = {"drop_rate": recipe.dropout, "drop_path_rate": recipe.drop_path}
    dropped = {name: share for name, share in dropped.items() if share}
    if dropped and not arch.startswith(f"{TIMM}:"):
        raise ValueError(f"dropout, drop_path: expected 0 for a network that is not timm's, got {dropped} for {arch}")
    if arch in ARCHITECTURES:
        table = architecture(arch)
        model = build_network(table, fc=known_nets(table)[preset.net], random=random)
        if test_net:
            fill(table, random)  # CAFFE: the TEST net is also filled, from the same stream (solver.cpp)
        return model
    with torch.random.fork_rng([]), torch.device("cpu"):
        torch.default_generator.manual_seed(int(random.words(1)[0]))  # torch.manual_seed would also seed every GPU
        model = build_backbone(arch, pretrained=False, **dropped) if dropped else build(arch)
    if not isinstance(model, Scorer):
        raise ValueError(f"arch {arch}: expected a rankiqa.models.scorer.Scorer, got {type(model).__name__}")
    return model
