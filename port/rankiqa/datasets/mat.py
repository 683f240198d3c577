"""MATLAB's .mat files as plain arrays and texts; nothing in them is ever run."""

from __future__ import annotations

import os

import numpy as np


def load(path: str | os.PathLike) -> dict[str, np.ndarray | list[str]]:
    """{name: numbers as MATLAB shows them, or a cell's texts as a list}. Variables of other kinds are left out.

    Raises ValueError for a file that is not there or no .mat file.
    """
    from scipy.io import loadmat  # late: the command line starts without scipy

    try:
        try:
            variables = loadmat(path, appendmat=False)
        except NotImplementedError:  # version 7.3 is HDF5
            return _load_hdf5(path)
    except Exception as error:  # scipy and h5py raise many kinds on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected a MATLAB file, got: {reason}") from None
    usable = {}
    for name, value in variables.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            usable[name] = value
        elif isinstance(value, np.ndarray) and value.dtype == object:
            texts = [_text(cell) for cell in value.ravel(order="F")]
            if None not in texts:
                usable[name] = texts
    return usable


def _text(value: object) -> str | None:
    """A cell's text, however deep it lies, or None for anything else."""
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.flat[0]
    return value.strip() if isinstance(value, str) else None


def _load_hdf5(path: str | os.PathLike) -> dict[str, np.ndarray | list[str]]:
    import h5py

    variables = {}
    with h5py.File(path, "r") as file:
        for name, value in file.items():
            if not isinstance(value, h5py.Dataset):
                continue
            if value.dtype.kind in "biuf":
                variables[name] = value[()].T  # MATLAB: columns first
            elif h5py.check_ref_dtype(value.dtype) is h5py.Reference:
                cells = [file[reference] for reference in value[()].T.ravel(order="F")]
                texts = [text for text in cells if isinstance(text, h5py.Dataset) and text.dtype.kind == "u"]
                if len(texts) == len(cells):
                    variables[name] = ["".join(map(chr, np.ravel(text[()]))).strip() for text in texts]
    return variables
