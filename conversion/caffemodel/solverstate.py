"""Read and write solver states, which Caffe needs beside the weights to resume a training."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf import unknown_fields

from caffemodel.errors import CaffemodelError
from caffemodel.files import content_type, parse, replacing, wrong
from caffemodel.message import fill, make_blob, text_of
from caffemodel.net import SolverState
from caffemodel.schema import FAST
from caffemodel.wire import BlobStore
from caffemodel.write import put

WHAT = "a solver state"


def read_solverstate(path: str | os.PathLike) -> SolverState:
    """Read a .solverstate, binary or HDF5; the format is detected from the content.

    Raises:
        CaffemodelError: For the same reasons as in `read`.
    """
    path = Path(path)
    kind = content_type(path)
    if kind == "hdf5":
        from caffemodel import hdf5  # imported here as in `read`

        return hdf5.read_solverstate(path)
    if kind != "solver state":
        raise wrong(path, WHAT)
    message, store = parse(path, "SolverState", WHAT)
    if len(unknown_fields.UnknownFieldSet(message)) or not message.HasField("iter"):
        raise CaffemodelError(f"{path}: expected {WHAT}, got something else: it has fields that no solver state has")
    history = [make_blob(blob, store, f"{path}: history {k}") for k, blob in enumerate(message.history)]
    return SolverState(message.iter, text_of(message.learned_net), message.current_step, history)


def write_solverstate(state: SolverState, path: str | os.PathLike) -> None:
    """Write a solver state atomically: as HDF5 if the name ends in .h5, otherwise in Caffe's binary format.

    Raises:
        CaffemodelError: If the file cannot be written.
    """
    with replacing(path) as temporary:
        put_state(state, path, temporary)


def put_state(state: SolverState, path: str | os.PathLike, temporary: Path) -> None:
    """Write a solver's state into a temporary file, in the form that the name `path` asks for."""
    if Path(path).suffix == ".h5":
        from caffemodel import hdf5

        hdf5.write_solverstate(state, temporary)
        return
    message = FAST["SolverState"](iter=state.iter, learned_net=state.learned_net, current_step=state.current_step)
    store = BlobStore()
    for blob in state.history:
        fill(message.history.add(), blob, store)
    put(message, store, temporary)
