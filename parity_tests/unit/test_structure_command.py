"""`rankiqa convert` and the structure check: what it prints, `--net`, and caffemodels that state no structure."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format

import caffemodel
from caffemodel.schema import FULL
from lib.convert_command import run, whole_model
from lib.net_variants import deploy


def _average(layers, message):
    layers["pool1"].pooling_param = FULL["PoolingParameter"](pool=1, kernel_size=4, stride=4).SerializeToString()
    relu = next(i for i, layer in enumerate(message.layer) if layer.name == "relu2")
    del message.layer[relu]


def test_the_command_lists_every_difference(tmp_path, capsys):
    path = whole_model(tmp_path / "m.caffemodel", change=_average)
    for more in ((), ("--for", "live-rank")):
        status, _, error = run(capsys, path, *more, "--out", tmp_path / "w.safetensors")
        assert status == 2 and error.count("\n") == 1
        assert "pool1 (Pooling) pool: expected MAX, got AVE" in error
        assert "after conv2 (Convolution) and before pool2 (Pooling): expected relu2 (ReLU), got nothing" in error
        assert not (tmp_path / "w.safetensors").exists()
    status, text, _ = run(capsys, "inspect", path, "--json")
    assert status == 0 and json.loads(text)["network"] is None and "AVE" in json.loads(text)["differs"]


def test_what_states_no_structure_says_so_and_is_checked_against_a_prototxt(tmp_path, capsys):
    path, out = whole_model(tmp_path / "m.caffemodel"), tmp_path / "w.safetensors"
    assert json.loads(run(capsys, path, "--out", out, "--json")[1])["structure"] == "checked"
    caffemodel.write(caffemodel.read(path), tmp_path / "m.h5")
    status, text, error = run(capsys, tmp_path / "m.h5", "--out", out, "--json")
    assert status == 0 and json.loads(text)["structure"] == "not stated" and "states no structure" in error
    right, wrong = tmp_path / "right.prototxt", tmp_path / "wrong.prototxt"
    right.write_text(text_format.MessageToString(deploy("shallow")))
    wrong.write_text(right.read_text().replace("pool: MAX", "pool: AVE"))
    status, text, error = run(capsys, tmp_path / "m.h5", "--net", right, "--out", out, "--json")
    assert status == 0 and json.loads(text)["structure"] == "checked against right.prototxt"
    assert "states no structure" not in error
    for source in (tmp_path / "m.h5", path):
        status, _, error = run(capsys, source, "--net", wrong, "--out", tmp_path / "no.safetensors")
        assert status == 2 and "wrong.prototxt: pool1 (Pooling) pool: expected MAX, got AVE" in error
    wrong.write_text(right.read_text().replace("kernel_size: 3", "kernel_sice: 3", 1))
    status, _, error = run(capsys, path, "--net", wrong, "--out", tmp_path / "no.safetensors")
    assert status == 2 and "kernel_sice" in error and "expected a network's prototxt" in error
    assert run(capsys, path, "--net", path, "--out", tmp_path / "no.safetensors")[0] == 2


def test_the_way_back_states_the_structure(tmp_path, capsys):
    weights, back = tmp_path / "w.safetensors", tmp_path / "back.caffemodel"
    assert run(capsys, whole_model(tmp_path / "m.caffemodel"), "--out", weights)[0] == 0
    assert run(capsys, weights, "--to", "caffemodel", "--like", "live-rank", "--out", back)[0] == 0
    status, text, _ = run(capsys, back, "--out", tmp_path / "again.safetensors", "--json")
    assert status == 0 and json.loads(text)["structure"] == "checked"


@pytest.mark.parametrize("name", ["rank", "ft"])
def test_caffes_own_snapshots_are_accepted(capsys, tmp_path, name):
    path = Path(__file__).parents[1] / "recorded" / "reproduce" / f"{name}.caffemodel"
    status, text, _ = run(capsys, path, "--out", tmp_path / "w.safetensors", "--json")
    assert status == 0 and json.loads(text)["structure"] == "checked"


@pytest.mark.parametrize("sizes", ["input_shape { dim: 1 dim: 3 dim: 227 dim: 227 }", "input_dim: 1 input_dim: 3"])
def test_inputs_without_a_size(capsys, tmp_path, sizes):
    """Fewer sizes than inputs are refused."""
    path, net = whole_model(tmp_path / "m.caffemodel"), tmp_path / "n.prototxt"
    net.write_text(f'input: "data" input: "label" {sizes} layer {{ name: "conv1" type: "Convolution" bottom: "data" }}')
    status, text, error = run(capsys, path, "--net", net, "--out", tmp_path / "w.safetensors")
    assert (status, text, error.count("\n")) == (2, "", 1) and "expected a size of each of the 2 inputs, got" in error
    message = FULL["NetParameter"].FromString(path.read_bytes())
    message.input.extend(["data", "label"])
    message.input_dim.extend([1, 3, 227, 227])
    path.write_bytes(message.SerializeToString())
    for arguments in ((path, "--out", tmp_path / "w.safetensors"), ("inspect", path)):
        status, text, error = run(capsys, *arguments)
        assert "expected a size of each of the 2 inputs, got 1" in text + error and "Traceback" not in error
