"""Minibatches of images with their scores, in upstream's order (ft_layer_live, ft_layer_tid2013 in one)."""

import caffe
import numpy as np
from caffe_ref.layers import parameters
from caffe_ref.layers.images import Crops, read_list


class FTData(caffe.Layer):
    """Tops: data (batch, 3, crop, crop), label (batch,).

    param_str, JSON: list, crop, batch, seed; sort_by_label (upstream's TID2013 layer: highest first); root (what the
    list's paths start from), cache_mb (decoded images kept in memory).
    """

    def setup(self, bottom, top):
        need = {"list": str, "crop": int, "batch": int}
        p = parameters.read(self, need, {"seed": 0, "root": "", "cache_mb": 0, "sort_by_label": False})
        self.batch, self.sort_by_label = p["batch"], p["sort_by_label"]
        self.paths, self.labels = read_list(p["list"], p["root"])
        if len(self.paths) <= self.batch:
            # upstream: a list no longer than the batch would reshuffle for ever and give short minibatches
            raise ValueError(f"{p['list']}: expected more than {self.batch} lines (a batch), got {len(self.paths)}")
        self.crops = Crops(p["crop"], p["seed"], p["cache_mb"])
        self.order = np.random.RandomState(p["seed"])
        self.shuffle()
        top[0].reshape(self.batch, 3, p["crop"], p["crop"])
        top[1].reshape(self.batch)

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

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        indices = self.next_indices()
        top[0].data[...] = self.crops.take([self.paths[i] for i in indices])
        top[1].data[...] = [self.labels[i] for i in indices]

    def backward(self, top, propagate_down, bottom):
        pass
