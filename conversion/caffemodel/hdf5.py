"""Read and write Caffe's HDF5 models (/data/LAYER/k) and solver states.

A solver state has /iter, /learned_net, /current_step and /history/k.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from caffemodel.errors import CaffemodelError
from caffemodel.net import MAX_COUNT, Blob, Layer, Net, SolverState


@contextlib.contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file; raise CaffemodelError if it is damaged."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffemodelError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:  # h5py raises any of these for a damaged file
        raise CaffemodelError(f"{path}: expected an HDF5 file of Caffe, got a damaged one ({error})") from None


def is_solverstate(path: Path) -> bool:
    """Return whether an HDF5 file holds a solver state rather than a net."""
    with _open(path) as file:
        return "history" in file and "iter" in file


def _group(path: Path, parent: h5py.Group, name: str) -> h5py.Group:
    """Return a subgroup; raise CaffemodelError if it is not a group."""
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        raise CaffemodelError(f"{path}: expected a group {name} in {parent.name}, got something else")
    return group


def _dataset(path: Path, parent: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset of a group; raise CaffemodelError if it is not a dataset."""
    dataset = parent.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise CaffemodelError(f"{path}: expected values {name} in {parent.name}, got something else")
    return dataset


def _blob(path: Path, dataset: h5py.Dataset) -> Blob:
    """Return a Blob that reads its values from a dataset on demand."""
    name, dtype = str(dataset.name), dataset.dtype
    if dtype not in (np.float32, np.float64):
        raise CaffemodelError(f"{path}: {name}: expected float or double values, got {dtype}")
    shape = dataset.shape
    if shape is None or math.prod(max(n, 1) for n in shape) > MAX_COUNT:  # null, or only claimed: HDF5 is sparse
        raise CaffemodelError(f"{path}: {name}: expected at most {MAX_COUNT} values, got shape {shape}")
    # what is claimed and not there costs nothing in the file, and memory when it is read
    if dataset.id.get_storage_size() == 0 and math.prod(shape):
        raise CaffemodelError(f"{path}: {name}: expected values, got none for shape {shape}")

    def read():
        with _open(path) as file:
            return _dataset(path, file, name)[()]

    return Blob(shape, False, str(dtype), read)


def _numbered(path: Path, group: h5py.Group) -> list[Blob]:
    """Return the blobs 0, 1, .. of a group; raise CaffemodelError if a number is missing."""
    if not all(str(key).isdecimal() for key in group):
        raise CaffemodelError(f"{path}: {group.name}: expected numbered blobs, got {', '.join(map(str, group))}")
    # CAFFE: a parameter that a layer shares with another layer is not written, so its number is missing (net.cpp)
    if sorted(map(int, group)) != list(range(len(group))):
        got = ", ".join(sorted(group, key=int))
        raise CaffemodelError(f"{path}: {group.name}: expected all blobs or none, got number {got}: the rest is shared")
    return [_blob(path, _dataset(path, group, str(key))) for key in sorted(group, key=int)]


def read_net(path: Path) -> Net:
    """Read a model that was written with snapshot_format HDF5.

    The file states neither layer types nor Caffe's order: types are "", and layers are sorted by name.

    Raises:
        CaffemodelError: If the file is damaged or holds something else.
    """
    with _open(path) as file:
        if not isinstance(file.get("data"), h5py.Group):
            raise CaffemodelError(f"{path}: expected a group /data with a group per layer, got {sorted(file)}")
        layers = []
        data = _group(path, file, "data")
        for name in data:
            group = data.get(name)
            if not isinstance(group, h5py.Group) or not all(str(key).isdecimal() for key in group):
                raise CaffemodelError(f"{path}: /data/{name}: expected a group of numbered blobs, got something else")
            layers.append(Layer(str(name), "", blobs=_numbered(path, group)))
    return Net("", "hdf5", "V2", layers)


def _shape(layer: Layer, k: int) -> tuple[int, ...]:
    """Return the shape that Caffe's HDF5 reader expects: without the ones that pad a legacy blob to 4 axes."""
    shape = layer.blobs[k].shape
    if not layer.blobs[k].legacy or layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        return shape
    ones = 3 if k else 2 if layer.type == "InnerProduct" else 0
    return shape[ones:] if shape[:ones] == (1,) * ones else shape


def write_net(net: Net, path: Path) -> None:
    """Write a net in Caffe's HDF5 format, without gradients (Caffe's snapshot_diff would store them under /diff).

    Raises:
        CaffemodelError: If a layer name is empty, is repeated or contains "/", which HDF5 cannot store.
    """
    names = [layer.name for layer in net.layers]
    bad = sorted({name for name in names if "/" in name or not name or names.count(name) > 1})
    if bad:
        raise CaffemodelError(f"HDF5: expected distinct layer names without /, got {', '.join(bad)}")
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for layer in net.layers:
            group = data.create_group(layer.name)
            for k, blob in enumerate(layer.blobs):
                values = blob.float32() if blob.dtype == "float16" else blob.data
                group.create_dataset(str(k), data=values.reshape(_shape(layer, k)))


def read_solverstate(path: Path) -> SolverState:
    """Read a solver state that was written with snapshot_format HDF5.

    Raises:
        CaffemodelError: If the file is damaged or holds something else.
    """
    with _open(path) as file:
        missing = [name for name in ("iter", "learned_net", "current_step", "history") if name not in file]
        if missing:
            raise CaffemodelError(f"{path}: expected a solver state, got an HDF5 file without {', '.join(missing)}")
        learned = _dataset(path, file, "learned_net")[()]
        # Caffe accepts a name that is not UTF-8
        learned = learned.decode(errors="backslashreplace") if isinstance(learned, bytes) else str(learned)
        numbers = [np.asarray(_dataset(path, file, name)[()]).reshape(-1) for name in ("iter", "current_step")]
        if any(values.size != 1 or values.dtype.kind not in "iu" for values in numbers):
            raise CaffemodelError(f"{path}: expected one integer each in iter and current_step, got something else")
        step, current = (int(values[0]) for values in numbers)
        return SolverState(step, learned, current, _numbered(path, _group(path, file, "history")), "hdf5")


def _write_text(file: h5py.File, name: str, text: bytes) -> None:
    """Write a zero-terminated fixed-length string."""
    # CAFFE: reads up to the terminating zero, which h5py's own fixed-length strings omit (hdf5.cpp)
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(text) + 1)
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(text, f"S{len(text) + 1}"), kind)


def write_solverstate(state: SolverState, path: Path) -> None:
    """Write a solver state in Caffe's HDF5 format."""
    with h5py.File(path, "w") as file:
        file["iter"] = np.array([state.iter], np.int32)
        file["current_step"] = np.array([state.current_step], np.int32)
        _write_text(file, "learned_net", state.learned_net.encode())
        history = file.create_group("history")
        for k, blob in enumerate(state.history):
            history.create_dataset(str(k), data=blob.data)
