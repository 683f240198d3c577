"""Minibatches of random crops, as a PyTorch dataset and loader.

A sampler (`order`) yields minibatches of (line, n): a line of the list, and the number of images requested before it.
The crop of the n-th image is drawn from NumPy's RandomState([seed, n]), so it depends on neither the workers nor the
other images. (Upstream draws crops in ten forked processes that share one state, so no seed can reproduce them.)

An error in a worker process is raised in the training process, as a `DataError` that names the file, when the
minibatch is requested.

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
from rankiqa.data.image_lists import ImageList
from rankiqa.data.images import ImageError, read_image
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.order import FAITHFUL, Order, Quirks

Item = tuple[Tensor, float]
_threads = threading.local()


class CropSource(Protocol):
    """A source of minibatches that is not a list: `rankiqa.ranked_sets.on_the_fly`."""

    def crops(self, *, spec: InputSpec, seed: int, cache_mb: int) -> Dataset:
        """Return a dataset of (crop, label) that is indexed by the keys of the source's order."""
        ...


class DataError(ValueError):
    """An image of a list cannot be used, or a worker process has ended. The message says which."""


class Crops(Dataset):
    """A dataset of random crops: key (line, n) -> (float32 (3, crop, crop) in the network's format, the line's label).

    Args:
        images: The list.
        spec: The network's input format.
        seed: The seed of the crop positions.
        cache_mb: Size of each worker's cache of decoded images, in MiB.
        quirks: `last_offset_never_drawn` determines the possible crops.

    Raises:
        DataError: When an item is requested whose image is missing, unreadable or too small; it names the file.
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
        """Return top and left, int (1, 2), of the n-th requested crop in an image of this size."""
        last = not self.quirks.last_offset_never_drawn
        return crop_offsets(height, width, self.spec.crop, 1, _seeded(self.seed, n), last_offset=last)

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
        except Exception as error:  # any error of a decoder, so that the message names the file
            raise DataError(f"{path}: expected an image, got: {type(error).__name__}: {error}") from None
        return take_crops(image, offsets, self.spec)[0], float(self.images.labels[line])


def _seeded(*seed: int) -> np.random.RandomState:
    """Return this thread's generator in the state of RandomState(seed), which takes ten times as long to create."""
    if not hasattr(_threads, "random"):
        _threads.random = np.random.RandomState(0)
    _threads.random.seed(seed)
    return _threads.random


class _Returned(Dataset):
    """A wrapper that returns DataErrors as items, because a DataLoader turns a worker's error into a traceback."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, key: Any) -> Item | DataError:
        try:
            return self.dataset[key]
        except DataError as error:
            return error


def _collate(items: list[Item | DataError]) -> tuple[Tensor, Tensor] | str:
    """Return the minibatch, or the text of the first error."""
    for item in items:
        if isinstance(item, DataError):
            return str(item)
    crops, labels = zip(*items, strict=True)
    return torch.stack(crops), torch.tensor(labels, dtype=torch.float32)


def _leave_signals(number: int) -> None:
    """Ignore the signals that stop training: they reach the whole process group, but the main process handles them."""
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
    """Yield minibatches endlessly.

    Args:
        images: The list, or another source.
        order: Selects the lines (or the source's keys) of each minibatch.
        spec: The network's input format.
        seed: The seed of the crop positions.
        quirks: The quirks of the original to reproduce.
        workers: Number of processes that read images. The minibatches do not depend on it.
        cache_mb: Size of each worker's cache of decoded images, in MiB.
        start: Number of minibatches to skip.
        pinned: Whether to return pinned memory, from which a GPU copies asynchronously; needs CUDA.

    Yields:
        Crops, float32 (N, 3, crop, crop) in the network's format, and labels, float32 (N,).

    Raises:
        DataError: If an image cannot be used, or if a worker has ended (for example, killed for lack of memory).
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
        generator=torch.Generator(),  # a separate one, because the network uses torch's global random numbers
    )
    batches = _started(loader)
    while True:
        try:
            batch = next(batches)
        except (RuntimeError, OSError, EOFError) as error:  # raised by PyTorch if a worker has ended
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
    """Start the workers and return the loader's iterator. Only `next` reports a worker that has ended.

    PyTorch's SIGCHLD handler, which is removed here, would raise at any point of the program. In the middle of an
    update, this would make a later snapshot wrong.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return _forked(loader)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return _forked(loader)
    finally:
        signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)


def _forked(loader: DataLoader) -> Iterator:
    """Return the loader's iterator, whose workers run OpenCV with one thread each.

    A forked process does not have its parent's threads and would wait for them forever. So the parent temporarily uses
    one thread, too.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)
