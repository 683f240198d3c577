"""convert.py: output names of other formats, weights that a caffemodel cannot hold, and foreign files."""

import json

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as torch_save

import caffemodel
import rankiqa
from lib.convert_command import arrays_of, model, run
from rankiqa_convert.converted_weights import read_safetensors


@pytest.fixture
def shallow(tmp_path):
    return model(tmp_path / "m.caffemodel", arrays_of())


def test_names_of_another_format_are_refused(capsys, shallow, tmp_path):
    for name in ("w.caffemodel", "w.npz", "w.onnx"):
        status, _, error = run(capsys, shallow, "--out", tmp_path / name)
        assert status == 2 and "expected a name that ends in .safetensors" in error
    assert not list(tmp_path.glob("w.*"))


@pytest.mark.parametrize("spoil", ["nan", "half", "integers"])
def test_the_way_back_takes_finite_float32_only(capsys, shallow, tmp_path, spoil):
    weights = tmp_path / "w.safetensors"
    assert run(capsys, shallow, "--out", weights)[0] == 0
    with safe_open(weights, framework="numpy") as file:
        metadata, arrays = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    bias = arrays["conv2.bias"]
    arrays["conv2.bias"] = {
        "nan": bias * np.float32(np.nan),
        "half": bias.astype(np.float16),
        "integers": bias.astype(int),
    }[spoil]
    save_file(arrays, weights, metadata=metadata)
    back = tmp_path / "back.caffemodel"
    status, _, error = run(capsys, weights, "--to", "caffemodel", "--like", "live-rank", "--out", back)
    assert status == 2 and "expected finite float32 values, got others in conv2.bias" in error
    assert not back.exists()


def test_inspect_lists_what_foreign_metadata_hides(capsys, tmp_path):
    arrays = {"conv1.weight": np.zeros((2, 3), np.float32), "extra": np.ones(2, np.float32)}
    for layers in (None, "no json", "3", '[{"name": "conv1", "type": "Convolution"}]'):
        metadata = {"format": "rankiqa"} | ({} if layers is None else {"layers": layers})
        save_file(arrays, tmp_path / "w.safetensors", metadata=metadata)
        status, text, _ = run(capsys, "inspect", tmp_path / "w.safetensors", "--json")
        assert status == 0 and {layer["name"] for layer in json.loads(text)["layers"]} == {"conv1", "extra"}


def test_an_onnx_file_is_no_solverstate(capsys, shallow, tmp_path):
    assert run(capsys, shallow, "--onnx", tmp_path / "net.onnx")[0] == 0
    for arguments in (["inspect", tmp_path / "net.onnx"], [tmp_path / "net.onnx", "--out", tmp_path / "w.safetensors"]):
        status, text, error = run(capsys, *arguments)
        assert (status, text) == (2, "") and "got an ONNX model" in error


def test_a_layer_of_which_there_are_two_is_no_structure_to_follow(capsys, tmp_path, shallow):
    weights, twice = tmp_path / "w.safetensors", tmp_path / "twice.caffemodel"
    assert run(capsys, shallow, "--out", weights)[0] == 0
    model(twice, arrays_of(), [("conv1", "Convolution", arrays_of()["conv1"])])
    back = tmp_path / "back.caffemodel"
    status, _, error = run(capsys, weights, "--to", "caffemodel", "--like", twice, "--out", back)
    assert status == 2 and "two with weights under one name" in error and not back.exists()


def test_text_in_a_solverstate_ends_with_a_zero(tmp_path):
    """Caffe's reader reads up to the first zero."""
    state = caffemodel.SolverState(3, "snap_iter_3.caffemodel", 1, [caffemodel.array_blob(np.zeros(2, np.float32))])
    caffemodel.write_solverstate(state, tmp_path / "s.solverstate.h5")
    with h5py.File(tmp_path / "s.solverstate.h5") as file:
        kind = file["learned_net"].id.get_type()
        assert (kind.get_size(), kind.get_strpad()) == (len(state.learned_net) + 1, h5py.h5t.STR_NULLTERM)
    again = caffemodel.read_solverstate(tmp_path / "s.solverstate.h5")
    assert (again.iter, again.learned_net, again.current_step) == (3, "snap_iter_3.caffemodel", 1)


@pytest.mark.parametrize("change", [{"version": "2"}, {"crop": "224"}, {"colour_order": "RGB"}])
def test_the_way_back_reads_the_metadata_as_strictly_as_the_port(capsys, shallow, tmp_path, change):
    weights, back = tmp_path / "w.safetensors", tmp_path / "back.caffemodel"
    assert run(capsys, shallow, "--out", weights)[0] == 0
    metadata, arrays = read_safetensors(weights)
    save_file(arrays, weights, metadata=metadata | change)
    status, _, error = run(capsys, weights, "--to", "caffemodel", "--like", "live-rank", "--out", back)
    ((key, value),) = change.items()
    assert (status, error.count("\n")) == (2, 1) and key in error and f"got {value}" in error
    with pytest.raises(ValueError, match=f"{key}.*got {value}"):
        rankiqa.load(weights)
    assert not back.exists()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "complex64"])
def test_tensors_of_types_that_numpy_does_not_know_are_named(capsys, tmp_path, name):
    path = tmp_path / "w.safetensors"
    torch_save({"conv1.weight": torch.zeros(2, 2), "conv1.bias": torch.zeros(2, dtype=getattr(torch, name))}, path)
    for arguments in (("inspect", path), (path, "--to", "caffemodel", "--like", "live-ft", "--out", tmp_path / "b")):
        status, text, error = run(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1) and "got conv1.bias (" in error


def _empty(file):
    file.create_dataset("data/conv1/0", data=h5py.Empty("f4"))


def _claimed(*shape):
    """Values that a file of a few kilobytes claims to have."""
    return lambda file: file.create_dataset("data/conv1/0", shape, "f4", chunks=(min(1 << 20, shape[0]), *shape[1:]))


@pytest.mark.parametrize(
    ("make", "says"),
    [(_empty, "got shape None"), (_claimed(1 << 40), "got shape (1099511627776,)"),
     (_claimed(1 << 30), "expected values, got none for shape"), (_claimed(32, 3), "expected values, got none")],
    ids=["null", "tebibytes", "gibibytes", "little"],
)  # fmt: skip
def test_hdf5_values_that_are_not_there(capsys, tmp_path, make, says):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        make(file)
    for arguments in (("inspect", tmp_path / "m.h5"), (tmp_path / "m.h5", "--out", tmp_path / "w.safetensors")):
        status, text, error = run(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1) and says in error
