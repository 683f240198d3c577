"""Writing model files and solver states."""

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
    """Write a net: HDF5 where the name ends in .h5, else a caffemodel of the net's own version.

    A net that was read and not changed comes out byte for byte, fields that Caffe does not know included (files of
    old writers that did not pack their numbers come out packed). The file appears whole or not at all.
    Raises CaffemodelError when it cannot be written.
    """
    with replacing(path) as temporary:
        if Path(path).suffix == ".h5":
            from caffemodel import hdf5  # late, as in `read`

            hdf5.write_net(net, temporary)
        else:
            message, store = _message(net)
            put(message, store, temporary)


def put(message, store: BlobStore, path: Path) -> None:
    """Encode a message into a file, its numbers straight from where they are."""
    with open(path, "wb") as file:
        for piece in reattach_blobs(message.SerializeToString(), message.DESCRIPTOR.name, store):
            for first in range(0, len(piece), STEP):
                file.write(piece[first : first + STEP])


def _message(net: Net):
    if net.message is not None:
        return net.message, net.store
    message, store = FAST["NetParameter"](name=net.name), BlobStore()
    for layer in net.layers:
        if layer.blobs and not layer.type:
            raise CaffemodelError(f"layer {layer.name}: an HDF5 file says no layer types, which a caffemodel needs")
        added = message.layer.add(name=layer.name, type=layer.type, bottom=layer.bottoms, top=layer.tops)
        for blob in layer.blobs:
            fill(added.blobs.add(), blob, store)
    return message, store


def upgrade(net: Net) -> Net:
    """The net as a V2 caffemodel, as Caffe upgrades it."""
    message, store = _message(net)
    return from_message(to_v2(message), store, net.name)
