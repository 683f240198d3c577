"""A network's weights as Caffe files hold them: Net, Layer, Blob."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffemodel.errors import CaffemodelError
from caffemodel.schema import FAST


class Blob:
    """An array of a file, read when it is asked for.

    shape: as the file has it; legacy: it was written as num, channels, height, width; dtype: "float32" or "float64".
    """

    def __init__(self, shape: Sequence[int], legacy: bool, dtype: str, read: Callable[[], np.ndarray], message=None):
        self.shape, self.legacy, self.dtype = tuple(int(n) for n in shape), legacy, dtype
        self._read, self.message = read, message

    @property
    def data(self) -> np.ndarray:
        """The values in the file's precision, of the file's shape; read-only, a fresh copy each time."""
        return self._read().reshape(self.shape)

    def float32(self) -> np.ndarray:
        """The values as Caffe's float nets load them: little-endian float32, doubles rounded."""
        return self.data.astype("<f4", copy=False)

    def sha256(self) -> str:
        """SHA-256 (hex) of the little-endian float32 values."""
        return hashlib.sha256(np.ascontiguousarray(self.float32()).data).hexdigest()

    def fits(self, shape: Sequence[int]) -> bool:
        """Would Caffe load it into a blob of this shape? A legacy blob compares with the shape padded by ones to 4."""
        shape = tuple(shape)
        if self.legacy and len(shape) <= 4:
            return self.shape == (1,) * (4 - len(shape)) + shape
        return self.shape == shape

    def assign(self, values: np.ndarray) -> None:
        """Put other values of the same shape in its place, in the file's own encoding (binary files only)."""
        if self.message is None:
            raise CaffemodelError("expected a blob of a binary file, got one that cannot be changed in place")
        if values.size != math.prod(self.shape):
            raise CaffemodelError(f"expected {math.prod(self.shape)} values for shape {self.shape}, got {values.size}")
        name, kind = ("data", "<f4") if self.dtype == "float32" else ("double_data", "<f8")
        setattr(self.message, name, np.ascontiguousarray(values, kind).tobytes())


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

    unknown: fields that Caffe 1.0 does not have, as text; they are kept when the net is written back.
    message: the protobuf message as read (None for HDF5).
    """

    name: str
    format: str
    version: str
    layers: list[Layer]
    unknown: list[str] = field(default_factory=list)
    message: Any = None


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
    kept = np.ascontiguousarray(array, dtype)
    return Blob(kept.shape, False, dtype, lambda: kept)


def fill(message, array: np.ndarray) -> None:
    """Write an array into a BlobProto of the FAST schema, as Caffe writes one (shape, packed float or double)."""
    message.shape.dim.extend(array.shape)
    if array.dtype == np.float64:
        message.double_data = np.ascontiguousarray(array, "<f8").tobytes()
    else:
        message.data = np.ascontiguousarray(array, "<f4").tobytes()


def from_arrays(name: str, layers: Sequence[tuple[str, str, Sequence[np.ndarray]]]) -> Net:
    """A V2 net of [(layer name, type, arrays)], float64 arrays as double_data, all others as float32."""
    from caffemodel.read import from_message

    message = FAST["NetParameter"](name=name)
    for layer_name, kind, arrays in layers:
        layer = message.layer.add(name=layer_name, type=kind)
        for array in arrays:
            fill(layer.blobs.add(), np.asarray(array))
    return from_message(message, name)
