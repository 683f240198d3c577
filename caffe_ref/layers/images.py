"""Lists, images and random crops for the data layers, as upstream reads them, but reproducible."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np


def read_list(path, root):
    """A list file (`path label` a line) -> (image paths below root, labels as floats). ValueError names the line."""
    paths, labels = [], []
    # A byte-order mark is no part of the first path; names in another encoding reach the file system as they are
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
    """Reads images (BGR, 0..255, neither mean nor scale) and cuts a random square out of each.

    The n-th image ever asked for is cropped by numpy's RandomState([seed, n]), top first, then left: the crop
    depends on neither the other images nor on how many threads read. Upstream draws them in ten forked processes
    that share one state, which no seed can repeat.
    """

    def __init__(self, crop, seed, cache_mb):
        self.crop, self.seed, self.count = crop, seed, 0
        self._cache, self._room = {}, cache_mb * 2**20
        self._threads = ThreadPoolExecutor(max_workers=2)

    def _image(self, path):
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
        number, path = job
        image = self._image(path)
        height, width = image.shape[:2]
        if min(height, width) <= self.crop:
            raise ValueError(f"{path}: expected both sides above {self.crop} pixels, got {height} x {width} (H x W)")
        random = np.random.RandomState([self.seed, number])
        top = random.randint(height - self.crop)  # upstream: the last offset is never drawn
        left = random.randint(width - self.crop)
        return image[top : top + self.crop, left : left + self.crop].transpose(2, 0, 1)

    def take(self, paths):
        """-> float32 (N, 3, crop, crop), a crop of each path, in order."""
        jobs = [(self.count + i, path) for i, path in enumerate(paths)]
        self.count += len(jobs)
        return np.stack(list(self._threads.map(self._cut, jobs))).astype(np.float32)
