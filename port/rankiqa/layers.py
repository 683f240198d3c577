"""Public alias of `rankiqa.caffe.layers`: Caffe's layers."""

from rankiqa.caffe.layers import LRN, Dropout, MaxPool2d

__all__ = ["LRN", "Dropout", "MaxPool2d"]
