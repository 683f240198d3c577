"""Minibatches of ranked images, in upstream's order (rank_layer_live, rank_layer_tid2013 in one)."""

from caffe_ref.layers import parameters
from caffe_ref.layers.minibatch import Minibatches


class RankData(Minibatches):
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
        self.start(p, self.groups * self.levels * self.images, top)
        self.per_level = len(self.paths) // self.list_groups // self.levels
        if len(self.paths) % (self.list_groups * self.levels) or self.per_level < self.images:
            raise ValueError(
                f"{p['list']}: expected {self.list_groups} distortions x {self.levels} levels x at least "
                f"{self.images} images, got {len(self.paths)} lines"
            )
        if self.groups > self.list_groups:
            raise ValueError(f"groups: expected at most list_groups = {self.list_groups}, got {self.groups}")
        self.first = 0  # the first image of the next minibatch

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
