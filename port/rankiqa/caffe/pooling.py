"""The output size of Caffe's pooling layers, without torch.

Source: Caffe 1.0 pooling_layer.cpp (behaviour, not code).
"""


def pooled_size(size: int, kernel: int, stride: int, pad: int = 0, clip: bool = False) -> int:
    """Caffe's output size of a pooling layer along one side; clip: the other side has padding."""
    # CAFFE: rounds up, where PyTorch rounds down (pooling_layer.cpp)
    out = -(-(size + 2 * pad - kernel) // stride) + 1
    # CAFFE: with padding on any side, a last window that would start beyond the image is dropped (pooling_layer.cpp)
    return out - 1 if (pad or clip) and (out - 1) * stride >= size + pad else out
