"""Reading .caffemodel files of any version."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from google.protobuf import unknown_fields

from caffemodel.errors import CaffemodelError
from caffemodel.files import kind_of, parse, wrong
from caffemodel.net import Blob, Layer, Net
from caffemodel.upgrade import layer_type, padded_convolutions, version_of
from caffemodel.wire import Runs

WHAT = "a caffemodel"


def read(path: str | os.PathLike) -> Net:
    """A model file: .caffemodel of V0, V1 or V2, or Caffe's HDF5 form; told by content, not by name.

    The layers are as Caffe upgrades them; `net.message` stays what the file says, so writing it back changes nothing.
    Values are read when they are asked for: replace the file if you like, but don't change it in place meanwhile.
    Raises CaffemodelError for a file that is missing, empty, truncated or something else, and for a blob whose values
    do not fit its shape.
    """
    path = Path(path)
    if kind_of(path) == "hdf5":
        from caffemodel import hdf5  # late: h5py takes its time, and most files are not HDF5

        return hdf5.read_net(path)
    message, runs = parse(path, "NetParameter", WHAT)
    if not (message.layer or message.layers):
        raise wrong(path, WHAT)
    return from_message(message, runs, str(path))


def blob_shape(message) -> tuple[tuple[int, ...], bool]:
    """(shape, legacy) of a BlobProto: four numbers as old files have them, or the dims."""
    # CAFFE: any one of the four makes it a legacy blob, the others are 0 (blob.cpp)
    names = ("num", "channels", "height", "width")
    if any(message.HasField(name) for name in names):
        return tuple(getattr(message, name) for name in names), True
    return tuple(message.shape.dim), False


def make_blob(message, runs: Runs, where: str) -> Blob:
    """A Blob over a BlobProto. CaffemodelError when its values do not fit its shape."""
    shape, legacy = blob_shape(message)
    # CAFFE: doubles, where there are any, go before floats (blob.cpp)
    field, dtype = ("double_data", "float64") if runs.get(message.double_data) else ("data", "float32")
    expected, got = math.prod(shape), len(runs.get(getattr(message, field))) // np.dtype(dtype).itemsize
    if expected != got or any(n < 0 for n in shape):
        unknown = _unknown(message, "")
        hint = f" (and what Caffe 1.0 does not know:{','.join(unknown)})" if unknown else ""
        raise CaffemodelError(f"{where}: expected {expected} values for shape {shape}, got {got}{hint}")
    return Blob(
        shape,
        legacy,
        dtype,
        lambda: runs.get(getattr(message, field)),
        lambda values: setattr(message, field, runs.add(values.reshape(-1).view(np.uint8))),
    )


def _text(name: str | bytes) -> str:
    """A name as text; protobuf gives one that is not UTF-8, which Caffe does not mind, as bytes."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def _unknown(message, where: str) -> list[str]:
    fields = unknown_fields.UnknownFieldSet(message)
    return [f"{where} field {number}" for number in sorted({one.field_number for one in fields})]


def from_message(message, runs: Runs, path: str) -> Net:
    """A Net over a NetParameter of the FAST schema with its numbers in `runs`."""
    version, layers, unknown = version_of(message), [], _unknown(message, "net")
    if version == "V2":
        found = [(layer, layer.bottom, layer) for layer in message.layer]
    elif message.layer:
        raise CaffemodelError(f"{path}: expected layers of one version, got both `layer` (V2) and `layers` (V1)")
    elif version == "V1":
        found = [(layer, layer.bottom, layer) for layer in message.layers]
    else:
        found = [(layer, bottoms, layer.layer) for layer, bottoms, _ in padded_convolutions(message)]
    for layer, bottoms, home in found:
        kind, known = layer_type(layer, version)
        name = _text(home.name)
        unknown += _unknown(layer, f"layer {name}") + ([] if known else [f"layer {name} type {kind}"])
        if version == "V0":
            unknown += _unknown(home, f"layer {name} (V0)")
        blobs = []
        for k, blob in enumerate(home.blobs):
            blobs.append(make_blob(blob, runs, f"{path}: {name} blob {k}"))
            unknown += _unknown(blob, f"layer {name} blob {k}")
        layers.append(Layer(name, _text(kind), [_text(b) for b in bottoms], [_text(top) for top in layer.top], blobs))
    return Net(_text(message.name), "caffemodel", version, layers, unknown, message, runs)
