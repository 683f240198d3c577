"""Solver states: what Caffe needs beside the weights to go on training."""

from __future__ import annotations

import math
import os
from pathlib import Path

from caffemodel import hdf5
from caffemodel.files import kind_of, parse, parse_slowly, replacing, wrong
from caffemodel.net import SolverState, fill
from caffemodel.read import blob_count, blob_shape, make_blob
from caffemodel.schema import FAST

WHAT = "a solverstate"


def read_solverstate(path: str | os.PathLike) -> SolverState:
    """A .solverstate, binary or HDF5; told by content. Raises CaffemodelError as `read` does."""
    path = Path(path)
    kind = kind_of(path)
    if kind == "hdf5":
        return hdf5.read_solverstate(path)
    if kind != "solverstate":
        raise wrong(path, WHAT)
    message = parse(path, "SolverState", WHAT)
    if any(math.prod(blob_shape(blob)[0]) != blob_count(blob) for blob in message.history):
        message = parse_slowly(path, "SolverState", WHAT)
    history = [make_blob(blob, f"{path}: history {k}") for k, blob in enumerate(message.history)]
    return SolverState(message.iter, message.learned_net, message.current_step, history)


def write_solverstate(state: SolverState, path: str | os.PathLike) -> None:
    """Write a solver's state: HDF5 where the name ends in .h5, else binary, as Caffe writes it; whole or not at all."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".h5":
            hdf5.write_solverstate(state, temporary)
            return
        message = FAST["SolverState"](iter=state.iter, learned_net=state.learned_net, current_step=state.current_step)
        for blob in state.history:
            fill(message.history.add(), blob.data)
        temporary.write_bytes(message.SerializeToString())
