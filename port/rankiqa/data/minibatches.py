"""Minibatches of random crops, as a PyTorch dataset and loader.

A sampler (`order`) yields minibatches of (line, n): a line of the list, and how many images were asked for before it.
The crop of the n-th image comes from numpy's RandomState([seed, n]), so it depends on neither the workers nor the other
images. (Upstream draws crops in ten forked processes that share one state, which no seed can repeat.)

Source: upstream src/data_layer/{rank,ft}_layer_{live,tid2013}.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rankiqa.data.crops import crop_offsets, take_crops
from rankiqa.data.images import ImageError, read_image
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.lists import ImageList
from rankiqa.data.order import FAITHFUL, Order, Quirks


class Crops(Dataset):
    """Random crops by key (line, n): (float32 (3, crop, crop) as the network takes them, the line's label).

    Args:
        images: The list.
        spec: What the network takes.
        seed: Of the crops.
        cache_mb: Decoded images to keep, in each worker.
        quirks: `last_offset_never_drawn` decides which crops there are.

    Raises:
        ValueError: When an item is asked for whose image is missing, unreadable or too small; it names the file.
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
            image = read_image(path, convert=True)
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
        return image

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, float]:
        line, n = key
        path = self.images.paths[line]
        random = np.random.RandomState([self.seed, n])
        try:
            image = self._image(path)
            height, width = image.shape[:2]
            last = not self.quirks.last_offset_never_drawn
            offsets = crop_offsets(height, width, self.spec.crop, 1, random, last_offset=last)
        except ImageError as error:
            raise ValueError(f"{path}: {error}") from None
        return take_crops(image, offsets, self.spec)[0], float(self.images.labels[line])


def _collate(items: list[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
    return torch.stack([crop for crop, _ in items]), torch.tensor([label for _, label in items], dtype=torch.float32)


def minibatches(
    images: ImageList,
    order: Order,
    *,
    spec: InputSpec,
    seed: int,
    quirks: Quirks = FAITHFUL,
    workers: int = 0,
    cache_mb: int = 0,
    start: int = 0,
) -> DataLoader:
    """Minibatches without end: (crops float32 (N, 3, crop, crop) as the network takes them, labels float32 (N,)).

    Args:
        images: The list.
        order: Which lines each minibatch takes.
        spec: What the network takes.
        seed: Of the crops.
        quirks: The original's ways that are kept.
        workers: Processes that read images; the minibatches are the same for any number.
        cache_mb: Decoded images to keep, in each worker.
        start: Minibatches to pass over.
    """
    order.start = start
    dataset = Crops(images, spec=spec, seed=seed, cache_mb=cache_mb, quirks=quirks)
    return DataLoader(dataset, batch_sampler=order, num_workers=workers, collate_fn=_collate)
