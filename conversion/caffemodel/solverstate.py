"""Solver states: what Caffe needs beside the weights to go on training."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf import unknown_fields

from caffemodel.errors import CaffemodelError
from caffemodel.files import kind_of, parse, replacing, wrong
from caffemodel.net import SolverState, fill
from caffemodel.read import make_blob
from caffemodel.schema import FAST
from caffemodel.wire import Runs
from caffemodel.write import put

WHAT = "a solverstate"


def read_solverstate(path: str | os.PathLike) -> SolverState:
    """A .solverstate, binary or HDF5; told by content. Raises CaffemodelError as `read` does."""
    path = Path(path)
    kind = kind_of(path)
    if kind == "hdf5":
        from caffemodel import hdf5  # late, as in `read`

        return hdf5.read_solverstate(path)
    if kind != "solverstate":
        raise wrong(path, WHAT)
    message, runs = parse(path, "SolverState", WHAT)
    if len(unknown_fields.UnknownFieldSet(message)) or not message.HasField("iter"):
        raise CaffemodelError(f"{path}: expected {WHAT}, got something else: it has fields that no solverstate has")
    history = [make_blob(blob, runs, f"{path}: history {k}") for k, blob in enumerate(message.history)]
    return SolverState(message.iter, message.learned_net, message.current_step, history)


def write_solverstate(state: SolverState, path: str | os.PathLike) -> None:
    """Write a solver's state: HDF5 where the name ends in .h5, else binary, as Caffe writes it; whole or not at all."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".h5":
            from caffemodel import hdf5

            hdf5.write_solverstate(state, temporary)
            return
        message = FAST["SolverState"](iter=state.iter, learned_net=state.learned_net, current_step=state.current_step)
        runs = Runs()
        for blob in state.history:
            fill(message.history.add(), blob, runs)
        put(message, runs, temporary)
