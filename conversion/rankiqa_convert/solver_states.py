"""Convert a training's state between Caffe's .caffemodel and .solverstate and the port's snapshot."""

from __future__ import annotations

import contextlib
import json
import operator
import os
from pathlib import Path

import numpy as np

from caffemodel import CaffemodelError, SolverState, array_blob, read, read_solverstate
from caffemodel.files import content_type, replacing
from caffemodel.message import text_of
from caffemodel.solverstate import put_state
from caffemodel.write import put_net
from rankiqa.data.json_text import parse_json
from rankiqa.models.file_format import HISTORY
from rankiqa_convert.converted_weights import PARTS, describe, meaning_dict, read_safetensors, to_net
from rankiqa_convert.recognise import recognise

LIMIT = 2**31  # Caffe's int


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
    broken = [name for name, values in tensors.items() if not np.isfinite(values).all()]
    if broken:
        raise CaffemodelError(f"{path}: expected finite values, got nan or inf in {', '.join(broken)}")
    if not (0 <= state.iter < LIMIT and 0 <= state.current_step < LIMIT):
        raise CaffemodelError(
            f"{path}: expected iter and current_step from 0 to {LIMIT - 1}, got {state.iter} and {state.current_step}"
        )
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
        raise CaffemodelError(f"{path}: expected a training snapshot, got only weights or another file")
    model = model_beside(out)
    try:
        str(model).encode()
    except UnicodeEncodeError:
        raise CaffemodelError(f"{out}: expected a path in UTF-8, since the state names its model in it") from None
    net = to_net(path, like)
    try:
        training = parse_json(metadata["training"])
        iteration, current_step = operator.index(training["iteration"]), operator.index(training["current_step"])
        if not 0 <= iteration < LIMIT or not 0 <= current_step < LIMIT:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CaffemodelError(f"{path}: expected a whole snapshot of a training, got a damaged one") from None
    layers = [layer for layer in net.layers if layer.blobs]
    blobs = {f"{layer.name}.{PARTS[k] if k < 2 else k}": blob for layer in layers for k, blob in enumerate(layer.blobs)}
    lacking = [name for name in blobs if HISTORY + name not in arrays]
    if lacking:
        raise CaffemodelError(f"{path}: expected the momentum of every layer, got none of {', '.join(lacking)}")
    found = {HISTORY + name: arrays[HISTORY + name] for name in blobs}
    wrong = [
        name
        for (name, values), blob in zip(found.items(), blobs.values(), strict=True)
        if values.dtype != np.float32 or not blob.fits(values.shape) or not np.isfinite(values).all()
    ]
    if wrong:
        raise CaffemodelError(
            f"{path}: expected finite float32 momentum of the weights' shapes, got other values in {', '.join(wrong)}"
        )
    state = SolverState(iteration, str(model), current_step, [array_blob(values) for values in found.values()])
    with replacing(out) as state_file, replacing(model) as model_file:  # both or none
        put_net(net, model, model_file)
        put_state(state, out, state_file)
    return {"model": str(model), "iteration": iteration, "current_step": current_step}
