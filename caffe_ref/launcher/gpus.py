"""Which GPU is used for the one that upstream asked for."""

import ctypes

CUDART = ("libcudart.so.11.0", "libcudart.so")


def count():
    """(how many GPUs can be used, why none can: "" where one can)."""
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


def mapped(asked, number):
    """GPU numbers as Caffe's -gpu takes them ("2", "0,1", "all") -> numbers below `number`, as text, in order."""
    if asked == "all":
        return asked
    try:
        numbers = [int(number_text) % number for number_text in asked.split(",")]
    except ValueError:
        raise ValueError(f"-gpu: expected numbers or all, got {asked!r}") from None
    return ",".join(str(device) for device in dict.fromkeys(numbers))
