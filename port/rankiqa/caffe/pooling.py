"""The output size of Caffe's pooling layers. This module does not import torch.

Source: Caffe 1.0 pooling_layer.cpp (behaviour, not code).
"""


def pooled_size(size: int, kernel: int, stride: int, pad: int = 0, clip: bool = False) -> int:
    """Return a pooling layer's output size along one side; `clip` says that the other side has padding."""
    # CAFFE: rounds up; PyTorch rounds down by default (pooling_layer.cpp)
    out = -(-(size + 2 * pad - kernel) // stride) + 1
    # CAFFE: if any side has padding, a last window that would start beyond the image is dropped (pooling_layer.cpp)
    return out - 1 if (pad or clip) and (out - 1) * stride >= size + pad else out
