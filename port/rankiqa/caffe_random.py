"""Public alias of `rankiqa.caffe.random_stream`: Caffe's random numbers."""

from rankiqa.caffe.random_stream import CaffeRandom

__all__ = ["CaffeRandom"]
