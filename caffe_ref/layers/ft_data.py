"""A data layer for fine-tuning: minibatches of images with scores, in the order of upstream's two ft_layer files."""

import numpy as np
from caffe_ref.layers import parameters
from caffe_ref.layers.minibatch import Minibatches


class FTData(Minibatches):
    """Feed minibatches of a shuffled list, as ft_layer_live and ft_layer_tid2013 do.

    Tops: data (batch, 3, crop, crop), float32 BGR 0..255; label (batch,).

    param_str (JSON): list, crop, batch, seed; sort_by_label (as upstream's TID2013 layer: highest first); root (the
    folder of the list's paths), cache_mb (memory for decoded images).
    """

    def setup(self, bottom, top):
        required = {"list": str, "crop": int, "batch": int}
        p = parameters.read(self, required, {"seed": 0, "root": "", "cache_mb": 0, "sort_by_label": False})
        self.batch, self.sort_by_label = p["batch"], p["sort_by_label"]
        self.start(p, self.batch, top)
        if len(self.paths) <= self.batch:
            # upstream would reshuffle forever and return short minibatches if the list is not longer than the batch
            raise ValueError(f"{p['list']}: expected more than {self.batch} lines (a batch), got {len(self.paths)}")
        self.shuffle()

    def shuffle(self):
        """Start a new epoch with a new order."""
        self.permutation = self.order.permutation(len(self.paths))
        self.at = 0

    def next_indices(self):
        """Return the line numbers of the next minibatch."""
        if self.at + self.batch >= len(self.paths):  # upstream: >=, so a full last minibatch is dropped
            self.shuffle()
        indices = self.permutation[self.at : self.at + self.batch]
        self.at += self.batch
        if self.sort_by_label:  # upstream: numpy's ascending argsort, reversed
            indices = indices[np.argsort([self.labels[i] for i in indices])[::-1]]
        return indices
