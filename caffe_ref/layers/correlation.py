"""A Caffe layer that computes SROCC and LCC of a test minibatch."""

import caffe
from scipy import stats


class Correlation(caffe.Layer):
    """Compute correlations between scores and labels.

    Bottoms: scores (N, 1), labels (N,). Tops: Spearman's rank correlation (1,), Pearson's linear correlation (1,).
    """

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)
        top[1].reshape(1)

    def forward(self, bottom, top):
        scores, labels = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
        top[0].data[...] = stats.spearmanr(scores, labels)[0]
        top[1].data[...] = stats.pearsonr(scores, labels)[0]

    def backward(self, top, propagate_down, bottom):
        pass
