"""What the two data layers share: a list of images, an order, random crops."""

import caffe
import numpy as np
from caffe_ref.layers.images import Crops, read_list


class Minibatches(caffe.Layer):
    """Tops: data (N, 3, crop, crop), label (N,). A layer says which lines come next: `next_indices()`."""

    def start(self, p, number, top):
        """Read the list and shape the tops. p: the layer's parameters; number: images in a minibatch."""
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
