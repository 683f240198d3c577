"""Count the usable GPUs, and map the GPU numbers in upstream's scripts to them."""

import ctypes

CUDART = ("libcudart.so.11.0", "libcudart.so")


def count():
    """Return (number of usable GPUs, reason why there is none or "")."""
    for name in CUDART:
        try:
            cuda = ctypes.CDLL(name)
            break
        except OSError:
            continue
    else:
        return 0, "this image's Caffe is built without CUDA"
    number = ctypes.c_int(0)
    status = cuda.cudaGetDeviceCount(ctypes.byref(number))
    if status:
        cuda.cudaGetErrorString.restype = ctypes.c_char_p
        return 0, f"{cuda.cudaGetErrorString(status).decode()}; docker run needs --gpus all"
    return number.value, "" if number.value else "no GPU is visible in this container"


def mapped(requested, number):
    """Map the value of Caffe's -gpu ("2", "0,1", "all") to numbers below `number`, as text, in order.

    Raises:
        ValueError: If the value is anything else.
    """
    if requested == "all":
        return requested
    try:
        numbers = [int(number_text) % number for number_text in requested.split(",")]
    except ValueError:
        raise ValueError(f"-gpu: expected numbers or all, got {requested!r}") from None
    return ",".join(str(device) for device in dict.fromkeys(numbers))
