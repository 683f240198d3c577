"""The structure check: every single change of each net is refused, all that computes the same is accepted."""

import json
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffemodel
import nets
import prototxt
from caffemodel import CaffemodelError
from caffemodel.message import from_message
from caffemodel.schema import FAST, FULL, is_repeated
from caffemodel.settings_table import ENUMS
from caffemodel.upgrade import V0_TYPES, V1_TYPES
from caffemodel.wire import BlobStore
from lib.convert_command import run, whole_model
from lib.mutations import varint
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa_convert.structure import differences, read_prototxt

ARCHS = ("vgg16", "alexnet", "shallow")
FC = {arch: ARCHITECTURES[arch].fc_names() for arch in ARCHS}
V1_NUMBERS = {name: number for number, name in V1_TYPES.items()}
V0_NAMES = {name: old for old, name in V0_TYPES.items()}


def deploy(arch):
    """The deploy net as a message with names of fields and enums."""
    return text_format.Parse(prototxt.to_text(nets.net(arch, "rank", "live", "deploy")), FULL["NetParameter"]())


def as_v1(message):
    """The same net in the form of 2014: `layers`, types as numbers."""
    old = FULL["NetParameter"](name=message.name, input=message.input, input_shape=message.input_shape)
    for layer in message.layer:
        made = old.layers.add(name=layer.name, type=V1_NUMBERS[layer.type], bottom=layer.bottom, top=layer.top)
        for field, value in layer.ListFields():
            if field.name.endswith("_param"):
                getattr(made, field.name).CopyFrom(value)
    return old


def net_of(message):
    return from_message(FAST["NetParameter"].FromString(message.SerializeToString()), BlobStore(), "test")


def difference(message, arch):
    return differences(net_of(message), ARCHITECTURES[arch], FC[arch])


def _settings(layer):
    """(what, change) of every setting of a layer, each to another value that Caffe would take."""

    def put(field, *values):
        def change(target):
            if values and is_repeated(target.DESCRIPTOR.fields_by_name[field]):
                target.ClearField(field)
                getattr(target, field).extend(values)
            else:
                setattr(target, field, values[0])

        return change

    def split(stem, height, width):
        def change(target):
            target.ClearField(stem if stem != "kernel" else "kernel_size")
            setattr(target, f"{stem}_h", height)
            setattr(target, f"{stem}_w", width)

        return change

    if layer.type == "Convolution":
        param, own = "convolution_param", layer.convolution_param
        kernel, group = own.kernel_size[0], own.group
        changes = {"num_output": put("num_output", own.num_output * 2), "kernel_size": put("kernel_size", kernel + 2),
                   "two kernel sizes": put("kernel_size", kernel, kernel + 2),
                   "kernel_h": split("kernel", kernel + 1, kernel),
                   "kernel_w": split("kernel", kernel, kernel + 1), "stride": put("stride", 3),
                   "stride_w": split("stride", 1, 5), "pad": put("pad", 5), "pad_h": split("pad", 7, 0),
                   "dilation": put("dilation", 2), "two dilations": put("dilation", 1, 2),
                   "group": put("group", 4 if group != 4 else 2), "bias_term": put("bias_term", False),
                   "axis": put("axis", 2), "force_nd_im2col": put("force_nd_im2col", True)}  # fmt: skip
    elif layer.type == "Pooling":
        param, own = "pooling_param", layer.pooling_param
        changes = {"AVE": put("pool", 1), "STOCHASTIC": put("pool", 2),
                   "kernel": put("kernel_size", own.kernel_size + 1),
                   "kernel_h": split("kernel", 1, own.kernel_size), "stride": put("stride", own.stride + 1),
                   "stride_w": split("stride", own.stride, 1), "pad": put("pad", 1), "pad_w": split("pad", 0, 1),
                   "global": put("global_pooling", True), "round_mode": put("round_mode", 1)}  # fmt: skip
    elif layer.type == "LRN":
        param = "lrn_param"
        changes = {"local_size": put("local_size", 3), "alpha": put("alpha", 2e-4), "beta": put("beta", 0.5),
                   "k": put("k", 2.0), "norm_region": put("norm_region", 1)}  # fmt: skip
    elif layer.type == "InnerProduct":
        param, own = "inner_product_param", layer.inner_product_param
        changes = {"num_output": put("num_output", own.num_output + 1), "bias_term": put("bias_term", False),
                   "axis": put("axis", 2), "transpose": put("transpose", True)}  # fmt: skip
    elif layer.type == "ReLU":
        param, changes = "relu_param", {"negative_slope": put("negative_slope", 0.1)}
    else:
        return
    for what, change in changes.items():
        yield f"{layer.name} {what}", lambda target, change=change: change(getattr(target, param))


