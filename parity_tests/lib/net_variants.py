"""The deploy nets as protobuf messages in Caffe's forms V0, V1 and V2, and every single change of each net."""

from google.protobuf import text_format

import nets
import prototxt
from caffemodel.message import from_message
from caffemodel.schema import FAST, FULL, is_repeated
from caffemodel.upgrade import V0_TYPES, V1_TYPES
from caffemodel.wire import BlobStore
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa_convert.structure import differences

ARCHS = ("vgg16", "alexnet", "shallow")
FC = {arch: ARCHITECTURES[arch].fc_names() for arch in ARCHS}
V1_NUMBERS = {name: number for number, name in V1_TYPES.items()}
V0_NAMES = {name: old for old, name in V0_TYPES.items()}


def deploy(arch):
    """Return an architecture's deploy net as a protobuf message (V2)."""
    return text_format.Parse(prototxt.to_text(nets.net(arch, "rank", "live", "deploy")), FULL["NetParameter"]())


def as_v1(message):
    """Return the same net in the V1 form of 2014: `layers`, types as numbers."""
    old = FULL["NetParameter"](name=message.name, input=message.input, input_shape=message.input_shape)
    for layer in message.layer:
        copied = old.layers.add(name=layer.name, type=V1_NUMBERS[layer.type], bottom=layer.bottom, top=layer.top)
        for field, value in layer.ListFields():
            if field.name.endswith("_param"):
                getattr(copied, field.name).CopyFrom(value)
    return old


def as_v0(arch):
    """Return an architecture's net in Caffe's first form, V0, with separate padding layers."""
    old = FAST["NetParameter"](name="old", input=["data"], input_dim=[1, 3, *[ARCHITECTURES[arch].crop] * 2])
    for layer in deploy(arch).layer:
        bottom = list(layer.bottom)
        conv, pool, lrn = layer.convolution_param, layer.pooling_param, layer.lrn_param
        if layer.type == "Convolution" and conv.pad:
            padding = old.layers.add(bottom=bottom, top=[f"pad_{layer.name}"])
            padding.layer.name, padding.layer.type, padding.layer.pad = f"pad_{layer.name}", "padding", conv.pad[0]
            bottom = [f"pad_{layer.name}"]
        copied = old.layers.add(bottom=bottom, top=list(layer.top))
        copied.layer.name, copied.layer.type = layer.name, V0_NAMES[layer.type]
        if layer.type == "Convolution":
            copied.layer.num_output, copied.layer.kernelsize = conv.num_output, conv.kernel_size[0]
            copied.layer.stride, copied.layer.group = conv.stride[0] if conv.stride else 1, conv.group or 1
        elif layer.type == "Pooling":
            copied.layer.pool, copied.layer.kernelsize, copied.layer.stride = 0, pool.kernel_size, pool.stride
        elif layer.type == "LRN":
            copied.layer.local_size, copied.layer.alpha, copied.layer.beta = lrn.local_size, lrn.alpha, lrn.beta
        elif layer.type == "InnerProduct":
            copied.layer.num_output = layer.inner_product_param.num_output
    return old


def net_of(message):
    return from_message(FAST["NetParameter"].FromString(message.SerializeToString()), BlobStore(), "test")


def difference(message, arch):
    return differences(net_of(message), ARCHITECTURES[arch], FC[arch])


def _settings(layer):
    """Yield (description, change) for every setting of a layer; each change sets another value that Caffe accepts."""

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


def add_layer(message, at, **fields):
    """Insert a layer at a position."""
    layers = [*message.layer]
    new = FULL["LayerParameter"](**fields)
    layers.insert(at, new)
    message.ClearField("layer")
    message.layer.extend(layers)


def variants(arch):
    """Yield (layer's name, description, message) for every single change of a net."""
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
                yield changed(f"{kind} after {layer.name}", lambda m, target, i, a=in_place: add_layer(m, i + 1, **a))

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
        add_layer(message, 0, name="begin", type=kind, bottom=["data"], top=["data"])
        yield "begin", f"{kind} at the beginning", message
    message = FULL["NetParameter"]()
    message.CopyFrom(whole)
    message.input_shape[0].dim[1] = 1
    yield "input", "a grey image", message
