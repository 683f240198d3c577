"""convert.py's options: none is ignored, none writes over what is read, and a file's name says its format."""

import os
import shutil
from pathlib import Path

import pytest

from lib.convert_command import arrays_of, model, refused, run, small_solver_state

TO_STATE = ("--to", "solverstate", "--like", "live-rank", "--out")
TO_MODEL = ("--to", "caffemodel", "--like", "live-rank", "--out")


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """A folder to work in: m.caffemodel, its weights w.safetensors, and a training's s.solverstate, s.safetensors."""
    monkeypatch.chdir(tmp_path)
    model(Path("m.caffemodel"), arrays_of())
    small_solver_state(tmp_path)
    assert run(capsys, "m.caffemodel", "--out", "w.safetensors")[0] == 0
    assert run(capsys, "s.solverstate", "--out", "s.safetensors")[0] == 0
    return tmp_path


@pytest.mark.parametrize(
    "more", [("--onnx", "m.onnx"), ("--arch", "vgg16"), ("--net", "n"), ("--trained-on", "live-ft")]
)
def test_an_option_of_the_other_direction_is_refused(here, capsys, more):
    status, _, error = run(capsys, "w.safetensors", *TO_MODEL, "new.caffemodel", *more)
    assert status == 2 and f"{more[0]}" in error and "only without --to" in error
    assert not list(here.glob("new*"))


@pytest.mark.parametrize("claimed", ["tid2013-ft", "kadid"])
def test_trained_on_says_nothing_else_than_for(here, capsys, claimed):
    """Without the output layer it was not looked at."""
    start = {name: pair for name, pair in arrays_of().items() if name != "fc1_m"}
    path, options = model(here / "start.caffemodel", start), ("--for", "live-rank", "--trained-on")
    assert f"expected live-rank, the net of --for, got {claimed}" in refused(capsys, here, path, *options, claimed)
    assert run(capsys, path, *options, "live-rank", "--out", "new.safetensors")[0] == 0


def test_nothing_that_is_read_is_written_over(here, capsys):
    os.symlink("m.caffemodel", "link.caffemodel")
    shutil.copy("s.caffemodel", "p.caffemodel")
    Path("n.onnx").write_text("layer {}")
    for arguments in (
        ("w.safetensors", "--to", "caffemodel", "--like", "m.caffemodel", "--out", "m.caffemodel"),
        ("w.safetensors", "--to", "caffemodel", "--like", "m.caffemodel", "--out", "link.caffemodel"),
        ("s.safetensors", "--to", "solverstate", "--like", "p.caffemodel", "--out", "p.solverstate"),
        ("m.caffemodel", "--net", "n.onnx", "--onnx", "n.onnx"),
        ("s.safetensors", "--out", "s.safetensors"),
    ):
        before = {path.name: path.read_bytes() for path in here.iterdir()}
        status, text, error = run(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1), arguments
        assert "expected another file to write than those to read" in error
        assert {path.name: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("m.caffemodel", "--out", "new.PT"), ".safetensors or .pt or .pth (ONNX: --onnx)"),
     (("m.caffemodel", "--out", "new.CAFFEMODEL"), ".safetensors"),
     (("m.caffemodel", "--out", "new.ckpt"), ".safetensors"),
     (("m.caffemodel", "--out", "new.bin"), ".safetensors"), (("m.caffemodel", "--onnx", "new.safetensors"), ".onnx"),
     (("m.caffemodel", "--onnx", "new.pt"), ".onnx"), (("w.safetensors", *TO_MODEL, "new.hdf5"), ".caffemodel or .h5"),
     (("w.safetensors", *TO_MODEL, "new.H5"), ".caffemodel or .h5"),
     (("w.safetensors", *TO_MODEL, "new.pt"), ".caffemodel"),
     (("s.safetensors", *TO_STATE, "new.solverstate.bak"), ".solverstate or .solverstate.h5"),
     (("s.safetensors", *TO_STATE, "new.h5"), ".solverstate or .solverstate.h5")],
)  # fmt: skip
def test_a_name_says_the_format(here, capsys, arguments, says):
    status, _, error = run(capsys, *arguments)
    assert (status, error.count("\n")) == (2, 1) and f"expected a name that ends in {says}" in error
    assert not list(here.glob("*new*"))


def test_two_names_of_one_file_to_write(here, capsys):
    os.symlink(".", "there")
    status, _, error = run(capsys, "m.caffemodel", "--out", "there/new", "--onnx", "new")
    assert status == 2 and "expected two files to write, got the same for --out and --onnx" in error
    assert not list(here.glob("*new*"))
