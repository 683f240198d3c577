"""Scores of many images: threads read and cut ahead, one thread computes, results come in the order of the images.

A forward pass holds crops of one image alone, always the same ones in the same places: a score's bits depend on neither
the other images, their order, nor the number of threads. (A pass that is filled up with crops of other images differs
in the last bits: libraries choose the order of their sums by the size of a pass and by a crop's place in it.)
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.image_sources import ImageSource, sources_of_all
from rankiqa.data.images import decode_image
from rankiqa.models.scorer import Scorer
from rankiqa.scoring import score as single
from rankiqa.scoring.engines import Engine, engine_named
from rankiqa.scoring.rows import Row, first_line
from rankiqa.scoring.score import CROPS, check_settings, summary

MODES = ("crops", "dense")
WORKERS = 2
CUT_AHEAD = 60  # crops of an image that are cut by the threads; more are cut pass by pass, which bounds the memory


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image that is ready to be scored.

    Attributes:
        source: Where it came from.
        pixels: uint8 (H, W, 3), RGB.
        notes: What its reader dropped.
        passes: The crops of each forward pass, float32 (n, 3, crop, crop); none in dense mode.
    """

    source: ImageSource
    pixels: np.ndarray
    notes: tuple[str, ...]
    passes: Iterable[Tensor] = ()


Result = Any  # what an engine returned for an image: outputs of each pass or a DenseScore; or the error
Hook = Callable[[ReadImage, Row, Result], object]


@dataclass(frozen=True)
class ScoreSettings:
    """What decides the score of an image, besides the network and the engine.

    Attributes:
        mode: "crops" (the original's way) or "dense".
        crops: Random crops an image; not used by dense.
        seed: Of the crops' places, anew for each image.
        strict: Refuse images of which the original's reader drops something.

    Raises:
        ValueError: For another mode, crops < 1, or another seed.
    """

    mode: str = "crops"
    crops: int = CROPS
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode: expected crops or dense, got {self.mode!r}")
        check_settings(self.crops, self.seed)


