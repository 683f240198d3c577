"""Caffe's model files, read and written without Caffe: .caffemodel (V0, V1, V2), .solverstate and their HDF5 forms."""

from caffemodel.errors import CaffemodelError
from caffemodel.message import from_arrays
from caffemodel.net import Blob, Layer, Net, SolverState, array_blob
from caffemodel.read import read
from caffemodel.solverstate import read_solverstate, write_solverstate
from caffemodel.write import upgrade, write

__all__ = [
    "Blob",
    "CaffemodelError",
    "Layer",
    "Net",
    "SolverState",
    "array_blob",
    "from_arrays",
    "read",
    "read_solverstate",
    "upgrade",
    "write",
    "write_solverstate",
]
