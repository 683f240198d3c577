"""Solver states to snapshots and back: both files of a state or none, and no value that stops a training."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

import caffemodel
from lib.convert_command import arrays_of, model, run, small_solver_state
from rankiqa_convert.converted_weights import read_safetensors

BACK = ("s.safetensors", "--to", "solverstate", "--like", "live-rank", "--out")
MOMENTUM = "solver.history.conv2.bias"


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """A folder to work in: s.solverstate with its model, and the snapshot s.safetensors."""
    monkeypatch.chdir(tmp_path)
    small_solver_state(tmp_path)
    assert run(capsys, "s.solverstate", "--out", "s.safetensors")[0] == 0
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("place", ["old.solverstate", "old.solverstate.h5"])
def test_a_state_that_cannot_be_written_leaves_its_model_as_it_was(here, capsys, monkeypatch, place):
    """The model came first, and stayed without its state, in the place of an older one."""
    Path(place).mkdir()
    Path(place.replace("solverstate", "caffemodel")).write_text("old")
    before = contents(here)
    status, _, error = run(capsys, *BACK, place)
    assert status == 2 and "got a folder" in error and contents(here) == before
    Path(place).rmdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rankiqa_convert.solver_states.put_state", full)
    status, _, error = run(capsys, *BACK, place)
    assert status == 2 and "No space left on device" in error and contents(here) == before


@pytest.mark.parametrize("where", ["weights", "history"])
def test_a_state_with_values_that_are_not_finite(here, capsys, where):
    arrays = arrays_of()
    arrays["conv2"][1][0] = np.nan
    if where == "weights":
        model(here / "s.caffemodel", arrays)
        name = "conv2.bias"
    else:
        history = [caffemodel.array_blob(a) for pair in arrays.values() for a in pair]
        caffemodel.write_solverstate(caffemodel.SolverState(7, "s.caffemodel", 1, history), "s.solverstate")
        name = MOMENTUM
    status, _, error = run(capsys, "s.solverstate", "--out", "new.safetensors")
    assert (status, error.count("\n")) == (2, 1) and f"expected finite values, got nan or inf in {name}" in error
    assert not list(here.glob("*new*"))


@pytest.mark.parametrize(("step", "current"), [(-7, 0), (7, -1), (2**31, 0)])
def test_a_step_that_caffe_does_not_have(here, capsys, step, current):
    state = caffemodel.read_solverstate("s.solverstate")
    with h5py.File("s.solverstate.h5", "w") as file:
        file["iter"], file["current_step"] = np.array([step]), np.array([current])
        file["learned_net"] = b"s.caffemodel"
        for k, blob in enumerate(state.history):
            file[f"history/{k}"] = blob.data
    status, _, error = run(capsys, "s.solverstate.h5", "--out", "new.safetensors")
    assert (status, error.count("\n")) == (2, 1) and f"got {step} and {current}" in error
    assert not list(here.glob("*new*"))


@pytest.mark.parametrize("spoil", ["nan", "shape", "double", "integers"])
def test_momentum_that_caffe_cannot_take(here, capsys, spoil):
    metadata, arrays = read_safetensors(Path("s.safetensors"))
    values = arrays[MOMENTUM]
    arrays[MOMENTUM] = {
        "nan": values * np.float32(np.nan), "shape": values[:1], "double": values.astype(float),
        "integers": values.astype(int),
    }[spoil]  # fmt: skip
    save_file(arrays, "s.safetensors", metadata)
    status, _, error = run(capsys, *BACK, "new.solverstate")
    assert (status, error.count("\n")) == (2, 1) and f"got other values in {MOMENTUM}" in error
    assert not list(here.glob("*new*"))


def test_both_forms_come_back_whole(here, capsys):
    for place in ("new.solverstate", "new.solverstate.h5"):
        assert run(capsys, *BACK, place)[0] == 0
        state = caffemodel.read_solverstate(place)
        assert (state.iter, state.learned_net) == (7, place.replace("solverstate", "caffemodel"))
        expected = [a.tobytes() for pair in arrays_of().values() for a in pair]
        assert [blob.data.tobytes() for blob in state.history] == expected
        layers = [layer for layer in caffemodel.read(state.learned_net).layers if layer.blobs]
        assert [blob.data.tobytes() for layer in layers for blob in layer.blobs] == expected