def score_many(
    model: Scorer,
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    mode: str = "crops",
    crops: int | None = None,
    seed: int = 0,
    strict: bool = False,
    recursive: bool = False,
    workers: int = WORKERS,
    batch: int = 1,
    engine: str = "torch",
    precision: str = "fp32",
    shard: tuple[int, int] = (1, 1),
) -> Iterator[Row]:
    """Score many images, one row each, in the order of the paths; memory does not grow with their number.

    With torch in fp32 the score of an image is bit for bit that of `rankiqa.score` (dense: up to rounding that of
    `score_dense`), whatever the other images, `workers` and `batch` are.

    Args:
        model: From `rankiqa.load`, on the device where it is to run.
        paths: Image files, folders, globs and tar archives, also a generator of them.
        mode: "crops": the mean over random crops; "dense": the mean over a map, from one pass over the whole image.
        crops: Random crops an image; None: the network's own number, 30 unless its file says otherwise.
        seed: Of the crops' places, anew for each image.
        strict: Refuse images that are not 8-bit colour, or of which the reader drops something.
        recursive: Whether folders inside folders are read, too.
        workers: Threads that read, decode and cut.
        batch: Images whose results are waited for together, which keeps a GPU busy.
        engine: "torch", "winograd", "onnxruntime" or "openvino".
        precision: "fp32" or "bf16".
        shard: (i, n): the i-th of n parts, 1 <= i <= n: every n-th image.

    Yields:
        {"path", "score", "median", "crops", "seed"}, in dense mode {"path", "score", "median", "mode"}, with "note"
        where the reader dropped something; {"path", "error"} for what could not be scored.

    Raises:
        ValueError: For a setting out of range, or a missing extra.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    computing = engine_named(engine, model, precision=precision, mode=mode)
    settings = ScoreSettings(mode, model.sampling.crops if crops is None else crops, seed, strict)
    check_shard(shard)
    sources = itertools.islice(sources_of_all(paths, recursive=recursive), shard[0] - 1, None, shard[1])
    return score_sources(computing, sources, settings, workers=workers, batch=batch)


def check_shard(shard: tuple[int, int]) -> None:
    """Raise ValueError unless 1 <= i <= n."""
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard: expected (i, n) with 1 <= i <= n, got {shard}")


def score_sources(
    engine: Engine,
    sources: Iterable[ImageSource],
    settings: ScoreSettings,
    *,
    workers: int = WORKERS,
    batch: int = 1,
    hooks: Sequence[Hook] = (),
) -> Iterator[Row]:
    """Score images with an engine; see `score_many`.

    Args:
        engine: What computes.
        sources: The images.
        settings: How they are scored.
        workers: Threads that read, decode and cut.
        batch: Images whose results are waited for together.
        hooks: Called with each image, its row and the result before the row is given.
    """
    if workers < 1 or batch < 1:
        raise ValueError(f"workers, batch: expected 1 or more, got {workers}, {batch}")
    return _rows(engine, iter(sources), settings, workers, batch, hooks)


def _rows(
    engine: Engine,
    sources: Iterator[ImageSource],
    settings: ScoreSettings,
    workers: int,
    batch: int,
    hooks: Sequence[Hook],
) -> Iterator[Row]:
    waiting: deque[tuple[ImageSource, Future[ReadImage]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rankiqa-read")
    try:
        while True:
            # One image more than the threads and the batch hold: nobody waits while results are written
            while len(waiting) <= workers + batch and (source := next(sources, None)) is not None:
                waiting.append((source, pool.submit(read, source, settings, engine.model)))
            if not waiting:
                return
            started = [_start(*waiting.popleft(), engine, settings) for _ in range(min(batch, len(waiting)))]
            for source, image, result in started:
                row = {"path": source.name} | finish(result, settings)
                if image is not None:
                    if image.notes and "error" not in row:
                        row["note"] = "; ".join(image.notes)
                    for hook in hooks:
                        hook(image, row, result)
                yield row
    finally:
        pool.shutdown(cancel_futures=True)


def read(source: ImageSource, settings: ScoreSettings, model: Scorer) -> ReadImage:
    """Read and decode an image, and cut its crops. Raises ImageError."""
    pixels, notes = decode_image(source.read(), strict=settings.strict)
    return ReadImage(source, pixels, notes, passes(pixels, settings, model) if settings.mode == "crops" else ())


def passes(pixels: np.ndarray, settings: ScoreSettings, model: Scorer) -> Iterable[Tensor]:
    """The crops of each forward pass: those of `rankiqa.score`. Raises ImageError for a small image."""
    made = single.passes(model, pixels, settings.crops, settings.seed)
    if next(model.parameters()).device.type == "cuda":  # a GPU copies from pinned memory while the CPU goes on
        made = (crops.pin_memory() for crops in made)
    return list(made) if settings.crops <= CUT_AHEAD else made


def _start(
    source: ImageSource, future: Future[ReadImage], engine: Engine, settings: ScoreSettings
) -> tuple[ImageSource, ReadImage | None, Result]:
    """Hand an image to the engine; a GPU may still be at work on the result."""
    image = None
    try:
        image = future.result()
        return source, image, compute(engine, image, settings)
    except (ValueError, MemoryError, RuntimeError) as error:  # torch's own when memory or the device fails
        return source, image, error


def compute(engine: Engine, image: ReadImage, settings: ScoreSettings) -> Result:
    """An engine's result for an image: the outputs of each pass, or a DenseScore."""
    if settings.mode == "dense":
        return engine.dense(image.pixels)
    parts = image.passes if engine.at_once is None else _together(image.passes, engine.at_once)
    return [engine.scores(crops) for crops in parts]


def _together(passes: Iterable[Tensor], most: int) -> Iterator[Tensor]:
    """The crops of passes, in their order, in passes of `most` or fewer."""
    waiting: list[Tensor] = []
    for crops in passes:
        if waiting and sum(map(len, waiting)) + len(crops) > most:
            yield torch.cat(waiting)
            waiting = []
        waiting.append(crops)
    if waiting:
        yield waiting[0] if len(waiting) == 1 else torch.cat(waiting)


def finish(result: Result, settings: ScoreSettings) -> Row:
    """The columns of a result."""
    try:
        if isinstance(result, BaseException):
            raise result
        if settings.mode == "dense":
            return {"score": result.score, "median": float(np.median(result.map)), "mode": "dense"}
        found = summary(np.concatenate([output.cpu().numpy() for output in result]), settings.seed)
    except (ValueError, MemoryError, RuntimeError) as error:
        return {"error": first_line(error)}
    return {"score": found.score, "median": found.median, "crops": found.crops, "seed": found.seed}
