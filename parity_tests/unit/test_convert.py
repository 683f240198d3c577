"""convert.py: to safetensors and back, inspect, ONNX, and what it must refuse."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

import caffemodel
import rankiqa
from lib.convert_command import arrays_of, model, old_model, refused, run
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa.training.snapshots import copy_weights
from rankiqa_convert import cli as convert

NETS = ("live-rank", "live-ft", "tid2013-rank", "tid2013-ft")


@pytest.fixture
def shallow(tmp_path):
    return model(tmp_path / "m.caffemodel", arrays_of(), [("data", "Input", []), ("relu1", "ReLU", [])])


@pytest.mark.parametrize("like", NETS)
def test_there(tmp_path, capsys, like):
    arrays = arrays_of(like=like)
    source = model(tmp_path / "m.caffemodel", arrays)
    status, text, _ = run(capsys, source, "--out", tmp_path / "w.safetensors", "--json")
    summary = json.loads(text)
    fc = list(known_nets(ARCHITECTURES["shallow"])[like])
    assert (status, summary["arch"], summary["head"], summary["fc"]) == (0, "shallow", fc[-1], fc)
    assert summary["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert [layer["name"] for layer in summary["layers"]] == list(arrays)
    for layer in summary["layers"]:
        assert layer["type"] == ("InnerProduct" if layer["name"] in fc else "Convolution")
        assert layer["blobs"] == [
            {"shape": list(a.shape), "dtype": "float32", "sha256": hashlib.sha256(a.tobytes()).hexdigest()}
            for a in arrays[layer["name"]]
        ]
    with safetensors.safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        metadata = file.metadata()
        assert sorted(file.keys()) == sorted(f"{name}.{part}" for name in arrays for part in ("weight", "bias"))
        for name, (weight, bias) in arrays.items():
            for part, array in (("weight", weight), ("bias", bias)):
                tensor = file.get_tensor(f"{name}.{part}")
                assert (tensor.shape, tensor.dtype, tensor.tobytes()) == (array.shape, np.float32, array.tobytes())
    assert {key: metadata[key] for key in ("format", "version", "arch", "head", "source_name", "source_sha256")} == {
        "format": "rankiqa", "version": "1", "arch": "shallow", "head": fc[-1], "source_name": "m.caffemodel",
        "source_sha256": summary["source_sha256"],
    }  # fmt: skip
    assert (json.loads(metadata["fc"]), json.loads(metadata["layers"])) == (fc, summary["layers"])


@pytest.mark.parametrize("suffix", ["caffemodel", "h5"])
def test_and_back(tmp_path, capsys, shallow, suffix):
    weights, back = tmp_path / "w.safetensors", tmp_path / f"back.{suffix}"
    assert run(capsys, shallow, "--out", weights)[0] == 0
    for like in ("live-rank", shallow):
        assert run(capsys, weights, "--to", "caffemodel", "--like", like, "--out", back)[0] == 0
        layers = {layer.name: layer for layer in caffemodel.read(back).layers}
        for name, arrays in arrays_of().items():
            assert [blob.data.tobytes() for blob in layers[name].blobs] == [a.tobytes() for a in arrays]
            assert [blob.shape for blob in layers[name].blobs] == [a.shape for a in arrays]
    assert suffix == "h5" or back.read_bytes() == shallow.read_bytes()
    again = tmp_path / "again.safetensors"
    assert run(capsys, back, "--out", again)[0] == 0
    with safetensors.safe_open(weights, framework="numpy") as a, safetensors.safe_open(again, framework="numpy") as b:
        assert all(a.get_tensor(key).tobytes() == b.get_tensor(key).tobytes() for key in a.keys())  # noqa: SIM118


def test_old_files_and_doubles(tmp_path, capsys):
    """A V1 file with four-number shapes and a V2 file of doubles give the weights that Caffe would load."""
    arrays = arrays_of()
    old_model(tmp_path / "v1.caffemodel", arrays)
    model(tmp_path / "double.caffemodel", {n: [a.astype(float) * 1.1 for a in pair] for n, pair in arrays.items()})
    for name, factor in (("v1", None), ("double", 1.1)):
        weights, source = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.caffemodel"
        assert run(capsys, source, "--out", weights)[0] == 0
        with safetensors.safe_open(weights, framework="numpy") as file:
            for layer, pair in arrays.items():
                for part, a in zip(("weight", "bias"), pair, strict=True):
                    expected = a if factor is None else (a.astype(float) * factor).astype(np.float32)
                    tensor = file.get_tensor(f"{layer}.{part}")
                    assert (tensor.shape, tensor.tobytes()) == (a.shape, expected.tobytes())
    back = tmp_path / "back.caffemodel"
    assert run(capsys, tmp_path / "v1.safetensors", "--to", "caffemodel", "--like", tmp_path / "v1.caffemodel",
               "--out", back)[0] == 0  # fmt: skip
    assert back.read_bytes() == (tmp_path / "v1.caffemodel").read_bytes()


def test_every_difference_in_one_error(tmp_path, capsys):
    arrays = arrays_of()
    arrays["conv9"] = arrays.pop("conv2")
    arrays["conv1"] = arrays["conv1"][:1]
    arrays["conv3"] = [arrays["conv3"][0][:, :, :2], arrays["conv3"][1]]
    error = refused(capsys, tmp_path, model(tmp_path / "m.caffemodel", arrays))
    for part in ("conv1: expected 2 blobs (weight, bias), got 1", "missing conv2", "unexpected conv9",
                 "conv3 blob 0: expected (32, 32, 3, 3), got (32, 32, 2, 3)"):  # fmt: skip
        assert part in error
    arrays = arrays_of()
    del arrays["fc1_m"]
    assert "missing fc1 (or fc1_m)" in refused(capsys, tmp_path, model(tmp_path / "m.caffemodel", arrays))
    both = arrays_of() | {"fc1": arrays_of()["fc1_m"]}
    assert "unexpected fc1_m" in refused(capsys, tmp_path, model(tmp_path / "m.caffemodel", both))


def test_an_imagenet_classifier_is_refused_by_name(tmp_path, capsys):
    fc8 = {"fc8": [np.zeros((1000, 4096), "f4"), np.zeros(1000, "f4")]}
    small = {name: [np.zeros((1,) * len(s), "f4") for s in shapes]
             for name, shapes in ARCHITECTURES["vgg16"].parameter_shapes().items() if name != "fc8_m"}  # fmt: skip
    error = refused(capsys, tmp_path, model(tmp_path / "m.caffemodel", small | fc8), "--arch", "vgg16")
    assert "expected a vgg16 of RankIQA, got: 1000 outputs at fc8, expected 1" in error


def test_a_training_starts_from_a_classifier(tmp_path, capsys):
    """--for takes the layers with common names from a V1 file with four-number shapes; others keep their fillers."""
    arrays = {name: pair for name, pair in arrays_of().items() if name != "fc1_m"}
    arrays["fc1"] = [np.ones((1000, 512), "f4"), np.ones(1000, "f4")]
    source, weights = old_model(tmp_path / "v1.caffemodel", arrays), tmp_path / "W.safetensors"
    assert "1000 outputs at fc1" in refused(capsys, tmp_path, source)
    status, _, err = run(capsys, source, "--for", "live-rank", "--out", weights)
    assert status == 0 and err.endswith("layers conv1, conv2, conv3, conv4\n")
    net = rankiqa.build("shallow", random=CaffeRandom(7))
    before = net.fc1_m.weight.clone()
    assert copy_weights(net, weights) == ["fc1_m"]
    for name, pair in arrays.items():
        if name != "fc1":
            layer = net.get_submodule(name)
            assert layer.weight.detach().numpy().tobytes() == pair[0].tobytes()
            assert layer.bias.detach().numpy().tobytes() == pair[1].tobytes()
    assert torch.equal(net.fc1_m.weight, before)
    with pytest.raises(ValueError, match=r"missing fc1_m\.bias"):
        rankiqa.load(weights)


def test_what_a_training_cannot_start_from(tmp_path, capsys):
    source = model(tmp_path / "m.caffemodel", arrays_of())
    assert "--for: expected one of live-rank" in refused(capsys, tmp_path, source, "--for", "csiq")
    assert "--onnx: expected a whole network" in refused(
        capsys, tmp_path, source, "--for", "live-ft", "--onnx", tmp_path / "M.onnx"
    )
    wide = model(
        tmp_path / "wide.caffemodel", arrays_of() | {"conv2": [np.zeros((9, 9, 3, 3), "f4"), np.zeros(9, "f4")]}
    )
    assert "conv2 blob 0: expected (32, 32, 3, 3), got (9, 9, 3, 3)" in refused(
        capsys, tmp_path, wide, "--for", "live-rank", "--arch", "shallow"
    )
    other = model(tmp_path / "other.caffemodel", {"ip": [np.zeros((1, 2), "f4"), np.zeros(1, "f4")]})
    assert "got none of them" in refused(capsys, tmp_path, other, "--for", "live-rank", "--arch", "shallow")
    status, _, err = run(capsys, source, "--to", "caffemodel", "--like", "live-ft", "--for", "live-ft", "--out", "x")
    assert status == 2 and "--arch, --onnx, --for, --net and --trained-on work only without --to" in err


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, capsys, value):
    arrays = arrays_of()
    arrays["conv2"][0][3, 1, 2, 0] = arrays["fc1_m"][1][0] = value
    path = model(tmp_path / "m.caffemodel", arrays)
    assert "nan or inf in conv2 blob 0, fc1_m blob 1" in refused(capsys, tmp_path, path)
    status, text, _ = run(capsys, "inspect", path)
    assert status == 0 and text.count("NOT FINITE") == 2
    layers = json.loads(run(capsys, "inspect", path, "--json")[1])["layers"]
    assert [blob["finite"] for layer in layers for blob in layer["blobs"]].count(False) == 2


def _bad_files(folder, good):
    """Write files that are no model, or that are made from a good model and are wrong."""
    content = good.read_bytes()
    doubled = caffemodel.read(good)
    doubled.message.layer.add().CopyFrom(doubled.message.layer[0])
    caffemodel.write(doubled, folder / "doubled")
    miscounted = caffemodel.read(good)
    miscounted.message.layer[0].blobs[0].shape.dim[0] = 31
    caffemodel.write(miscounted, folder / "count")
    Image.new("RGB", (8, 8)).save(folder / "image.png")
    zipfile.ZipFile(folder / "zip", "w").writestr("a", "b")
    (folder / "empty").touch()
    (folder / "text").write_text("no model at all\n")
    (folder / "net.prototxt").write_text('name: "VGG"\nlayer { name: "conv1" type: "Convolution" }\n')
    (folder / "cut").write_bytes(content[:-7])
    (folder / "start").write_bytes(content[:3])
    (folder / "noise").write_bytes(b"\xff" + np.random.default_rng(0).bytes(999))
    (folder / "folder").mkdir()
    caffemodel.write(caffemodel.read(good), folder / "whole.h5")
    (folder / "cut.h5").write_bytes((folder / "whole.h5").read_bytes()[:2000])
    caffemodel.write_solverstate(caffemodel.SolverState(1, "m", 0, []), folder / "solverstate")
    assert convert.main([str(good), "--out", str(folder / "w.safetensors")]) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [("image.png", "a PNG image"), ("zip", "a ZIP archive"), ("empty", "an empty one"), ("text", "got text"),
     ("net.prototxt", "a prototxt: it describes a network, it holds no weights"), ("cut", "a truncated or damaged one"),
     ("start", "a truncated or damaged one"), ("noise", "something else"), ("folder", "a folder"),
     ("missing", "no such file"), ("cut.h5", "a damaged one"), ("solverstate", "expected its model m below"),
     ("w.safetensors", "got a safetensors file"), ("doubled", "layer conv1 occurs twice"),
     ("count", "conv1 blob 0: expected 837 values for shape (31, 3, 3, 3), got 864")],
)  # fmt: skip
def test_files_that_are_no_model(tmp_path, capsys, shallow, name, says):
    folder = tmp_path / "bad"
    folder.mkdir()
    _bad_files(folder, shallow)
    capsys.readouterr()
    assert says in refused(capsys, tmp_path, folder / name)
    assert run(capsys, "inspect", folder / name)[0] == (0 if name in ("doubled", "solverstate", "w.safetensors") else 2)


def test_outputs_that_cannot_be(tmp_path, capsys, shallow):
    content = shallow.read_bytes()
    onnx, folder = ("--onnx", tmp_path / "w.safetensors"), tmp_path / "folder.safetensors"
    folder.mkdir()
    for out, more, says in (
        (tmp_path / "no" / "w.safetensors", (), "an existing folder"),
        (folder, (), "got a folder"),
        (Path("/proc/w.safetensors"), (), "could not be written"),
        (shallow, (), "another file to write"),
        (tmp_path / "w.safetensors", onnx, "two files"),
    ):
        status, _, error = run(capsys, shallow, "--out", out, *more)
        assert (status, error.count("\n")) == (2, 1) and says in error
    assert shallow.read_bytes() == content and sorted(tmp_path.iterdir()) == sorted([shallow, folder])


def test_the_way_back_is_strict(tmp_path, capsys, shallow):
    weights = tmp_path / "w.safetensors"
    run(capsys, shallow, "--out", weights)
    back = ("--to", "caffemodel", "--like")
    error = refused(capsys, tmp_path, weights, *back, "live-ft", out="m2.caffemodel")
    assert all(part in error for part in ("missing fc1.weight", "unexpected fc1_m.bias"))
    assert "expected one of live-rank" in refused(capsys, tmp_path, weights, *back, "kadid", out="m2.caffemodel")
    assert "expected a safetensors" in refused(capsys, tmp_path, shallow, *back, "live-rank", out="m2.caffemodel")
    alexnet = refused(capsys, tmp_path, shallow, "--arch", "alexnet")
    assert all(part in alexnet for part in ("a alexnet", "missing fc7", "unexpected fc1_m"))


def test_inspect(tmp_path, capsys, shallow):
    weights, state = tmp_path / "w.safetensors", tmp_path / "s.solverstate"
    run(capsys, shallow, "--out", weights)
    caffemodel.write(caffemodel.read(shallow), tmp_path / "m.h5")
    history = [caffemodel.array_blob(np.arange(6.0).reshape(2, 3))]
    caffemodel.write_solverstate(caffemodel.SolverState(7, "m.caffemodel", 1, history), state)
    content = json.loads(run(capsys, "inspect", shallow, "--json")[1])
    assert (content["format"], content["version"], content["unknown"]) == ("caffemodel", "V2", [])
    assert [layer["name"] for layer in content["layers"]] == [*arrays_of(), "data", "relu1"]
    assert content["layers"][-1] == {"name": "relu1", "type": "ReLU", "blobs": []}
    digests = {layer["name"]: [blob["sha256"] for blob in layer["blobs"]] for layer in content["layers"]}
    for name, arrays in arrays_of().items():
        assert digests[name] == [hashlib.sha256(a.tobytes()).hexdigest() for a in arrays]
    for other in (weights, tmp_path / "m.h5"):
        layers = json.loads(run(capsys, "inspect", other, "--json")[1])["layers"]
        assert {layer["name"]: [b["sha256"] for b in layer["blobs"]] for layer in layers if layer["blobs"]} == {
            name: digest for name, digest in digests.items() if digest
        }
    content = json.loads(run(capsys, "inspect", state, "--json")[1])
    assert (content["format"], content["iter"], content["learned_net"]) == ("solverstate", 7, "m.caffemodel")
    digest = hashlib.sha256(np.arange(6, dtype="<f4").tobytes()).hexdigest()
    expected = {"shape": [2, 3], "dtype": "float64", "sha256": digest, "finite": True}
    assert content["layers"] == [{"name": "history 0", "type": "", "blobs": [expected]}]


@pytest.mark.parametrize("arch", ["shallow", "alexnet"])
def test_onnx_computes_what_the_port_computes(tmp_path, capsys, arch):
    torch, runtime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    import rankiqa

    model(tmp_path / "m.caffemodel", arrays_of(arch))
    weights, graph = tmp_path / "w.safetensors", tmp_path / "m.onnx"
    assert run(capsys, tmp_path / "m.caffemodel", "--out", weights, "--onnx", graph)[0] == 0
    said = safetensors.safe_open(weights, framework="numpy").metadata()
    kept = runtime.InferenceSession(str(graph)).get_modelmeta().custom_metadata_map
    assert kept["colour_order"] == "BGR" and kept.items() <= said.items()
    port, session = rankiqa.load(weights), runtime.InferenceSession(str(graph))
    for batch in (1, 3):
        x = np.random.default_rng(batch).integers(0, 256, (batch, 3, port.crop, port.crop)).astype(np.float32)
        (output,) = session.run([port.head], {"data": x})
        with torch.no_grad():
            expected = port(torch.from_numpy(x)).numpy()
        assert output.shape == (batch, 1)
        assert np.abs(output - expected).max() <= 1e-5 * np.abs(expected).max()  # summation order
