"""The pair ranking loss of upstream's two loss layers, with their constants as parameters."""

import caffe
import numpy as np
from caffe_ref.layers import parameters


def ordered_pairs(groups, levels, images):
    """Return all pairs (i, j) where i has a lower level than j in the same group, in upstream's order.

    Returns:
        Two int arrays (P,): the i and the j of each pair.
    """
    run = levels * images
    pairs = [
        (g * run + i, g * run + j)
        for g in range(groups)
        for i in range(run - images)
        for j in range((i // images + 1) * images, run)
    ]
    first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return first, second


class PairRankingLoss(caffe.Layer):
    """Compute sum(max(0, margin - (s_i - s_j))) / N over all pairs.

    Bottoms: scores (N, 1), labels (ignored). Top: the loss.

    param_str (JSON): groups, levels, images (N is their product), margin. As in upstream, N counts images, not pairs,
    and the gradient ignores top.diff and loss_weight.
    """

    def setup(self, bottom, top):
        p = parameters.read(self, {"groups": int, "levels": int, "images": int}, {"margin": 10.0})
        self.margin = np.float32(p["margin"])
        self.number = p["groups"] * p["levels"] * p["images"]
        self.first, self.second = ordered_pairs(p["groups"], p["levels"], p["images"])

    def reshape(self, bottom, top):
        if bottom[0].count != self.number:
            raise ValueError(
                f"PairRankingLoss: expected groups x levels x images = {self.number} scores, got {bottom[0].count}"
            )
        top[0].reshape(1)

    def forward(self, bottom, top):
        scores = bottom[0].data.reshape(-1)
        self.loss = np.maximum(np.float32(0), self.margin - (scores[self.first] - scores[self.second]))
        top[0].data[...] = np.sum(self.loss) / self.number

    def backward(self, top, propagate_down, bottom):
        active = self.loss > 0  # as upstream: a pair exactly at the margin has no gradient
        gradient = np.zeros(self.number, np.float32)
        np.subtract.at(gradient, self.first[active], 1)
        np.add.at(gradient, self.second[active], 1)
        bottom[0].diff[...] = (gradient / self.number).reshape(bottom[0].diff.shape)
