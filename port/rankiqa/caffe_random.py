"""Caffe's random numbers, at the name that scripts import: see `rankiqa.caffe.random_stream`."""

from rankiqa.caffe.random_stream import CaffeRandom

__all__ = ["CaffeRandom"]
