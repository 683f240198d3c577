"""The structure check of a net: every single change is refused, and every form that computes the same is accepted."""

import numpy as np
import pytest

import nets
import prototxt
from caffemodel import CaffemodelError
from caffemodel.schema import FAST, FULL
from caffemodel.settings_table import ENUMS
from caffemodel.upgrade import V1_TYPES
from lib.mutations import varint
from lib.net_variants import ARCHS, FC, V1_NUMBERS, add_layer, as_v0, as_v1, deploy, difference, net_of, variants
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa_convert.structure import differences, read_prototxt

V1_KNOWS = {kind for kind in V1_NUMBERS if kind}


@pytest.mark.parametrize("arch", ARCHS)
def test_every_single_change_is_refused(capsys, arch):
    refused, missed, unnamed = 0, [], []
    for name, what, message in variants(arch):
        forms = [message]
        if all(layer.type in V1_KNOWS for layer in message.layer):
            forms.append(as_v1(message))
        for form in forms:
            errors = difference(form, arch)
            refused += bool(errors)
            if not errors:
                missed.append(what)
            elif not any(name in text for text in errors):
                unnamed.append((what, errors))
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
    """The nets come from caffe_ref's table, whose digests equal those of upstream's files."""
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
    """Write settings in other ways that mean the same."""
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
    """Insert a Split layer, as Caffe does where two layers read a blob."""
    message.layer[1].bottom[0] = message.layer[1].bottom[0]
    first = message.layer[0].top[0]
    add_layer(message, len(message.layer), name="silence", type="Silence", bottom=["x_split_1"])
    add_layer(message, 2, name="split", type="Split", bottom=[first], top=["x_split_0", "x_split_1"])
    message.layer[3].bottom[0] = "x_split_0"


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("change", [_not_in_place, _same, _no_dropout, _split])
def test_what_computes_the_same_is_accepted(arch, change):
    message = deploy(arch)
    change(message)
    assert difference(message, arch) == []


@pytest.mark.parametrize("arch", ARCHS)
def test_v0(arch):
    whole = as_v0(arch)
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
        add_layer(message, 0, name="db", type="Data", top=["data", "label"])
        assert difference(message, "shallow") == []
        message.layer[0].transform_param.CopyFrom(FULL["TransformationParameter"](**settings))
        assert any("db" in text and says in text for text in difference(message, "shallow"))


def test_a_field_that_caffe_does_not_know_is_refused_where_it_may_matter():
    for number, accepted in ((19, True), (40, False)):
        message = net_of(deploy("shallow"))
        message.message.layer[0].convolution_param += varint(number << 3) + varint(2)
        assert (differences(message, ARCHITECTURES["shallow"], FC["shallow"]) == []) is accepted


def test_enums_and_types_are_the_table(tmp_path):
    assert {int(value.split()[1]) for value in ENUMS["LayerType"].split(", ")} == set(V1_TYPES)
    assert np.float32(1e-4) == np.float32(0.0001)
    with pytest.raises(CaffemodelError, match="expected a network's prototxt"):
        (tmp_path / "deep.prototxt").write_text("layer { " * 100_000)
        read_prototxt(tmp_path / "deep.prototxt")