def _add(message, at, **fields):
    """Insert a layer."""
    layers = [*message.layer]
    new = FULL["LayerParameter"](**fields)
    layers.insert(at, new)
    message.ClearField("layer")
    message.layer.extend(layers)


def variants(arch):
    """(layer's name, what, message) of every single change of a net."""
    whole = deploy(arch)
    count = len(whole.layer)
    for i, layer in enumerate(whole.layer):
        if layer.type == "Dropout":
            continue

        def changed(what, change, i=i, name=layer.name):
            message = FULL["NetParameter"]()
            message.CopyFrom(whole)
            change(message, message.layer[i], i)
            return name, what, message

        for what, change in _settings(layer):
            yield changed(what, lambda m, target, i, change=change: change(target))
        for kind in ("ReLU", "Sigmoid", "TanH", "Pooling", "AbsVal", "Deconvolution", "LRN", "Convolution"):
            if kind != layer.type:
                yield changed(f"{layer.name} as {kind}", lambda m, target, i, kind=kind: setattr(target, "type", kind))
        for kind in ("Sigmoid", "Power", "ReLU" if layer.type != "ReLU" else "TanH", "BatchNorm", "Scale"):
            top = layer.top[0]
            in_place = {"name": "added", "type": kind, "bottom": [top], "top": [top]}
            if kind not in ("BatchNorm", "Scale") and not (kind == "ReLU" and i + 1 < count
                                                           and whole.layer[i + 1].type == "ReLU"):  # fmt: skip
                yield changed(f"{kind} after {layer.name}", lambda m, target, i, a=in_place: _add(m, i + 1, **a))

        def remove(m, target, i):
            for later in list(m.layer)[i + 1 :]:
                for k, blob in enumerate(later.bottom):
                    if blob == target.top[0] and target.bottom[0] != target.top[0]:
                        later.bottom[k] = target.bottom[0]
            del m.layer[i]

        yield changed(f"without {layer.name}", remove)
        if layer.bottom[0] != "data":
            yield changed(f"{layer.name} reads data", lambda m, target, i: target.bottom.__setitem__(0, "data"))
        yield changed(f"{layer.name} with two bottoms", lambda m, target, i: target.bottom.append("data"))
    last = whole.layer[-1]
    for kind in ("Power", "Scale", "BatchNorm", "Sigmoid", "Softmax", "ReLU", "InnerProduct"):
        for top in (last.top[0], "out"):
            message = FULL["NetParameter"]()
            message.CopyFrom(whole)
            message.layer.add(name="end", type=kind, bottom=[last.top[0]], top=[top])
            yield last.name, f"{kind} at the end to {top}", message
    for kind in ("Power", "BatchNorm", "Scale"):
        message = FULL["NetParameter"]()
        message.CopyFrom(whole)
        _add(message, 0, name="begin", type=kind, bottom=["data"], top=["data"])
        yield "begin", f"{kind} at the beginning", message
    message = FULL["NetParameter"]()
    message.CopyFrom(whole)
    message.input_shape[0].dim[1] = 1
    yield "input", "a grey image", message


V1_KNOWS = {kind for kind in V1_NUMBERS if kind}


