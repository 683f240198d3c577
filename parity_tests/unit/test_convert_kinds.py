"""convert.py: other kinds of file, NVIDIA Caffe's raw_data, names in other encodings, and what a score means."""

import gzip
import json
import struct
import zipfile

import numpy as np
import pytest
from safetensors import safe_open

import caffemodel
import nets
import prototxt
import rankiqa
from caffemodel.schema import FAST, FULL
from lib.convert_command import arrays_of, model, run, whole_model
from lib.mutations import varint
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa.models.score_meaning import MEANINGS


def field(number, content):
    """Return a length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def _mean(path, with_shape):
    blob = FAST["BlobProto"](data=np.zeros(48, "<f4").tobytes())
    if with_shape:
        blob.shape.dim.extend([1, 3, 4, 4])
    else:
        blob.num, blob.channels, blob.height, blob.width = 1, 3, 4, 4
    path.write_bytes(blob.SerializeToString())


def _zip(path, name):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, "x")


KINDS = {
    "drive page": (lambda p: p.write_text("<!DOCTYPE html><html><title>Google Drive</title></html>"),
                   ("a web page (HTML)", "open the link in a browser")),
    "page after blanks": (lambda p: p.write_text("\ufeff\n  <HTML lang=en>"), ("a web page (HTML)",)),
    "pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
                ("a Git LFS pointer", "git lfs pull")),
    "mean": (lambda p: _mean(p, False), ("mean image (.binaryproto)", "RankIQA takes no mean")),
    "mean with a shape": (lambda p: _mean(p, True), ("mean image (.binaryproto)",)),
    "PyTorch": (lambda p: _zip(p, "archive/data.pkl"), ("a PyTorch file",)),
    "zip": (lambda p: _zip(p, "m.caffemodel"), ("a ZIP archive", "unpack it first")),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"abc")), ("a gzip archive", "unpack it first")),
    "pickle": (lambda p: p.write_bytes(b"\x80\x04}."), ("a Python pickle",)),
    "MATLAB": (lambda p: p.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200)), ("a MATLAB file",)),
    "ONNX": (lambda p: p.write_bytes(b"\x08\x08" + field(2, b"torch") + field(7, b"\x0a\0") + field(8, b"\x10\x11")),
             ("an ONNX model",)),
    "TensorFlow": (lambda p: p.write_bytes(field(1, field(1, b"x") + field(2, b"Placeholder")) * 3),
                   ("a TensorFlow model",)),
    "text": (lambda p: p.write_text("hello"), ("got text",)),
    "prototxt": (lambda p: p.write_text('layer { name: "x" }'), ("a prototxt", "--net")),
    "C3D": (lambda p: p.write_bytes(field(1, b"c3d") + field(2, field(4, b"conv1a") + varint(40) + varint(30) + field(
        6, b"\x08\x01\x10\x01\x18\x01\x20\x01\x28\x02" + field(6, bytes(8))))), ("a file of C3D",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_named(capsys, tmp_path, kind):
    make, says = KINDS[kind]
    path = tmp_path / "m.caffemodel"
    make(path)
    for arguments in ((path, "--out", tmp_path / "w.safetensors"), ("inspect", path)):
        status, text, error = run(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1)
        assert all(part in error for part in says), error


def test_a_model_of_another_kind_is_refused_by_what_it_is(capsys, tmp_path):
    layers = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "ip1": (500, 800), "ip2": (10, 500)}
    arrays = {name: [np.zeros(shape, "f4"), np.zeros(shape[0], "f4")] for name, shape in layers.items()}
    status, _, error = run(capsys, model(tmp_path / "lenet.caffemodel", arrays), "--out", tmp_path / "w.safetensors")
    assert status == 2 and "4 layers with weights, conv1 conv2 ip1 ip2: no network of RankIQA" in error
    assert "expected (" not in error


@pytest.mark.parametrize(("number", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_nvidia_caffes_numbers_are_read(capsys, tmp_path, number, dtype):
    """DIGITS writes raw_data. Writing weights back into such a file keeps every bit, so halves become floats."""
    arrays = {name: [a.astype(dtype) for a in pair] for name, pair in arrays_of().items()}
    message = FAST["NetParameter"](name="digits")
    for name, pair in arrays.items():
        layer = message.layer.add(name=name, type="Convolution" if name.startswith("conv") else "InnerProduct")
        for a in pair:
            blob = layer.blobs.add(raw_data=a.tobytes(), raw_data_type=number)
            blob.shape.dim.extend(a.shape)
    path, out, back = tmp_path / "m.caffemodel", tmp_path / "w.safetensors", tmp_path / "back.caffemodel"
    path.write_bytes(message.SerializeToString())
    assert run(capsys, path, "--out", out)[0] == 0
    with safe_open(out, framework="numpy") as file:
        for name, pair in arrays.items():
            assert file.get_tensor(f"{name}.weight").tobytes() == pair[0].astype("<f4").tobytes()
    assert "raw_data of NVIDIA Caffe" in run(capsys, "inspect", path)[1]
    caffemodel.write(caffemodel.read(path), back)
    assert back.read_bytes() == path.read_bytes()
    assert run(capsys, out, "--to", "caffemodel", "--like", path, "--out", back)[0] == 0
    again = {layer.name: layer.blobs[0].float32().tobytes() for layer in caffemodel.read(back).layers}
    assert again == {name: pair[0].astype("<f4").tobytes() for name, pair in arrays.items()}
    message.layer[0].blobs[0].raw_data_type = 3
    path.write_bytes(message.SerializeToString())
    assert "expected raw_data of double, float or half" in run(capsys, path, "--out", out)[2]


def _state(path, name):
    """Write a solver state that names its model by bytes in any encoding, and return its path."""
    blobs = b"".join(
        field(3, field(7, field(1, b"".join(map(varint, a.shape)))) + field(5, a.tobytes()))
        for pair in arrays_of().values()
        for a in pair
    )
    path.write_bytes(b"\x08\x07" + field(2, name) + blobs)
    return path


@pytest.mark.parametrize(
    "named", [b"C:\\caffe\\snap_iter_7.caffemodel", "快照/snap_iter_7.caffemodel".encode("gbk"),
              "模型.caffemodel".encode("gbk"), b"snap_iter_7.caffemodel"],
    ids=["Windows", "GBK folder", "GBK name", "plain"],
)  # fmt: skip
def test_a_states_model_is_found_whatever_its_name_is_written_in(capsys, tmp_path, named):
    whole_model(tmp_path / "snap_iter_7.caffemodel")
    state = _state(tmp_path / "snap_iter_7.solverstate", named)
    status, _, error = run(capsys, state, "--trained-on", "live-rank", "--out", tmp_path / "s.safetensors")
    assert status == 0, error
    assert rankiqa.load(tmp_path / "s.safetensors").meaning == MEANINGS["live-rank"]
    for more in ((), ("--json",)):
        status, text, _ = run(capsys, "inspect", state, *more)
        assert status == 0 and "solverstate" in text


@pytest.mark.parametrize("version", ["V2", "V1"])
def test_names_that_are_not_utf8(capsys, tmp_path, version):
    path = whole_model(tmp_path / "m.caffemodel", like="live-rank")
    content = path.read_bytes()
    if version == "V1":
        old = FAST["NetParameter"](name="net")
        for name, pair in arrays_of().items():
            layer = old.layers.add(name=name, type=4 if name.startswith("conv") else 14)
            for a in pair:
                layer.blobs.add(data=a.tobytes()).shape.dim.extend(a.shape)
        content = old.SerializeToString()
    path.write_bytes(content.replace(field(1, b"net"), field(1, "网".encode("gbk") + b"t"), 1))
    assert run(capsys, path, "--out", tmp_path / "w.safetensors")[0] == 0
    assert run(capsys, "inspect", path)[0] == 0


def test_names_that_a_terminal_would_obey(capsys, tmp_path):
    """A line for each blob, whatever a layer is called."""
    name = "conv\x1b[2J\nconv2  Convolution\r" + "x" * 9000
    path = model(tmp_path / "m.caffemodel", {name: [np.zeros(3, "f4")]})
    status, text, _ = run(capsys, "inspect", path)
    assert status == 0 and r"conv\x1b[2J\nconv2  Convolution\rxxx" in text
    assert all(line.isprintable() and len(line) < 9000 for line in text.split("\n"))
    assert json.loads(run(capsys, "inspect", path, "--json")[1])["layers"][0]["name"] == name


# ---- what a score means


@pytest.mark.parametrize("net", MEANINGS)
@pytest.mark.parametrize("layers", ["upstream", "ours"])
def test_a_training_nets_python_layers_tell_what_it_was_trained_on(tmp_path, net, layers):
    from rankiqa_convert.structure import read_prototxt
    from rankiqa_convert.trained_on import trained_on

    dataset, task = net.split("-")
    (tmp_path / "n.prototxt").write_text(prototxt.to_text(nets.net("vgg16", task, dataset, "train", layers=layers)))
    vgg = ARCHITECTURES["vgg16"]
    parsed = read_prototxt(tmp_path / "n.prototxt")
    assert trained_on(parsed, "n", vgg, known_nets(vgg)[net], None) == net
    with pytest.raises(ValueError, match="--trained-on"):
        trained_on(parsed, "n", vgg, known_nets(vgg)[net], "tid2013-ft" if net != "tid2013-ft" else "live-ft")
    # Layer names alone distinguish the fine-tuned nets but not the rank nets
    (tmp_path / "d.prototxt").write_text(prototxt.to_text(nets.net("vgg16", task, dataset, "deploy")))
    deploy = read_prototxt(tmp_path / "d.prototxt")
    expected = net if task == "ft" else None
    assert trained_on(deploy, "d", vgg, known_nets(vgg)[net], None) == expected
    assert trained_on(deploy, "d", vgg, known_nets(vgg)[net], net) == net


def test_what_a_score_means_travels_with_the_weights(capsys, tmp_path):
    path, out = whole_model(tmp_path / "m.caffemodel"), tmp_path / "w.safetensors"
    status, text, error = run(capsys, path, "--out", out, "--json")
    assert status == 0 and json.loads(text)["meaning"] is None and "--trained-on" in error
    assert rankiqa.load(out).meaning.lower_is_better is None
    for net in ("live-rank", "tid2013-rank"):
        status, text, error = run(capsys, path, "--trained-on", net, "--out", out, "--json")
        assert status == 0 and error == ""
        assert json.loads(text)["meaning"]["lower_is_better"] is (net == "live-rank")
        assert rankiqa.load(out).meaning == MEANINGS[net]
        with safe_open(out, framework="numpy") as file:
            metadata = file.metadata()
        assert {key: metadata[key] for key in ("dataset", "task", "lower_is_better", "colour_order", "crop")} == {
            "dataset": net.split("-")[0], "task": "ranked", "lower_is_better": str(net == "live-rank").lower(),
            "colour_order": "BGR", "crop": "227",
        }  # fmt: skip
        meaning = json.loads(run(capsys, "inspect", out, "--json")[1])["meaning"]
        assert meaning["lower_is_better"] is (net == "live-rank")
    status, _, error = run(capsys, path, "--trained-on", "live-ft", "--out", tmp_path / "no.safetensors")
    assert status == 2 and "--trained-on live-ft: expected the layers fc1, got fc1_m" in error
    status, _, error = run(capsys, path, "--trained-on", "kadid", "--out", tmp_path / "no.safetensors")
    assert status == 2 and "expected one of live-rank" in error


def test_weights_to_start_from_say_what_the_training_is_for(capsys, tmp_path):
    path, out = whole_model(tmp_path / "m.caffemodel"), tmp_path / "w.safetensors"
    assert run(capsys, path, "--for", "live-ft", "--out", out)[0] == 0  # the file then has no output layer
    with safe_open(out, framework="numpy") as file:
        assert file.metadata()["dataset"] == "live" and file.metadata()["task"] == "fine-tuned"
    assert run(capsys, path, "--for", "live-rank", "--out", out)[0] == 0  # a whole net that does not state its meaning
    assert rankiqa.load(out).meaning.lower_is_better is None


def test_the_schema_has_every_field_of_the_settings_that_are_compared():
    """The enum of pooling methods is closed, as in Caffe's C++: an unknown number reads as an absent field."""
    unknown = FULL["PoolingParameter"].FromString(b"\x08\x07" + struct.pack("<BB", 0x10, 4))
    assert not unknown.HasField("pool")
