"""Caffe's layers, at the name that scripts import: see `rankiqa.caffe.layers`."""

from rankiqa.caffe.layers import LRN, Dropout, MaxPool2d

__all__ = ["LRN", "Dropout", "MaxPool2d"]