@pytest.mark.parametrize("arch", ARCHS)
def test_every_single_change_is_refused(capsys, arch):
    refused, missed, unnamed = 0, [], []
    for name, what, message in variants(arch):
        forms = [message]
        if all(layer.type in V1_KNOWS for layer in message.layer):
            forms.append(as_v1(message))
        for form in forms:
            found = difference(form, arch)
            refused += bool(found)
            if not found:
                missed.append(what)
            elif not any(name in text for text in found):
                unnamed.append((what, found))
    with capsys.disabled():
        print(f"\n{arch}: {refused} changed nets refused, {len(missed)} missed")
    assert refused >= 150 and not missed, missed
    assert not unnamed, unnamed[:5]


@pytest.mark.parametrize("form", ["V2", "V1"])
@pytest.mark.parametrize("arch", ARCHS)
def test_the_net_itself_is_accepted(arch, form):
    message = deploy(arch)
    assert difference(message if form == "V2" else as_v1(message), arch) == []


@pytest.mark.parametrize("path", [path for path in nets.upstream_files() if "solver" not in path])
def test_upstreams_eight_nets_are_accepted(tmp_path, path):
    """Made from caffe_ref's table, whose digests equal those of upstream's files; both phases."""
    (tmp_path / "net.prototxt").write_text(prototxt.to_text(nets.upstream_files()[path]))
    net = read_prototxt(tmp_path / "net.prototxt")
    names = [layer.name for layer in net.layers]
    fc = next(fc for fc in known_nets(ARCHITECTURES["vgg16"]).values() if set(fc) <= set(names))
    assert differences(net, ARCHITECTURES["vgg16"], fc) == []


@pytest.mark.parametrize("arch", ["alexnet", "shallow"])
@pytest.mark.parametrize("dataset", ["live", "tid2013"])
@pytest.mark.parametrize("task", ["rank", "ft"])
def test_training_nets_of_the_others_are_accepted(tmp_path, arch, task, dataset):
    (tmp_path / "net.prototxt").write_text(prototxt.to_text(nets.net(arch, task, dataset, "train")))
    fc = known_nets(ARCHITECTURES[arch])[f"{dataset}-{task}"]
    assert differences(read_prototxt(tmp_path / "net.prototxt"), ARCHITECTURES[arch], fc) == []


def _not_in_place(message):
    names = {}
    for i, layer in enumerate(message.layer):
        bottom = names.get(layer.bottom[0], layer.bottom[0])
        if layer.type in ("ReLU", "Dropout"):
            names[layer.top[0]] = layer.top[0] = f"top{i}"
        layer.bottom[0] = bottom


def _same(message):
    """All ways of writing the same."""
    for layer in message.layer:
        if layer.type == "Convolution":
            own = layer.convolution_param
            own.kernel_h = own.kernel_w = own.kernel_size[0]
            own.ClearField("kernel_size")
            own.stride_h = own.stride_w = own.stride[0] if own.stride else 1
            own.ClearField("stride")
            own.pad.extend(own.pad[:1] or [0, 0])
            own.dilation.extend([1, 1])
            own.axis, own.engine, own.bias_term = 1, 2, True
        elif layer.type == "Pooling":
            layer.pooling_param.pad, layer.pooling_param.engine = 0, 1
        elif layer.type == "LRN":
            layer.lrn_param.k = 1
        elif layer.type == "ReLU":
            layer.relu_param.negative_slope = 0


def _no_dropout(message):
    kept = [layer for layer in message.layer if layer.type != "Dropout"]
    message.ClearField("layer")
    message.layer.extend(kept)


def _split(message):
    """As Caffe itself inserts it where two layers read a blob."""
    message.layer[1].bottom[0] = message.layer[1].bottom[0]
    first = message.layer[0].top[0]
    _add(message, len(message.layer), name="silence", type="Silence", bottom=["x_split_1"])
    _add(message, 2, name="split", type="Split", bottom=[first], top=["x_split_0", "x_split_1"])
    message.layer[3].bottom[0] = "x_split_0"


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("change", [_not_in_place, _same, _no_dropout, _split])
def test_what_computes_the_same_is_accepted(arch, change):
    message = deploy(arch)
    change(message)
    assert difference(message, arch) == []


