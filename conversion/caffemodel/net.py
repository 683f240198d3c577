"""A network's weights as Caffe files hold them: Net, Layer, Blob."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffemodel.errors import CaffemodelError
from caffemodel.wire import BlobStore

CHUNK = 1 << 18  # values handled at a time: a mebibyte, which stays in the cache


class Blob:
    """An array of a file, read when it is asked for.

    Attributes:
        shape: As the file has it.
        legacy: Whether it was written as num, channels, height, width.
        dtype: "float32", "float64" or "float16" (NVIDIA Caffe's).
    """

    def __init__(self, shape: Sequence[int], legacy: bool, dtype: str, read: Callable[[], Any], keep=None):
        """A blob whose values stay in the file.

        Args:
            shape: As the file has it.
            legacy: Whether it was written as num, channels, height, width.
            dtype: Of the values.
            read: Gives the values, as an array or as little-endian bytes.
            keep: Takes other values, as an array.
        """
        self.shape, self.legacy, self.dtype = tuple(int(n) for n in shape), legacy, dtype
        self._read, self._keep = read, keep

    def _dtype(self) -> np.dtype:
        return np.dtype(self.dtype).newbyteorder("<")

    def encoded(self) -> memoryview:
        """The values in the file's precision as little-endian bytes."""
        values = self._read()
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values, self._dtype()).reshape(-1).view(np.uint8).data
        return values

    @property
    def data(self) -> np.ndarray:
        """The values in the file's precision, of the file's shape; a copy of its own, to do with as one likes."""
        values = np.empty(self.shape, self._dtype())
        values.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.encoded(), np.uint8)
        return values

    def float32(self) -> np.ndarray:
        """The values as Caffe's float nets load them: little-endian float32, doubles rounded."""
        with np.errstate(over="ignore"):  # beyond float32: inf, as Caffe casts it
            return self.data.astype("<f4", copy=False)

    def chunks(self) -> Iterator[np.ndarray]:
        """`float32` in order, flat, in pieces of some megabytes: for large files."""
        view, step = self.encoded(), CHUNK * self._dtype().itemsize
        for first in range(0, len(view), step):
            values = np.frombuffer(bytes(view[first : first + step]), self._dtype())  # numbers need not be aligned
            with np.errstate(over="ignore"):
                yield values.astype("<f4", copy=False)

    def sha256(self) -> str:
        """SHA-256 (hex) of the little-endian float32 values."""
        return self.summary()[0]

    def summary(self, write: Callable[[memoryview], Any] | None = None) -> tuple[str, bool]:
        """(SHA-256 (hex) of the little-endian float32 values, are all finite); `write` gets the bytes, in order."""
        digest, finite = hashlib.sha256(), True
        for values in self.chunks():
            finite = finite and bool(np.isfinite(values).all())
            digest.update(values.data)
            if write:
                write(values.data)
        return digest.hexdigest(), finite

    def fits(self, shape: Sequence[int]) -> bool:
        """Would Caffe load it into a blob of this shape? A legacy blob compares with the shape padded by ones to 4."""
        shape = tuple(shape)
        if self.legacy and len(shape) <= 4:
            return self.shape == (1,) * (4 - len(shape)) + shape
        return self.shape == shape

    def assign(self, values: np.ndarray) -> None:
        """Put other values of the same number in its place, in the file's own encoding and shape; they are copied.

        Half-precision numbers give way to float32.

        Raises:
            CaffemodelError: For another number of values.
        """
        self.dtype = "float32" if self.dtype == "float16" else self.dtype
        values = np.array(values, self._dtype())
        if values.size != math.prod(self.shape):
            raise CaffemodelError(f"expected {math.prod(self.shape)} values for shape {self.shape}, got {values.size}")
        if self._keep:
            self._keep(values)
        else:
            self._read = lambda: values


@dataclass
class Layer:
    """name, V2 type ("" where the file says none), bottoms, tops, blobs."""

    name: str
    type: str
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)


@dataclass
class Net:
    """A model file. format: "caffemodel" or "hdf5"; version: "V0", "V1" or "V2" as written; layers as upgraded to V2.

    unknown: what Caffe 1.0 does not know, as text; it is kept when the net is written back.
    message, store: the protobuf message as read, and the numbers that it refers to (None for HDF5).
    """

    name: str
    format: str
    version: str
    layers: list[Layer]
    unknown: list[str] = field(default_factory=list)
    message: Any = None
    store: BlobStore = field(default_factory=BlobStore)


@dataclass
class SolverState:
    """A solver's state: iteration, the model file it belongs to, the learning rate's step, history per parameter."""

    iter: int
    learned_net: str
    current_step: int
    history: list[Blob]
    format: str = "solverstate"


def array_blob(array: np.ndarray) -> Blob:
    """A blob of an array in memory."""
    dtype = "float64" if array.dtype == np.float64 else "float32"
    kept = np.asarray(array, dtype)
    return Blob(kept.shape, False, dtype, lambda: kept)
