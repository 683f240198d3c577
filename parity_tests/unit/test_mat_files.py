"""The reader of MATLAB files: numbers and texts, and one-line errors for other files."""

import numpy as np
import pytest
from scipy.io import savemat

from rankiqa.datasets import mat


def test_mat_kinds(tmp_path):
    cell = np.empty((2, 1), object)
    cell[:, 0] = ["one.bmp ", "two.bmp"]
    mixed = np.empty((1, 2), object)
    mixed[0] = ["text", 3.0]
    values = {"numbers": np.arange(6.0).reshape(2, 3), "cell": cell, "mixed": mixed, "structure": {"a": 1}}
    savemat(tmp_path / "a.mat", values)
    values_read = mat.load(tmp_path / "a.mat")
    assert values_read["cell"] == ["one.bmp", "two.bmp"]
    assert values_read["numbers"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not {"mixed", "structure"} & set(values_read)


def test_mat_files_that_are_none(tmp_path):
    import pickle

    path = tmp_path / "a.mat"
    savemat(path, {"numbers": np.arange(6.0)})
    data = path.read_bytes()
    for content in (b"", data[:60], data[:140], pickle.dumps({"numbers": 1}), b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mat: expected a MATLAB file, got: ") as error:
            mat.load(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="expected a MATLAB file, got"):
        mat.load(tmp_path / "none.mat")


def test_a_pickle_is_never_run(tmp_path):
    """The file is a pickle that would create another file when loaded."""
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "a.mat").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="expected a MATLAB file"):
        mat.load(tmp_path / "a.mat")
    assert not (tmp_path / "sprung").exists()
