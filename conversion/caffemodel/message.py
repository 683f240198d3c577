"""Convert between protobuf messages (BlobProto, NetParameter) and `Blob` and `Net`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from google.protobuf import unknown_fields

from caffemodel.errors import CaffemodelError
from caffemodel.net import MAX_COUNT, Blob, Layer, Net, array_blob
from caffemodel.schema import FAST
from caffemodel.upgrade import layer_type, padded_convolutions, version_of
from caffemodel.wire import BlobStore

MAX_AXES = 32  # Caffe's own limit (blob.hpp)
_RAW = {0: "float64", 1: "float32", 2: "float16"}  # NVIDIA Caffe's raw_data_type


def blob_shape(message) -> tuple[tuple[int, ...], bool]:
    """Return (shape, legacy) of a BlobProto; a legacy blob states num, channels, height and width instead of dims."""
    # CAFFE: if any of the four is set, the blob is legacy, and those that are not set are 0 (blob.cpp)
    names = ("num", "channels", "height", "width")
    if any(message.HasField(name) for name in names):
        return tuple(getattr(message, name) for name in names), True
    return tuple(message.shape.dim), False


def make_blob(message, store: BlobStore, where: str) -> Blob:
    """Return a Blob that reads and writes a BlobProto.

    Args:
        message: The BlobProto.
        store: Holds its numbers.
        where: The name of the blob in error messages.

    Raises:
        CaffemodelError: If its values do not fit its shape.
    """
    shape, legacy = blob_shape(message)
    # CAFFE: doubles take precedence over floats (blob.cpp). NVIDIA Caffe: both take precedence over raw_data.
    field, dtype = "data", "float32"
    if store.get(message.double_data):
        field, dtype = "double_data", "float64"
    elif store.get(message.raw_data) and not store.get(message.data):
        if message.raw_data_type not in _RAW or not message.HasField("raw_data_type"):
            raise CaffemodelError(
                f"{where}: expected raw_data of double, float or half (types 0, 1, 2 of NVIDIA Caffe), "
                f"got {message.raw_data_type if message.HasField('raw_data_type') else 'no type'}"
            )
        field, dtype = "raw_data", _RAW[message.raw_data_type]
    if len(shape) > MAX_AXES or math.prod(max(n, 1) for n in shape) > MAX_COUNT:
        raise CaffemodelError(f"{where}: expected at most {MAX_AXES} axes and {MAX_COUNT} values, got a larger shape")
    expected, size = math.prod(shape), np.dtype(dtype).itemsize
    got = len(store.get(getattr(message, field)))
    if expected * size != got or any(n < 0 for n in shape):
        unknown = _unknown(message, "")
        hint = f" (and what Caffe 1.0 does not know:{','.join(unknown)})" if unknown else ""
        raise CaffemodelError(f"{where}: expected {expected} values for shape {shape}, got {got / size:g}{hint}")

    def keep(values: np.ndarray) -> None:
        nonlocal field
        if dtype == "float16":
            field = "data"
            message.ClearField("raw_data")
            message.ClearField("raw_data_type")
        setattr(message, field, store.add(values.reshape(-1).view(np.uint8)))

    return Blob(shape, legacy, dtype, lambda: store.get(getattr(message, field)), keep)


def text_of(name: str | bytes) -> str:
    """Return a name as text. Caffe accepts names that are not UTF-8; protobuf returns those as bytes."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def _unknown(message, where: str) -> list[str]:
    """Describe the fields of a message that the schema does not have."""
    fields = unknown_fields.UnknownFieldSet(message)
    return [f"{where} field {number}" for number in sorted({field.field_number for field in fields})]


def _raw_fields(blob) -> list[str]:
    """Return the names of NVIDIA Caffe's raw fields that a blob uses."""
    return [name for name in ("raw_data", "raw_diff") if getattr(blob, name)]


def from_message(message, store: BlobStore, path: str) -> Net:
    """Return the Net of a NetParameter (FAST schema) whose numbers are in `store`.

    Raises:
        CaffemodelError: If a blob is damaged, or the message mixes layers of several versions. `path` names the file.
    """
    version, layers, unknown = version_of(message), [], _unknown(message, "net")
    if version == "V2":
        homes = [(layer, layer.bottom, layer) for layer in message.layer]
    elif message.layer:
        raise CaffemodelError(f"{path}: expected layers of one version, got both `layer` (V2) and `layers` (V1)")
    elif version == "V1":
        homes = [(layer, layer.bottom, layer) for layer in message.layers]
    else:
        homes = [(layer, bottoms, layer.layer) for layer, bottoms, _ in padded_convolutions(message)]
    for layer, bottoms, home in homes:
        kind, known = layer_type(layer, version)
        name = text_of(home.name)
        unknown += _unknown(layer, f"layer {name}") + ([] if known else [f"layer {name} type {kind}"])
        if version == "V0":
            unknown += _unknown(home, f"layer {name} (V0)")
        blobs = []
        for k, blob in enumerate(home.blobs):
            blobs.append(make_blob(blob, store, f"{path}: {name} blob {k}"))
            unknown += _unknown(blob, f"layer {name} blob {k}")
            unknown += [f"layer {name} blob {k} {field} of NVIDIA Caffe" for field in _raw_fields(blob)]
        bottoms, tops = [text_of(bottom) for bottom in bottoms], [text_of(top) for top in layer.top]
        layers.append(Layer(name, text_of(kind), bottoms, tops, blobs))
    return Net(text_of(message.name), "caffemodel", version, layers, unknown, message, store)


def fill(message, blob: Blob, store: BlobStore) -> None:
    """Write a blob into an empty BlobProto as Caffe does: its shape, then packed floats or doubles."""
    message.shape.dim.extend(blob.shape)
    if blob.dtype == "float16":  # Caffe 1.0 has no half precision
        blob = array_blob(blob.float32())
    setattr(message, "data" if blob.dtype == "float32" else "double_data", store.add(blob.encoded()))


def from_arrays(name: str, layers: Sequence[tuple[str, str, Sequence[np.ndarray]]]) -> Net:
    """Build a V2 net from arrays.

    Args:
        name: The net's name.
        layers: (layer name, type, arrays) of each layer. float64 arrays become double_data, all others float32.
            The arrays are not copied.
    """
    message, store = FAST["NetParameter"](name=name), BlobStore()
    for layer_name, kind, arrays in layers:
        layer = message.layer.add(name=layer_name, type=kind)
        for array in arrays:
            fill(layer.blobs.add(), array_blob(np.asarray(array)), store)
    return from_message(message, store, name)
