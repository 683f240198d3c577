"""Reading .caffemodel files of any version."""

from __future__ import annotations

import os
from pathlib import Path

from caffemodel.files import content_type, parse, wrong
from caffemodel.message import from_message
from caffemodel.net import Net

WHAT = "a caffemodel"


def read(path: str | os.PathLike) -> Net:
    """A model file: .caffemodel of V0, V1 or V2, or Caffe's HDF5 form; told by content, not by name.

    The layers are as Caffe upgrades them; `net.message` stays what the file says, so writing it back changes nothing.
    Values are read when they are asked for: replace the file if you like, but don't change it in place meanwhile.
    Raises CaffemodelError for a file that is missing, empty, truncated or something else, and for a blob whose values
    do not fit its shape.
    """
    path = Path(path)
    if content_type(path) == "hdf5":
        from caffemodel import hdf5  # late: h5py takes its time, and most files are not HDF5

        return hdf5.read_net(path)
    message, store = parse(path, "NetParameter", WHAT)
    if not (message.layer or message.layers):
        raise wrong(path, WHAT)
    return from_message(message, store, str(path))
