"""Score many images: threads read images and cut crops in advance, one thread computes, results keep the images' order.

A forward pass contains crops of one image only, always the same crops in the same positions. A score's bits therefore
do not depend on the other images, their order or the number of threads. (Passes filled up with crops of other images
would differ in the last bits: libraries choose the order of their sums by the size of a pass and the position of a crop
in it.)
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
from torch import Tensor

from rankiqa.data.image_sources import ImageSource, sources_of_all
from rankiqa.data.images import decode_image
from rankiqa.models.scorer import Scorer
from rankiqa.scoring import image_score as single
from rankiqa.scoring.engines import Engine, engine_named
from rankiqa.scoring.image_score import CROPS, check_settings, summary
from rankiqa.scoring.rows import Row, first_line

MODES = ("crops", "dense")
WORKERS = 2
CUT_AHEAD = 60  # crops per image cut in advance by the threads; more are cut pass by pass, to limit the memory


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image that is ready to be scored.

    Attributes:
        source: The source of the image.
        pixels: uint8 (H, W, 3), RGB.
        notes: What the reader ignored in the file.
        passes: The crops of each forward pass, float32 (n, 3, crop, crop); empty in dense mode.
    """

    source: ImageSource
    pixels: np.ndarray
    notes: tuple[str, ...]
    passes: Iterable[Tensor] = ()


Result = Any  # an engine's result for an image: outputs of each pass, a DenseScore, or the error
Hook = Callable[[ReadImage, Row, Result], object]


@dataclass(frozen=True)
class ScoreSettings:
    """The settings that determine an image's score, besides the network and the engine.

    Attributes:
        mode: "crops" (as the original) or "dense".
        crops: Random crops per image; dense mode ignores it.
        seed: The seed of the crop positions; each image starts from it.
        strict: Refuse images in which the original's reader ignores something.

    Raises:
        ValueError: Another mode, crops < 1, or an invalid seed.
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
    """Score many images; memory use does not grow with their number.

    With torch in fp32, an image's score is bit for bit that of `rankiqa.score` (dense: that of `score_dense` up to
    rounding), whatever the other images, `workers` and `batch`.

    Args:
        model: From `rankiqa.load`, on the device where it runs.
        paths: Image files, folders, globs and tar archives, or a generator of them.
        mode: "crops": the mean over random crops; "dense": the mean over a map, from one pass over the whole image.
        crops: Random crops per image; None: the network's own number, 30 unless its file says otherwise.
        seed: The seed of the crop positions; each image starts from it.
        strict: Refuse images that are not 8-bit colour, or in which the reader ignores something.
        recursive: Whether to read subfolders, too.
        workers: Number of threads that read, decode and cut.
        batch: Number of images that are started before waiting for their results, which keeps a GPU busy.
        engine: "torch", "winograd", "onnxruntime" or "openvino".
        precision: "fp32" or "bf16".
        shard: (i, n) with 1 <= i <= n: part i of n, every n-th image.

    Yields:
        One row per image, in the order of the paths: {"path", "score", "median", "crops", "seed"}, in dense mode
            {"path", "score", "median", "mode"}; with "note" if the reader ignored something; {"path", "error"} for an
            image that could not be scored.

    Raises:
        ValueError: A setting is out of range, or an extra is missing.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    computer = engine_named(engine, model, precision=precision, mode=mode)
    settings = ScoreSettings(mode, model.sampling.crops if crops is None else crops, seed, strict)
    check_shard(shard)
    sources = itertools.islice(sources_of_all(paths, recursive=recursive), shard[0] - 1, None, shard[1])
    return score_sources(computer, sources, settings, workers=workers, batch=batch)


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
        engine: Computes the scores.
        sources: The images.
        settings: How to score them.
        workers: Number of threads that read, decode and cut.
        batch: Number of images that are started before waiting for their results.
        hooks: Called with each image, its row and the result before the row is yielded.

    Returns:
        An iterator of rows in the order of the images.

    Raises:
        ValueError: workers or batch is below 1.
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
            # One image more than the threads and the batch need, so that no thread is idle while the caller handles
            # results.
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
    """Read and decode an image and cut its crops. Raise ImageError if that fails."""
    pixels, notes = decode_image(source.read(), strict=settings.strict)
    return ReadImage(source, pixels, notes, passes(pixels, settings, model) if settings.mode == "crops" else ())


def passes(pixels: np.ndarray, settings: ScoreSettings, model: Scorer) -> Iterable[Tensor]:
    """Return the crops of each forward pass, the same as in `rankiqa.score`. Raise ImageError for a small image."""
    parts = single.passes(model, pixels, settings.crops, settings.seed)
    if next(model.parameters()).device.type == "cuda":  # the copy to the GPU runs in the background
        parts = (crops.pin_memory() for crops in parts)
    return list(parts) if settings.crops <= CUT_AHEAD else parts


def _start(
    source: ImageSource, future: Future[ReadImage], engine: Engine, settings: ScoreSettings
) -> tuple[ImageSource, ReadImage | None, Result]:
    """Start scoring an image with the engine. A GPU may still be computing when this returns."""
    image = None
    try:
        image = future.result()
        return source, image, compute(engine, image, settings)
    except (ValueError, MemoryError, RuntimeError) as error:  # RuntimeError: torch out of memory, or a failed device
        return source, image, error


def compute(engine: Engine, image: ReadImage, settings: ScoreSettings) -> Result:
    """Return an engine's result for an image: the outputs of each pass, or a DenseScore."""
    if settings.mode == "dense":
        return engine.dense(image.pixels)
    return [engine.scores(crops) for crops in image.passes]


def finish(result: Result, settings: ScoreSettings) -> Row:
    """Return the columns of a row for a result."""
    try:
        if isinstance(result, BaseException):
            raise result
        if settings.mode == "dense":
            return {"score": result.score, "median": float(np.median(result.map)), "mode": "dense"}
        score = summary(np.concatenate([output.cpu().numpy() for output in result]), settings.seed)
    except (ValueError, MemoryError, RuntimeError) as error:
        return {"error": first_line(error)}
    return {"score": score.score, "median": score.median, "crops": score.crops, "seed": score.seed}
