"""The base class of the two data layers: a list of images, an order, random crops."""

import caffe
import numpy as np
from caffe_ref.layers.images import Crops, read_list


class Minibatches(caffe.Layer):
    """A data layer; subclasses choose the lines of each minibatch in `next_indices()`.

    Tops: data (N, 3, crop, crop), float32 BGR 0..255; label (N,).
    """

    def start(self, p, number, top):
        """Read the list and shape the tops.

        Args:
            p: The layer's parameters.
            number: The number of images in a minibatch.
            top: The layer's tops.
        """
        self.paths, self.labels = read_list(p["list"], p["root"])
        self.crops = Crops(p["crop"], p["seed"], p["cache_mb"])
        self.order = np.random.RandomState(p["seed"])
        top[0].reshape(number, 3, p["crop"], p["crop"])
        top[1].reshape(number)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        indices = self.next_indices()
        top[0].data[...] = self.crops.take([self.paths[i] for i in indices])
        top[1].data[...] = [self.labels[i] for i in indices]

    def backward(self, top, propagate_down, bottom):
        pass
