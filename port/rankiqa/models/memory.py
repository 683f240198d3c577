"""Configure malloc to keep freed memory, because each iteration allocates the same memory again."""

from __future__ import annotations

import ctypes
import sys

# Constants of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 1 << 28


def keep_freed() -> bool:
    """Make glibc keep freed memory for the rest of the process, and return whether that succeeded.

    By default, glibc returns each layer's large arrays to the system and requests them again, page by page, which takes
    as long as the layer itself. The commands call this function. Other programs that train or score on the CPU may call
    it too.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, TOP_PAD)))
