"""Convert a training's state between Caffe's .caffemodel and .solverstate and the port's snapshot."""

from __future__ import annotations

import contextlib
import json
import operator
import os
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
from caffemodel.message import text_of
from rankiqa.data.json_text import parse_json
from rankiqa.models.file_format import HISTORY
from rankiqa_convert.recognise import recognise
from rankiqa_convert.weights import PARTS, describe, meaning_dict, read_safetensors, to_net


def is_state(path: Path) -> bool:
    """Return whether a file's content is a solver state."""
    kind = content_type(path)
    if kind == "hdf5":
        from caffemodel import hdf5  # imported here as in `caffemodel.read`

        return hdf5.is_solverstate(path)
    return kind == "solver state"


def learned_net(state: SolverState, path: Path) -> Path:
    """Find the model file that a solver state names.

    The name is tried relative to the current folder, as in Caffe, and then in the folder of the state.

    Args:
        state: The solver state.
        path: Its file.

    Raises:
        CaffemodelError: If there is no such file.
    """
    # a state that was written on Windows uses backslashes
    for name in dict.fromkeys((state.learned_net, state.learned_net.replace("\\", "/"))):
        for candidate in (Path(name), path.parent / Path(name).name):
            with contextlib.suppress(OSError, ValueError):  # a name that is too long or contains a zero
                if candidate.is_file():
                    return candidate
    # a name that is not UTF-8 cannot be recovered from its text, so also accept a model with the state's own name
    beside = path.with_name(path.name.replace(".solverstate", ".caffemodel"))
    if beside != path and beside.is_file():
        return beside
    raise CaffemodelError(
        f"{path}: expected its model {state.learned_net} below the current folder or beside it, got no such file"
    )


def to_snapshot(
    path: Path, out: Path, arch: str | None = None, prototxt: Path | None = None, claimed: str | None = None
) -> dict:
    """Convert a solver state and its model to the port's snapshot.

    Args:
        path: The solver state.
        out: The .safetensors to write.
        arch: The expected network; None: the best match.
        prototxt: A network description that is compared with the table, too.
        claimed: The value of --trained-on.

    Returns:
        The summary that --json prints.

    Raises:
        CaffemodelError: If the model is not RankIQA's, or the history does not fit its parameters.
    """
    from safetensors.numpy import save_file  # imported here because converting weights alone does not need it

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
    metadata = {**describe(match), "source_name": text_of(os.fsencode(path.name)), "training": json.dumps(training)}
    with replacing(out) as temporary:
        save_file(tensors, temporary, metadata)
    more = {"structure": match.structure, "meaning": meaning_dict(match.meaning)}
    return {"arch": match.arch.name, "head": match.head, "fc": list(match.fc), **training, **more}


def model_beside(out: Path) -> Path:
    """The model that is written with a solver's state. Raises CaffemodelError for a name that is no state's."""
    if not out.name.endswith((".solverstate", ".solverstate.h5")):
        raise CaffemodelError(f"{out}: expected a name that ends in .solverstate or .solverstate.h5")
    return out.with_name(out.name.replace(".solverstate", ".caffemodel"))


def to_solverstate(path: Path, like: str, out: Path) -> dict:
    """Convert a snapshot to Caffe's two files: a solver state and the model beside it.

    The state stores the model's name relative to the same folder as `out`, so Caffe finds it from there.

    Args:
        path: The snapshot.
        like: The original's net, or a model file, as in `weights.to_net`.
        out: The .solverstate or .solverstate.h5 to write.

    Returns:
        The summary that --json prints.

    Raises:
        CaffemodelError: If the file is not a snapshot.
    """
    metadata, arrays = read_safetensors(path)
    if "training" not in metadata:
        raise CaffemodelError(f"{path}: expected a snapshot of a training, got weights alone, or another file")
    model = model_beside(out)
    try:
        str(model).encode()
    except UnicodeEncodeError:
        raise CaffemodelError(f"{out}: expected a path in UTF-8, since the state names its model in it") from None
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
    write(net, model)
    state = SolverState(iteration, str(model), current_step, history)
    write_solverstate(state, out)
    return {"model": str(model), "iteration": iteration, "current_step": current_step}
