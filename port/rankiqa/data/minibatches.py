"""Minibatches of random crops, as a PyTorch dataset and loader.

A sampler (`order`) yields minibatches of (line, n): a line of the list, and how many images were asked for before it.
The crop of the n-th image comes from numpy's RandomState([seed, n]), so it depends on neither the workers nor the other
images. (Upstream draws crops in ten forked processes that share one state, which no seed can repeat.)

What goes wrong in a process that reads images is raised in the training's own process, as a `DataError` that names the
file, when its minibatch is asked for.

Source: upstream src/data_layer/{rank,ft}_layer_{live,tid2013}.py.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rankiqa.data.crops import crop_offsets, take_crops
from rankiqa.data.images import ImageError, read_image
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.lists import ImageList
from rankiqa.data.order import FAITHFUL, Order, Quirks

Item = tuple[Tensor, float]


class CropSource(Protocol):
    """What gives minibatches without being a list: `rankiqa.ranked_sets.on_the_fly`."""

    def crops(self, *, spec: InputSpec, seed: int, cache_mb: int) -> Dataset:
        """Crops and labels by the keys of its order."""
        ...


class DataError(ValueError):
    """An image of a list that cannot be used, or a process that reads images and has ended. The message names it."""


class Crops(Dataset):
    """Random crops by key (line, n): (float32 (3, crop, crop) as the network takes them, the line's label).

    Args:
        images: The list.
        spec: What the network takes.
        seed: Of the crops.
        cache_mb: Decoded images to keep, in each worker.
        quirks: `last_offset_never_drawn` decides which crops there are.

    Raises:
        DataError: When an item is asked for whose image is missing, unreadable or too small; it names the file.
    """

    def __init__(self, images: ImageList, *, spec: InputSpec, seed: int, cache_mb: int = 0, quirks: Quirks = FAITHFUL):
        self.images, self.spec, self.seed, self.quirks = images, spec, seed, quirks
        self._cache: dict[str, np.ndarray] = {}
        self._room = cache_mb << 20

    def __len__(self) -> int:
        return len(self.images.paths)

    def _image(self, path: str) -> np.ndarray:
        image = self._cache.get(path)
        if image is None:
            image = read_image(path)
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
        return image

    def offsets(self, n: int, height: int, width: int) -> np.ndarray:
        """Top and left, int (1, 2), of the n-th crop that is asked for, in an image of this size."""
        random, last = np.random.RandomState([self.seed, n]), not self.quirks.last_offset_never_drawn
        return crop_offsets(height, width, self.spec.crop, 1, random, last_offset=last)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        line, n = key
        path = self.images.paths[line]
        try:
            image = self._image(path)
            offsets = self.offsets(n, *image.shape[:2])
        except ImageError as error:
            raise DataError(f"{path}: {error}") from None
        except MemoryError:
            raise DataError(f"{path}: expected an image that fits into memory, got no memory for it") from None
        except Exception as error:  # a decoder's own: what matters to the user is the file
            raise DataError(f"{path}: expected an image, got: {type(error).__name__}: {error}") from None
        return take_crops(image, offsets, self.spec)[0], float(self.images.labels[line])


class _Returned(Dataset):
    """A dataset whose items are errors where it raises them: a DataLoader would make a traceback of one in a worker."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, key: Any) -> Item | DataError:
        try:
            return self.dataset[key]
        except DataError as error:
            return error


def _collate(items: list[Item | DataError]) -> tuple[Tensor, Tensor] | str:
    """The minibatch, or the first error's text."""
    for item in items:
        if isinstance(item, DataError):
            return str(item)
    crops, labels = zip(*items, strict=True)
    return torch.stack(crops), torch.tensor(labels, dtype=torch.float32)


def _leave_signals(number: int) -> None:
    """Signals that stop a training reach the whole group; its own process decides, and ends the workers."""
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def minibatches(
    images: ImageList | CropSource,
    order: Order,
    *,
    spec: InputSpec,
    seed: int,
    quirks: Quirks = FAITHFUL,
    workers: int = 0,
    cache_mb: int = 0,
    start: int = 0,
    pinned: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches without end: (crops float32 (N, 3, crop, crop) as the network takes them, labels float32 (N,)).

    Args:
        images: The list, or another source.
        order: Which lines (or keys of the source) each minibatch takes.
        spec: What the network takes.
        seed: Of the crops.
        quirks: The original's ways that are kept.
        workers: Processes that read images; the minibatches are the same for any number.
        cache_mb: Decoded images to keep, in each worker.
        start: Minibatches to pass over.
        pinned: Whether they are in pinned memory, from which a GPU copies while the CPU goes on; needs CUDA.

    Raises:
        DataError: For an image that cannot be used, or when a worker has ended (killed for its memory, say).
    """
    order.start = start
    if isinstance(images, ImageList):
        dataset: Dataset = Crops(images, spec=spec, seed=seed, cache_mb=cache_mb, quirks=quirks)
    else:
        dataset = images.crops(spec=spec, seed=seed, cache_mb=cache_mb)
    loader: DataLoader[Any] = DataLoader(
        _Returned(dataset),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_leave_signals,
        pin_memory=pinned,
        generator=torch.Generator(),  # its own: torch's global random numbers are the network's
    )
    batches = _started(loader)
    while True:
        try:
            batch = next(batches)
        except (RuntimeError, OSError, EOFError) as error:  # PyTorch's own for a worker that has ended
            if not workers:
                raise
            raise DataError(
                f"a process that reads images has ended; out of memory? fewer --workers or less --cache-mb need less "
                f"({(str(error).strip() or type(error).__name__).splitlines()[0]})"
            ) from None
        if isinstance(batch, str):
            raise DataError(batch)
        yield batch


def _started(loader: DataLoader) -> Iterator:
    """The loader's iterator, its workers running; a worker that ends is reported by `next` alone.

    PyTorch would also raise from a handler of SIGCHLD, at any point of the program: in the middle of an update, after
    which no snapshot could be right.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return _forked(loader)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return _forked(loader)
    finally:
        signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)


def _forked(loader: DataLoader) -> Iterator:
    """The loader's iterator, whose workers run OpenCV with one thread each.

    A fork has none of its parent's threads, and would wait for them for ever: the parent ends its own for the moment.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)
