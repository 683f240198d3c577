"""Minibatches of images with their scores, in upstream's order (ft_layer_live, ft_layer_tid2013 in one)."""

import numpy as np
from caffe_ref.layers import parameters
from caffe_ref.layers.minibatch import Minibatches


class FTData(Minibatches):
    """Tops: data (batch, 3, crop, crop), label (batch,).

    param_str, JSON: list, crop, batch, seed; sort_by_label (upstream's TID2013 layer: highest first); root (what the
    list's paths start from), cache_mb (decoded images kept in memory).
    """

    def setup(self, bottom, top):
        need = {"list": str, "crop": int, "batch": int}
        p = parameters.read(self, need, {"seed": 0, "root": "", "cache_mb": 0, "sort_by_label": False})
        self.batch, self.sort_by_label = p["batch"], p["sort_by_label"]
        self.start(p, self.batch, top)
        if len(self.paths) <= self.batch:
            # upstream: a list no longer than the batch would reshuffle for ever and give short minibatches
            raise ValueError(f"{p['list']}: expected more than {self.batch} lines (a batch), got {len(self.paths)}")
        self.shuffle()

    def shuffle(self):
        self.permutation = self.order.permutation(len(self.paths))
        self.at = 0

    def next_indices(self):
        """Line numbers of the next minibatch."""
        if self.at + self.batch >= len(self.paths):  # upstream: >=, so a full last minibatch is dropped
            self.shuffle()
        indices = self.permutation[self.at : self.at + self.batch]
        self.at += self.batch
        if self.sort_by_label:  # upstream: numpy's ascending argsort, reversed
            indices = indices[np.argsort([self.labels[i] for i in indices])[::-1]]
        return indices
