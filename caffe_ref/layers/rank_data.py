"""Minibatches of ranked images, in upstream's order (rank_layer_live, rank_layer_tid2013 in one)."""

import caffe
import numpy as np
from caffe_ref.layers import parameters
from caffe_ref.layers.images import Crops, read_list


class RankData(caffe.Layer):
    """Tops: data (N, 3, crop, crop), label (N,), N = groups x levels x images.

    The list is in blocks: for each distortion, for each level, all images. param_str, JSON: list, crop, seed;
    list_groups (distortions in the list), groups (of them in a minibatch, drawn anew each time when fewer), levels,
    images (per level); root (what the list's paths start from), cache_mb (decoded images kept in memory).
    """

    def setup(self, bottom, top):
        need = {"list": str, "crop": int, "list_groups": int, "groups": int, "levels": int, "images": int}
        p = parameters.read(self, need, {"seed": 0, "root": "", "cache_mb": 0})
        self.list_groups, self.groups, self.levels, self.images = (
            p[k] for k in ("list_groups", "groups", "levels", "images")
        )
        self.paths, self.labels = read_list(p["list"], p["root"])
        self.per_level = len(self.paths) // self.list_groups // self.levels
        if len(self.paths) % (self.list_groups * self.levels) or self.per_level < self.images:
            raise ValueError(
                f"{p['list']}: expected {self.list_groups} distortions x {self.levels} levels x at least "
                f"{self.images} images, got {len(self.paths)} lines"
            )
        if self.groups > self.list_groups:
            raise ValueError(f"groups: expected at most list_groups = {self.list_groups}, got {self.groups}")
        self.crops = Crops(p["crop"], p["seed"], p["cache_mb"])
        self.order = np.random.RandomState(p["seed"])
        self.first = 0  # the first image of the next minibatch
        n = self.groups * self.levels * self.images
        top[0].reshape(n, 3, p["crop"], p["crop"])
        top[1].reshape(n)

    def next_indices(self):
        """Line numbers of the next minibatch: for each group, for each level, `images` images."""
        groups = range(self.list_groups)
        if self.groups < self.list_groups:
            groups = self.order.permutation(self.list_groups)[: self.groups]
        block = len(self.paths) // self.list_groups
        indices = [
            block * k + level * self.per_level + self.first + i
            for k in groups
            for level in range(self.levels)
            for i in range(self.images)
        ]
        self.first += self.images
        if self.per_level - self.first < self.images:  # upstream: what is left over at the end is never seen
            self.first = 0
        return indices

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        indices = self.next_indices()
        top[0].data[...] = self.crops.take([self.paths[i] for i in indices])
        top[1].data[...] = [self.labels[i] for i in indices]

    def backward(self, top, propagate_down, bottom):
        pass
