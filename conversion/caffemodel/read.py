"""Reading .caffemodel files of any version."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from google.protobuf import unknown_fields

from caffemodel import hdf5
from caffemodel.errors import CaffemodelError
from caffemodel.files import kind_of, parse, parse_slowly, wrong
from caffemodel.net import Blob, Layer, Net
from caffemodel.upgrade import layer_type, padded_convolutions, version_of

WHAT = "a caffemodel"


def read(path: str | os.PathLike) -> Net:
    """A model file: .caffemodel of V0, V1 or V2, or Caffe's HDF5 form; told by content, not by name.

    The layers are as Caffe upgrades them; `net.message` stays what the file says, so writing it back changes nothing.
    Raises CaffemodelError for a file that is missing, empty, truncated or something else, for a blob whose values do
    not fit its shape, and for a layer type that Caffe does not know.
    """
    path = Path(path)
    if kind_of(path) == "hdf5":
        return hdf5.read_net(path)
    message = parse(path, "NetParameter", WHAT)
    if not (message.layer or message.layers):
        raise wrong(path, WHAT)
    if not _whole(message):
        message = parse_slowly(path, "NetParameter", WHAT)
    return from_message(message, str(path))


def _blob_messages(message):
    for layer in message.layer:
        yield from layer.blobs
    for layer in message.layers:
        yield from layer.blobs
        yield from layer.layer.blobs


def blob_shape(message) -> tuple[tuple[int, ...], bool]:
    """(shape, legacy) of a BlobProto: four numbers as old files have them, or the dims."""
    # CAFFE: any one of the four makes it a legacy blob, the others are 0 (blob.cpp)
    names = ("num", "channels", "height", "width")
    if any(message.HasField(name) for name in names):
        return tuple(getattr(message, name) for name in names), True
    return tuple(message.shape.dim), False


def blob_count(message) -> int:
    return len(message.double_data) // 8 if message.double_data else len(message.data) // 4


def _whole(message) -> bool:
    """Does every blob's one packed run hold as many numbers as its shape says?"""
    return all(math.prod(blob_shape(blob)[0]) == blob_count(blob) for blob in _blob_messages(message))


def make_blob(message, where: str) -> Blob:
    """A Blob over a BlobProto. CaffemodelError when its values do not fit its shape."""
    shape, legacy = blob_shape(message)
    expected, got = math.prod(shape), blob_count(message)
    if expected != got or any(n < 0 for n in shape):
        unknown = _unknown(message, "")
        hint = f" (and fields that Caffe 1.0 does not have:{', '.join(unknown)})" if unknown else ""
        raise CaffemodelError(f"{where}: expected {expected} values for shape {shape}, got {got}{hint}")
    if message.double_data:
        return Blob(shape, legacy, "float64", lambda: np.frombuffer(message.double_data, "<f8"), message)
    return Blob(shape, legacy, "float32", lambda: np.frombuffer(message.data, "<f4"), message)


def _unknown(message, where: str) -> list[str]:
    fields = unknown_fields.UnknownFieldSet(message)
    return [f"{where} field {number}" for number in sorted({one.field_number for one in fields})]


def from_message(message, path: str) -> Net:
    """A Net over a NetParameter of the FAST schema."""
    version, layers, unknown = version_of(message), [], _unknown(message, "net")
    if version == "V2":
        found = [(layer, layer.bottom, layer.name, layer.blobs) for layer in message.layer]
    elif version == "V1":
        found = [(layer, layer.bottom, layer.name, layer.blobs) for layer in message.layers]
    else:
        kept = padded_convolutions(message)
        found = [(layer, bottoms, layer.layer.name, layer.layer.blobs) for layer, bottoms, _ in kept]
    for layer, bottoms, name, blobs in found:
        unknown += _unknown(layer, f"layer {name}")
        made = [make_blob(blob, f"{path}: {name} blob {k}") for k, blob in enumerate(blobs)]
        layers.append(Layer(name, layer_type(layer, version), list(bottoms), list(layer.top), made))
    return Net(message.name, "caffemodel", version, layers, unknown, message)