def _v0(arch):
    """The net in Caffe's first form, padding layers and all."""
    old = FAST["NetParameter"](name="old", input=["data"], input_dim=[1, 3, *[ARCHITECTURES[arch].crop] * 2])
    for layer in deploy(arch).layer:
        bottom = list(layer.bottom)
        conv, pool, lrn = layer.convolution_param, layer.pooling_param, layer.lrn_param
        if layer.type == "Convolution" and conv.pad:
            padding = old.layers.add(bottom=bottom, top=[f"pad_{layer.name}"])
            padding.layer.name, padding.layer.type, padding.layer.pad = f"pad_{layer.name}", "padding", conv.pad[0]
            bottom = [f"pad_{layer.name}"]
        made = old.layers.add(bottom=bottom, top=list(layer.top))
        made.layer.name, made.layer.type = layer.name, V0_NAMES[layer.type]
        if layer.type == "Convolution":
            made.layer.num_output, made.layer.kernelsize = conv.num_output, conv.kernel_size[0]
            made.layer.stride, made.layer.group = conv.stride[0] if conv.stride else 1, conv.group or 1
        elif layer.type == "Pooling":
            made.layer.pool, made.layer.kernelsize, made.layer.stride = 0, pool.kernel_size, pool.stride
        elif layer.type == "LRN":
            made.layer.local_size, made.layer.alpha, made.layer.beta = lrn.local_size, lrn.alpha, lrn.beta
        elif layer.type == "InnerProduct":
            made.layer.num_output = layer.inner_product_param.num_output
    return old


@pytest.mark.parametrize("arch", ARCHS)
def test_v0(arch):
    whole = _v0(arch)
    assert difference(whole, arch) == []
    count = 0
    for i, layer in enumerate(whole.layers):
        changes = {"conv": ("kernelsize", "stride", "num_output", "group"), "padding": ("pad",),
                   "pool": ("pool", "kernelsize", "stride"), "lrn": ("local_size", "alpha", "beta"),
                   "innerproduct": ("num_output",)}.get(layer.layer.type, ())  # fmt: skip
        for field in changes:
            message = FAST["NetParameter"].FromString(whole.SerializeToString())
            target = message.layers[i].layer
            setattr(target, field, getattr(target, field) + 1)
            name = target.name.removeprefix("pad_")
            assert any(name in text for text in difference(message, arch)), (field, target.name)
            count += 1
    assert count >= 20


def test_a_data_layer_that_changes_pixels_is_refused():
    for settings, says in ((dict(scale=0.00390625), "scale: expected 1.0"), (dict(mean_file="m"), "mean_file"),
                           (dict(mean_value=[104.0]), "mean_value"), (dict(crop_size=100), "crop_size")):  # fmt: skip
        message = deploy("shallow")
        message.ClearField("input")
        message.ClearField("input_shape")
        _add(message, 0, name="db", type="Data", top=["data", "label"])
        assert difference(message, "shallow") == []
        message.layer[0].transform_param.CopyFrom(FULL["TransformationParameter"](**settings))
        assert any("db" in text and says in text for text in difference(message, "shallow"))


def test_a_field_that_caffe_does_not_know_is_refused_where_it_may_matter():
    for number, accepted in ((19, True), (40, False)):
        message = net_of(deploy("shallow"))
        message.message.layer[0].convolution_param += varint(number << 3) + varint(2)
        assert (differences(message, ARCHITECTURES["shallow"], FC["shallow"]) == []) is accepted


# ---- the command


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


def test_enums_and_types_are_the_table(tmp_path):
    assert {int(value.split()[1]) for value in ENUMS["LayerType"].split(", ")} == set(V1_TYPES)
    assert np.float32(1e-4) == np.float32(0.0001)
    with pytest.raises(CaffemodelError, match="expected a network's prototxt"):
        (tmp_path / "deep.prototxt").write_text("layer { " * 100_000)
        read_prototxt(tmp_path / "deep.prototxt")
