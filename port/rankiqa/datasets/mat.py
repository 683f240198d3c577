"""Read MATLAB's .mat files as arrays and texts. Code in them is never executed."""

from __future__ import annotations

import os

import numpy as np


def load(path: str | os.PathLike) -> dict[str, np.ndarray | list[str]]:
    """Read the variables of a .mat file.

    Args:
        path: The file.

    Returns:
        {name: numbers in MATLAB's shape, or the texts of a cell array as a list}. Variables of other types are left
        out.

    Raises:
        ValueError: The file is missing or no .mat file.
    """
    from scipy.io import loadmat  # imported late, so that the command line starts without scipy

    try:
        try:
            variables = loadmat(path, appendmat=False)
        except NotImplementedError:  # version 7.3 is HDF5
            return _load_hdf5(path)
    except Exception as error:  # for damaged files, scipy and h5py raise many types of errors
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
    """Return the text in a cell, at any depth of nesting, or None for anything else."""
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.flat[0]
    return value.strip() if isinstance(value, str) else None


def _load_hdf5(path: str | os.PathLike) -> dict[str, np.ndarray | list[str]]:
    """Read a .mat file of version 7.3, which is HDF5."""
    import h5py

    variables = {}
    with h5py.File(path, "r") as file:
        for name, value in file.items():
            if not isinstance(value, h5py.Dataset):
                continue
            if value.dtype.kind in "biuf":
                variables[name] = value[()].T  # MATLAB stores columns first
            elif h5py.check_ref_dtype(value.dtype) is h5py.Reference:
                cells = [file[reference] for reference in value[()].T.ravel(order="F")]
                texts = [text for text in cells if isinstance(text, h5py.Dataset) and text.dtype.kind == "u"]
                if len(texts) == len(cells):
                    variables[name] = ["".join(map(chr, np.ravel(text[()]))).strip() for text in texts]
    return variables
