"""Read .caffemodel files of any version."""

from __future__ import annotations

import os
from pathlib import Path

from caffemodel.files import content_type, parse, wrong
from caffemodel.message import from_message
from caffemodel.net import Net

WHAT = "a caffemodel"


def read(path: str | os.PathLike) -> Net:
    """Read a model file: .caffemodel of V0, V1 or V2, or Caffe's HDF5 format.

    The format is detected from the content, not from the name. `net.layers` are upgraded as Caffe does it, while
    `net.message` keeps the content of the file, so writing the net back changes nothing. Values are read on demand:
    the file may be replaced meanwhile, but must not be changed in place.

    Args:
        path: The model file.

    Returns:
        The net.

    Raises:
        CaffemodelError: If the file is missing, empty, truncated or something else, or the values of a blob do not
            fit its shape.
    """
    path = Path(path)
    if content_type(path) == "hdf5":
        from caffemodel import hdf5  # imported here because h5py loads slowly and most files are not HDF5

        return hdf5.read_net(path)
    message, store = parse(path, "NetParameter", WHAT)
    if not (message.layer or message.layers):
        raise wrong(path, WHAT)
    return from_message(message, store, str(path))
