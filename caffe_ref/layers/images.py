"""Lists, images and random crops for the data layers, read as upstream does, but reproducible."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np


def read_list(path, root):
    """Read a list file with `path label` per line.

    Returns:
        (image paths below root, labels as floats).

    Raises:
        ValueError: If a line is malformed. The message names the line.
    """
    paths, labels = [], []
    # utf-8-sig skips a byte-order mark; surrogateescape passes names in another encoding unchanged to the file system
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            parts = line.split()
            try:
                image, label = parts
                labels.append(float(label))
            except ValueError:
                raise ValueError(f"{path} line {number}: expected `path label`, got {line.rstrip()!r}") from None
            paths.append(os.path.join(root, image))
    if not paths:
        raise ValueError(f"{path}: expected `path label` lines, got an empty file")
    return paths, labels


class Crops:
    """Read images (BGR, 0..255, without mean or scale) and cut a random square out of each.

    The n-th requested image is cropped by numpy's RandomState([seed, n]), which draws top first, then left. So a crop
    does not depend on the other images or on the number of threads. Upstream draws crops in ten forked processes that
    share one state, which no seed can repeat.
    """

    def __init__(self, crop, seed, cache_mb):
        self.crop, self.seed, self.count = crop, seed, 0
        self._cache, self._room = {}, cache_mb * 2**20
        self._threads, self._local = ThreadPoolExecutor(max_workers=2), threading.local()

    def _image(self, path):
        """Return an image as uint8 (H, W, 3) BGR, from the cache if possible."""
        image = self._cache.get(path)
        if image is None:
            image = cv2.imread(path)
            if image is None:
                raise ValueError(f"{path}: expected an image that OpenCV reads, got none")
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
        return image

    def _cut(self, job):
        """Return the crop (3, crop, crop) of a job (number, path)."""
        number, path = job
        image = self._image(path)
        height, width = image.shape[:2]
        if min(height, width) <= self.crop:
            raise ValueError(f"{path}: expected both sides above {self.crop} pixels, got {height} x {width} (H x W)")
        random = self._seeded(number)
        top = random.randint(height - self.crop)  # as upstream, never draw the last offset
        left = random.randint(width - self.crop)
        return image[top : top + self.crop, left : left + self.crop].transpose(2, 0, 1)

    def _seeded(self, number):
        """Return this thread's generator in the state of RandomState([seed, number]), whose creation takes longer."""
        if not hasattr(self._local, "random"):
            self._local.random = np.random.RandomState(0)
        self._local.random.seed([self.seed, number])
        return self._local.random

    def take(self, paths):
        """Return a crop of each path, in order, as float32 (N, 3, crop, crop)."""
        jobs = [(self.count + i, path) for i, path in enumerate(paths)]
        self.count += len(jobs)
        return np.stack(list(self._threads.map(self._cut, jobs))).astype(np.float32)
