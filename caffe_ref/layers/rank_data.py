"""A data layer for ranking: minibatches of ranked images, in the order of upstream's two rank_layer files."""

from caffe_ref.layers import parameters
from caffe_ref.layers.minibatch import Minibatches


class RankData(Minibatches):
    """Feed minibatches of a ranked list, as rank_layer_live and rank_layer_tid2013 do.

    Tops: data (N, 3, crop, crop), float32 BGR 0..255; label (N,). N = groups x levels x images.

    The list consists of blocks: for each distortion, for each level, all images. param_str (JSON): list, crop, seed;
    list_groups (distortions in the list), groups (distortions in a minibatch; if fewer than list_groups, drawn anew for
    each minibatch), levels, images (per level); root (the folder of the list's paths), cache_mb (memory for decoded
    images).
    """

    def setup(self, bottom, top):
        required = {"list": str, "crop": int, "list_groups": int, "groups": int, "levels": int, "images": int}
        p = parameters.read(self, required, {"seed": 0, "root": "", "cache_mb": 0})
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
        """Return the line numbers of the next minibatch: for each group, for each level, `images` images."""
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
        if self.per_level - self.first < self.images:  # upstream never uses the remainder at the end
            self.first = 0
        return indices
