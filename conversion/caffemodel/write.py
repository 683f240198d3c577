"""Write model files, and encode messages for solver states."""

from __future__ import annotations

import os
from pathlib import Path

from caffemodel.errors import CaffemodelError
from caffemodel.files import replacing
from caffemodel.message import fill, from_message
from caffemodel.net import Net
from caffemodel.schema import FAST
from caffemodel.upgrade import to_v2
from caffemodel.wire import BlobStore, reattach_blobs

STEP = 1 << 20  # bytes written at a time


def write(net: Net, path: str | os.PathLike) -> None:
    """Write a net atomically: as HDF5 if the name ends in .h5, otherwise as a caffemodel of the net's own version.

    A net that was read and not changed is written byte for byte, including fields that Caffe does not know. Only
    numbers that an old writer did not pack become packed.

    Args:
        net: The net.
        path: The file to write.

    Raises:
        CaffemodelError: If the file cannot be written.
    """
    with replacing(path) as temporary:
        put_net(net, path, temporary)


def put_net(net: Net, path: str | os.PathLike, temporary: Path) -> None:
    """Write a net into a temporary file, in the form that the name `path` asks for."""
    if Path(path).suffix == ".h5":
        from caffemodel import hdf5  # imported here as in `read`

        hdf5.write_net(net, temporary)
    else:
        message, store = _message(net)
        put(message, store, temporary)


def put(message, store: BlobStore, path: Path) -> None:
    """Write an encoded message to a file, with its numbers directly from the store, without copying them."""
    with open(path, "wb") as file:
        for piece in reattach_blobs(message.SerializeToString(), message.DESCRIPTOR.name, store):
            for first in range(0, len(piece), STEP):
                file.write(piece[first : first + STEP])


def _message(net: Net):
    """Return (NetParameter, BlobStore) of a net; build them for a net from HDF5."""
    if net.message is not None:
        if changed := net.changed():
            raise CaffemodelError(
                f"expected the layers as they were read, got changes in {', '.join(changed)}: values change by "
                "Blob.assign, and all else in net.message"
            )
        return net.message, net.store
    message, store = FAST["NetParameter"](name=net.name), BlobStore()
    for layer in net.layers:
        if layer.blobs and not layer.type:
            raise CaffemodelError(f"layer {layer.name}: expected a layer type, got none, as in HDF5 files")
        added = message.layer.add(name=layer.name, type=layer.type, bottom=layer.bottoms, top=layer.tops)
        for blob in layer.blobs:
            fill(added.blobs.add(), blob, store)
    return message, store


def upgrade(net: Net) -> Net:
    """Return the net as a V2 caffemodel, upgraded as Caffe does it."""
    message, store = _message(net)
    return from_message(to_v2(message), store, net.name)
