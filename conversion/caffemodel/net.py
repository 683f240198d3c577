"""The content of Caffe's model files: Net, Layer, Blob and SolverState."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffemodel.errors import CaffemodelError
from caffemodel.wire import BlobStore

MAX_COUNT = 2**31 - 1  # values of a blob: Caffe's own limit (blob.cpp)
CHUNK = 1 << 18  # values processed at a time: one mebibyte of float32, which fits in the cache


class Blob:
    """An array in a model file. Its values are read on demand.

    Attributes:
        shape: The shape as stored in the file.
        legacy: Whether the shape was written as num, channels, height, width.
        dtype: "float32", "float64" or "float16" (NVIDIA Caffe's).
    """

    def __init__(self, shape: Sequence[int], legacy: bool, dtype: str, read: Callable[[], Any], keep=None):
        """Create a blob whose values stay in the file.

        Args:
            shape: The shape as stored in the file.
            legacy: Whether the shape was written as num, channels, height, width.
            dtype: "float32", "float64" or "float16".
            read: Returns the values, as an array or as little-endian bytes.
            keep: Called by `assign` with an array of new values; None: the blob itself keeps them.
        """
        self.shape, self.legacy, self.dtype = tuple(int(n) for n in shape), legacy, dtype
        self._read, self._keep = read, keep

    def _dtype(self) -> np.dtype:
        return np.dtype(self.dtype).newbyteorder("<")

    def encoded(self) -> memoryview:
        """Return the values in the file's precision as little-endian bytes."""
        values = self._read()
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values, self._dtype()).reshape(-1).view(np.uint8).data
        return values

    @property
    def data(self) -> np.ndarray:
        """The values in the file's precision and shape, as a new array that the caller may change."""
        values = np.empty(self.shape, self._dtype())
        values.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.encoded(), np.uint8)
        return values

    def float32(self) -> np.ndarray:
        """Return the values as Caffe's float nets load them: little-endian float32, with doubles rounded."""
        with np.errstate(over="ignore"):  # values beyond float32 become inf, as in Caffe's cast
            return self.data.astype("<f4", copy=False)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the values as flat float32 arrays of at most CHUNK values, in order; for large files."""
        view, step = self.encoded(), CHUNK * self._dtype().itemsize
        for first in range(0, len(view), step):
            values = np.frombuffer(bytes(view[first : first + step]), self._dtype())  # copied: may be unaligned
            with np.errstate(over="ignore"):
                yield values.astype("<f4", copy=False)

    def sha256(self) -> str:
        """Return the SHA-256 (hex) of the little-endian float32 values."""
        return self.summary()[0]

    def summary(self, write: Callable[[memoryview], Any] | None = None) -> tuple[str, bool]:
        """Hash the values, check them and optionally write them, in one pass.

        Args:
            write: Called with the bytes of the little-endian float32 values, in order.

        Returns:
            (SHA-256 (hex) of the little-endian float32 values, whether all are finite).
        """
        digest, finite = hashlib.sha256(), True
        for values in self.chunks():
            finite = finite and bool(np.isfinite(values).all())
            digest.update(values.data)
            if write:
                write(values.data)
        return digest.hexdigest(), finite

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether Caffe would load this blob into a blob of the given shape.

        A legacy blob is compared with the shape padded by ones to 4 axes.
        """
        shape = tuple(shape)
        if self.legacy and len(shape) <= 4:
            return self.shape == (1,) * (4 - len(shape)) + shape
        return self.shape == shape

    def assign(self, values: np.ndarray) -> None:
        """Replace the values and keep the blob's encoding and shape. The values are copied.

        A float16 blob becomes float32.

        Raises:
            CaffemodelError: If the number of values is different.
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
    """A layer of a model file.

    Attributes:
        name: Its name.
        type: Its V2 type; "" if the file states none.
        bottoms: The names of its input blobs.
        tops: The names of its output blobs.
        blobs: Its parameters.
    """

    name: str
    type: str
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)


@dataclass
class Net:
    """The content of a model file.

    A net that was read is written from its message: change values with `Blob.assign` and everything else in `message`.

    Attributes:
        name: The net's name.
        format: "caffemodel" or "hdf5".
        version: "V0", "V1" or "V2", as written in the file.
        layers: The layers as upgraded to V2.
        unknown: Descriptions of everything that Caffe 1.0 does not know. It is kept when the net is written back.
        message: The protobuf message as read; None for HDF5.
        store: The numbers that `message` refers to.
    """

    name: str
    format: str
    version: str
    layers: list[Layer]
    unknown: list[str] = field(default_factory=list)
    message: Any = None
    store: BlobStore = field(default_factory=BlobStore)

    def __post_init__(self) -> None:
        self._made_as = self._outline()

    def _outline(self) -> list[tuple]:
        layers = [(x.name, x.type, tuple(x.bottoms), tuple(x.tops), tuple(x.blobs)) for x in self.layers]
        return [(self.name, "", (), (), ()), *layers]

    def changed(self) -> list[str]:
        """The names of what is no longer as the net was made: the net itself, layers that are other ones or gone."""
        now = self._outline()
        return sorted(
            {name for name, *_ in (x for x in (*now, *self._made_as) if x not in now or x not in self._made_as)}
        )


@dataclass
class SolverState:
    """The content of a solver state.

    Attributes:
        iter: The iteration.
        learned_net: The model file that belongs to the state.
        current_step: How many steps of the learning-rate schedule were passed.
        history: The momentum of each parameter.
        format: The file format.
    """

    iter: int
    learned_net: str
    current_step: int
    history: list[Blob]
    format: str = "solverstate"


def array_blob(array: np.ndarray) -> Blob:
    """Return a blob of an array in memory; float64 stays float64, everything else becomes float32."""
    dtype = "float64" if array.dtype == np.float64 else "float32"
    kept = np.asarray(array, dtype)
    return Blob(kept.shape, False, dtype, lambda: kept)
