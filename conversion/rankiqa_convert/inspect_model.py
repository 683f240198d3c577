"""Describe the content of a model file, for `rankiqa convert inspect`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from caffemodel import Blob, CaffemodelError, Net, array_blob, read, read_solverstate
from caffemodel.files import content_type
from rankiqa.data.json_text import parse_json
from rankiqa.models.score_meaning import from_metadata
from rankiqa_convert.converted_weights import PARTS, meaning_dict, read_safetensors
from rankiqa_convert.printable import printable
from rankiqa_convert.recognise import recognise
from rankiqa_convert.solver_states import is_state

WIDEST = 60  # characters of the column of names


def inspect(path: Path) -> dict:
    """Describe a model file.

    Returns:
        {"format", "version", "layers": [{"name", "type", "blobs": [{"shape", "dtype", "sha256", "finite"}]}], ..}.
        The format is "caffemodel", "solverstate" or "safetensors", followed by "-hdf5" for Caffe's HDF5 formats.
        Every layer is listed. sha256 is over the little-endian float32 values.

    Raises:
        CaffemodelError: For the same reasons as in `caffemodel.read`.
    """
    kind = content_type(path)
    if kind == "safetensors":
        return _safetensors(path)
    if is_state(path):
        state = read_solverstate(path)
        layers = [{"name": f"history {k}", "type": "", "blobs": [_blob(b)]} for k, b in enumerate(state.history)]
        more = {"iter": state.iter, "learned_net": state.learned_net, "current_step": state.current_step}
        return {"format": "solverstate" + _hdf5(kind), "version": "V2", "layers": layers, **more}
    net = read(path)
    layers = [
        {"name": layer.name, "type": layer.type, "blobs": [_blob(b) for b in layer.blobs]} for layer in net.layers
    ]
    content = {"format": "caffemodel" + _hdf5(kind), "version": net.version, "layers": layers, "name": net.name}
    return {**content, "unknown": net.unknown, **_network(net, path)}


def _network(net: Net, path: Path) -> dict:
    """Return {"network", "structure", "meaning"}; all None, with the reason in "differs", if it is not RankIQA's."""
    try:
        match = recognise(net, str(path))
    except CaffemodelError as error:
        return {"network": None, "structure": None, "meaning": None, "differs": str(error).removeprefix(f"{path}: ")}
    return {"network": match.arch.name, "structure": match.structure, "meaning": meaning_dict(match.meaning)}


def _hdf5(kind: str) -> str:
    """Return the suffix of the format's name."""
    return "-hdf5" if kind == "hdf5" else ""


def _blob(blob: Blob) -> dict:
    """Describe a blob."""
    digest, finite = blob.summary()
    return {"shape": list(blob.shape), "dtype": blob.dtype, "sha256": digest, "finite": finite}


def _safetensors(path: Path) -> dict:
    """Describe a safetensors file.

    Tensors NAME.weight and NAME.bias are listed as blobs 0 and 1 of a layer NAME; any other tensor is its own layer.
    """
    metadata, arrays = read_safetensors(path)
    layers: dict[str, list] = {}
    order = {part: k for k, part in enumerate(PARTS)}
    for key in sorted(arrays, key=lambda key: (key.rpartition(".")[0], order.get(key.rpartition(".")[2], 2), key)):
        name, _, part = key.rpartition(".")
        row = _row(arrays[key])
        layers.setdefault(name if part in PARTS else key, []).append(row)
    types = {}
    with contextlib.suppress(KeyError, TypeError, ValueError):  # without our metadata, types are unknown
        types = {layer["name"]: layer["type"] for layer in parse_json(metadata["layers"])}
        layers = {name: layers[name] for name in [*types, *layers] if name in layers}  # Caffe's order first
    rows = [{"name": name, "type": types.get(name, ""), "blobs": blobs} for name, blobs in layers.items()]
    kept = {key: value for key, value in metadata.items() if key not in ("layers", "format", "version")}
    version = metadata.get("version", "")
    try:
        meaning = meaning_dict(from_metadata(metadata))
    except ValueError:
        meaning = None
    return {"format": "safetensors", "version": version, "layers": rows, "metadata": kept, "meaning": meaning}


def _row(values: np.ndarray) -> dict:
    """Describe an array."""
    digest, finite = array_blob(values).summary()
    return {"shape": list(values.shape), "dtype": str(values.dtype), "sha256": digest, "finite": finite}


def table(description: dict) -> str:
    """Format the description that `inspect` returned as text."""
    more = [
        f"{k} {v}" for k, v in description.items() if k in ("name", "iter", "learned_net", "current_step") and v != ""
    ]
    lines = [" ".join([description["format"], description["version"], *more])]
    width = min(WIDEST, max([len(layer["name"]) for layer in description["layers"]] or [0]))
    for layer in description["layers"]:
        first = f"{layer['name']:<{width}}  {layer['type']:<16}"
        for blob in layer["blobs"] or [None]:
            text = ""
            if blob:
                shape = "x".join(map(str, blob["shape"])) or "scalar"
                text = f"{shape:<18} {blob['dtype']:<8} {blob['sha256']}" + ("" if blob["finite"] else "  NOT FINITE")
            lines.append(f"{first}  {text}".rstrip())
            first = " " * len(first)
    lines += [f"not known to Caffe 1.0, kept: {field}" for field in description.get("unknown", [])]
    if description.get("network"):
        lines.append(f"network of RankIQA: {description['network']}, structure {description['structure']}")
    if description.get("meaning"):
        known = [f"{key} {value}" for key, value in description["meaning"].items() if value is not None]
        lines.append("score: " + ", ".join(known))
    if description.get("differs"):
        lines.append(f"not RankIQA's: {description['differs']}")
    return "\n".join(map(printable, lines))
