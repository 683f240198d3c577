"""A training's state, both ways: Caffe's .caffemodel and .solverstate, and the port's snapshot (rankiqa.snapshots)."""

from __future__ import annotations

import contextlib
import json
import operator
from pathlib import Path

from caffemodel import (
    CaffemodelError,
    SolverState,
    array_blob,
    read,
    read_solverstate,
    write,
    write_solverstate,
)
from caffemodel.files import content_type, replacing
from rankiqa.data.json_text import parse_json
from rankiqa.models.file_format import HISTORY
from rankiqa_convert.recognise import recognise
from rankiqa_convert.weights import PARTS, describe, read_safetensors, said_meaning, to_net


def is_state(path: Path) -> bool:
    """Is a file a solver's state, by content?"""
    kind = content_type(path)
    if kind == "hdf5":
        from caffemodel import hdf5  # late, as in `read`

        return hdf5.is_solverstate(path)
    return kind == "solver state"


def learned_net(state: SolverState, path: Path) -> Path:
    """The model that a solver state names: below the current folder, where Caffe looks for it, or beside the state."""
    # A state that was written on Windows names its model with backslashes
    for name in dict.fromkeys((state.learned_net, state.learned_net.replace("\\", "/"))):
        for candidate in (Path(name), path.parent / Path(name).name):
            with contextlib.suppress(OSError, ValueError):  # too long, or with a zero in it
                if candidate.is_file():
                    return candidate
    # One that is not UTF-8 cannot be claimed from its text; a model that has the state's own name is the one
    beside = path.with_name(path.name.replace(".solverstate", ".caffemodel"))
    if beside != path and beside.is_file():
        return beside
    raise CaffemodelError(
        f"{path}: expected its model {state.learned_net} below the current folder or beside it, got no such file"
    )


def to_snapshot(
    path: Path, out: Path, arch: str | None = None, prototxt: Path | None = None, claimed: str | None = None
) -> dict:
    """Write the port's snapshot of a solver state and its model. Returns what --json prints.

    Raises CaffemodelError when the model is none of RankIQA's, or the history is not that of its parameters.
    """
    from safetensors.numpy import save_file  # late: the way of the weights does without

    state = read_solverstate(path)
    model = learned_net(state, path)
    match = recognise(read(model), str(model), arch, prototxt=prototxt, claimed=claimed)
    shapes = match.arch.parameter_shapes(match.fc)
    names = [f"{name}.{part}" for name in shapes for part in PARTS]
    sizes = [shape for pair in shapes.values() for shape in pair]
    if len(state.history) != len(names):
        raise CaffemodelError(f"{path}: expected {len(names)} history blobs, got {len(state.history)}")
    blobs = [blob for pair in match.blobs.values() for blob in pair]
    tensors = {}
    for name, shape, blob, history in zip(names, sizes, blobs, state.history, strict=True):
        if not history.fits(shape):
            raise CaffemodelError(f"{path}: history of {name}: expected {shape}, got {history.shape}")
        tensors[name] = blob.float32().reshape(shape)
        tensors[HISTORY + name] = history.float32().reshape(shape)
    training = {"iteration": state.iter, "current_step": state.current_step}
    metadata = {**describe(match), "source_name": path.name, "training": json.dumps(training)}
    with replacing(out) as temporary:
        save_file(tensors, temporary, metadata)
    said = {"structure": match.structure, "meaning": said_meaning(match.meaning)}
    return {"arch": match.arch.name, "head": match.head, "fc": list(match.fc), **training, **said}


def to_solverstate(path: Path, like: str, out: Path) -> dict:
    """Write Caffe's two files of a snapshot: OUT (.solverstate or .solverstate.h5) and the model beside it.

    The state names the model as OUT is given, so Caffe finds it from the folder that OUT is relative to.
    Returns what --json prints. Raises CaffemodelError for a file that is no snapshot.
    """
    metadata, arrays = read_safetensors(path)
    if "training" not in metadata:
        raise CaffemodelError(f"{path}: expected a snapshot of a training, got weights alone, or another file")
    name = out.name.replace(".solverstate", ".caffemodel")
    if name == out.name:
        raise CaffemodelError(f"{out}: expected a name that ends in .solverstate or .solverstate.h5")
    net = to_net(path, like)
    try:
        training = parse_json(metadata["training"])
        iteration, current_step = operator.index(training["iteration"]), operator.index(training["current_step"])
        if not 0 <= iteration < 2**31 or not 0 <= current_step < 2**31:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CaffemodelError(f"{path}: expected a whole snapshot of a training, got a damaged one") from None
    lacking = [
        f"{layer.name}.{part}"
        for layer in net.layers
        if layer.blobs
        for part in PARTS
        if f"{HISTORY}{layer.name}.{part}" not in arrays
    ]
    if lacking:
        raise CaffemodelError(f"{path}: expected the momentum of every layer, got none of {', '.join(lacking)}")
    history = [
        array_blob(arrays[f"{HISTORY}{layer.name}.{part}"]) for layer in net.layers if layer.blobs for part in PARTS
    ]
    model = out.with_name(name)
    write(net, model)
    state = SolverState(iteration, str(model), current_step, history)
    write_solverstate(state, out)
    return {"model": str(model), "iteration": iteration, "current_step": current_step}
