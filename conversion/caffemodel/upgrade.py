"""Upgrade old network files (V0: nested layers, V1: enum types) as Caffe does when it reads them.

Source: the behaviour of Caffe 1.0's upgrade_proto. The tests compare with Caffe's own upgrade_net_proto_binary.
"""

from __future__ import annotations

from caffemodel.errors import CaffemodelError
from caffemodel.schema import FAST, PARAMETERS, is_repeated

# V1LayerParameter.LayerType -> V2 type
V1_TYPES = {
    0: "", 35: "AbsVal", 1: "Accuracy", 30: "ArgMax", 2: "BNLL", 3: "Concat", 37: "ContrastiveLoss",
    4: "Convolution", 5: "Data", 39: "Deconvolution", 6: "Dropout", 32: "DummyData", 7: "EuclideanLoss",
    25: "Eltwise", 38: "Exp", 8: "Flatten", 9: "HDF5Data", 10: "HDF5Output", 28: "HingeLoss", 11: "Im2col",
    12: "ImageData", 13: "InfogainLoss", 14: "InnerProduct", 15: "LRN", 29: "MemoryData",
    16: "MultinomialLogisticLoss", 34: "MVN", 17: "Pooling", 26: "Power", 18: "ReLU", 19: "Sigmoid",
    27: "SigmoidCrossEntropyLoss", 36: "Silence", 20: "Softmax", 21: "SoftmaxWithLoss", 22: "Split", 33: "Slice",
    23: "TanH", 24: "WindowData", 31: "Threshold",
}  # fmt: skip

# V0LayerParameter.type -> V2 type
V0_TYPES = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution", "data": "Data",
    "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten", "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output", "im2col": "Im2col", "images": "ImageData", "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct", "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling", "relu": "ReLU", "sigmoid": "Sigmoid", "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss", "split": "Split", "tanh": "TanH", "window_data": "WindowData", "": "",
}  # fmt: skip

# V0's flat settings: V0 field -> {V0 type: field of the settings message}
_V0_SETTINGS = {
    "num_output": {"conv": "num_output", "innerproduct": "num_output"},
    "biasterm": {"conv": "bias_term", "innerproduct": "bias_term"},
    "weight_filler": {"conv": "weight_filler", "innerproduct": "weight_filler"},
    "bias_filler": {"conv": "bias_filler", "innerproduct": "bias_filler"},
    "pad": {"conv": "pad", "pool": "pad"},
    "kernelsize": {"conv": "kernel_size", "pool": "kernel_size"},
    "group": {"conv": "group"},
    "stride": {"conv": "stride", "pool": "stride"},
    "pool": {"pool": "pool"},
    "dropout_ratio": {"dropout": "dropout_ratio"},
    "local_size": {"lrn": "local_size"},
    "alpha": {"lrn": "alpha"},
    "beta": {"lrn": "beta"},
    "k": {"lrn": "k"},
    "source": dict.fromkeys(("data", "images", "window_data", "hdf5_data", "infogain_loss"), "source"),
    "batchsize": dict.fromkeys(("data", "images", "window_data", "hdf5_data"), "batch_size"),
    "rand_skip": dict.fromkeys(("data", "images"), "rand_skip"),
    "shuffle_images": {"images": "shuffle"},
    "new_height": {"images": "new_height"},
    "new_width": {"images": "new_width"},
    "concat_dim": {"concat": "concat_dim"},
    "det_fg_threshold": {"window_data": "fg_threshold"},
    "det_bg_threshold": {"window_data": "bg_threshold"},
    "det_fg_fraction": {"window_data": "fg_fraction"},
    "det_context_pad": {"window_data": "context_pad"},
    "det_crop_mode": {"window_data": "crop_mode"},
}
# V0 type -> (settings message, its field in the layer)
_V0_PARAMETERS = {
    "conv": ("ConvolutionParameter", "convolution_param"),
    "innerproduct": ("InnerProductParameter", "inner_product_param"),
    "pool": ("PoolingParameter", "pooling_param"),
    "dropout": ("DropoutParameter", "dropout_param"),
    "lrn": ("LRNParameter", "lrn_param"),
    "concat": ("ConcatParameter", "concat_param"),
    "infogain_loss": ("InfogainLossParameter", "infogain_loss_param"),
    "hdf5_data": ("HDF5DataParameter", "hdf5_data_param"),
    "data": ("DataParameter", "data_param"),
    "images": ("ImageDataParameter", "image_data_param"),
    "window_data": ("WindowDataParameter", "window_data_param"),
}
_V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_MOVED = ("scale", "mean_file", "crop_size", "mirror")  # from a V1 data layer to its transform_param
_MOVERS = {5: ("DataParameter", "data_param"), 12: ("ImageDataParameter", "image_data_param"),
           24: ("WindowDataParameter", "window_data_param")}  # fmt: skip


def _text(name: str | bytes) -> str:
    """Return a name that can be assigned: protobuf reads a name that is not UTF-8 as bytes, but rejects such bytes."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def version_of(message):
    """Return the version of a NetParameter, "V0", "V1" or "V2", by Caffe's criteria."""
    if any(layer.HasField("layer") for layer in message.layers):
        return "V0"
    return "V1" if message.layers else "V2"


def layer_type(layer, version):
    """Return (V2 type of a layer of any version, whether Caffe 1.0 knows it).

    An unknown type keeps its own name or number.
    """
    if version == "V2":
        return layer.type, True
    types, kind = (V0_TYPES, layer.layer.type) if version == "V0" else (V1_TYPES, layer.type)
    return types.get(kind, str(kind)), kind in types


def _known_type(layer, version):
    """Return the V2 type of a layer; raise CaffemodelError if Caffe 1.0 does not know it."""
    kind, known = layer_type(layer, version)
    if not known:
        name = layer.layer.name if version == "V0" else layer.name
        raise CaffemodelError(f"layer {name}: expected a layer type of {version}, got {kind}: it cannot be upgraded")
    return kind


def padded_convolutions(message):
    """Fold V0's padding layers into the layers that read them.

    Returns:
        [(layer, bottoms, pad or None)] of all other layers.

    Raises:
        CaffemodelError: If a padding layer feeds anything other than one convolution or pooling.
    """
    made_by, folded = {}, []
    for layer in message.layers:
        bottoms, pad = list(layer.bottom), None
        for j, blob in enumerate(bottoms):
            source = made_by.get(blob)
            if source is not None and source.layer.type == "padding":
                if layer.layer.type not in ("conv", "pool") or len(bottoms) != 1 or len(source.bottom) != 1:
                    raise CaffemodelError(f"layer {layer.layer.name}: a padding layer may only feed one conv or pool")
                bottoms[j], pad = source.bottom[0], source.layer.pad
        if layer.layer.type != "padding":
            folded.append((layer, bottoms, pad))
        made_by.update(dict.fromkeys(layer.top, layer))
    return folded


def to_v2(message):
    """Return a NetParameter (FAST schema) upgraded to V2 as Caffe does it; blobs are copied.

    Raises:
        CaffemodelError: If a layer cannot be upgraded.
    """
    version = version_of(message)
    net = FAST["NetParameter"]()
    for name in ("name", "force_backward", "state", "debug_info"):
        if message.HasField(name):
            setattr(net, name, _text(getattr(message, name)) if name == "name" else getattr(message, name))
    _inputs(message, net)
    if version == "V2":
        net.layer.extend(message.layer)
    elif version == "V1":
        move = any(_settings_to_move(layer) for layer in message.layers)
        for layer in message.layers:
            target = net.layer.add()
            _from_v1(layer, target)
            # CAFFE: if one data layer needs the move, all get both messages, even if they are empty (upgrade_proto.cpp)
            if move and layer.type in _MOVERS:
                _move_transform(target, *_MOVERS[layer.type])
    else:
        for layer, bottoms, pad in padded_convolutions(message):
            _from_v0(layer, bottoms, pad, net.layer.add())
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0.0
    return net


def _inputs(message, net):
    """Turn `input` fields into an Input layer; drop them if they have no sizes, as in old caffemodels."""
    if not message.input or not (message.input_shape or message.input_dim):
        return
    given = len(message.input_shape) or len(message.input_dim) / 4
    if given < len(message.input):
        raise CaffemodelError(f"expected a size of each of the {len(message.input)} inputs, got {given:g}")
    shapes = FAST["InputParameter"]()
    for i in range(len(message.input)):
        dims = message.input_shape[i].dim if message.input_shape else message.input_dim[4 * i : 4 * i + 4]
        shapes.shape.add().dim.extend(dims)
    net.layer.add(name="input", type="Input", top=list(message.input), input_param=shapes.SerializeToString())


def _specs(target, rates, decays, names=(), modes=()):
    """Write the ParamSpecs of a layer from the old lists."""
    for i in range(max(map(len, (rates, decays, names, modes)))):
        spec = target.param.add()
        if i < len(names):
            spec.name = _text(names[i])
        if i < len(modes):
            spec.share_mode = modes[i]
        if i < len(rates):
            spec.lr_mult = rates[i]
        if i < len(decays):
            spec.decay_mult = decays[i]


def _from_v1(layer, target):
    """Upgrade a V1 layer into `target`, an empty V2 layer."""
    target.type = _known_type(layer, "V1")
    if layer.HasField("name"):
        target.name = _text(layer.name)
    for name in ("bottom", "top"):
        getattr(target, name).extend(map(_text, getattr(layer, name)))
    for name in ("blobs", "include", "exclude", "loss_weight"):
        getattr(target, name).extend(getattr(layer, name))
    _specs(target, layer.blobs_lr, layer.weight_decay, layer.param, layer.blob_share_mode)
    for name, _, number in PARAMETERS:
        if number and layer.HasField(name):
            setattr(target, name, getattr(layer, name))


def _settings_to_move(layer):
    """Return the names of a V1 data layer's settings that belong in transform_param."""
    if layer.type not in _MOVERS:
        return []
    message, field = _MOVERS[layer.type]
    data = FAST[message].FromString(getattr(layer, field))
    return [name for name in _MOVED if data.HasField(name)]


def _move_transform(target, message, field):
    """Move scale, mean_file, crop_size and mirror of a data layer to its transform_param."""
    data, transform = FAST[message](), FAST["TransformationParameter"]()
    data.ParseFromString(getattr(target, field))
    transform.ParseFromString(target.transform_param)
    for name in filter(data.HasField, _MOVED):
        setattr(transform, name, getattr(data, name))
        data.ClearField(name)
    target.transform_param = transform.SerializeToString()
    setattr(target, field, data.SerializeToString())


def _from_v0(layer, bottoms, pad, target):
    """Upgrade a V0 layer into `target`, an empty V2 layer."""
    old = layer.layer
    target.name, target.type = _text(old.name), _known_type(layer, "V0")
    target.bottom.extend(map(_text, bottoms))
    target.top.extend(map(_text, layer.top))
    target.blobs.extend(old.blobs)
    _specs(target, old.blobs_lr, old.weight_decay)
    values = {field.name: value for field, value in old.ListFields()}
    if pad is not None:
        values["pad"] = pad
    transform = {new: values[name] for name, new in _V0_TRANSFORM.items() if name in values}
    if transform:
        target.transform_param = FAST["TransformationParameter"](**transform).SerializeToString()
    if "hdf5_output_param" in values and old.type == "hdf5_output":
        target.hdf5_output_param = values["hdf5_output_param"]
    if old.type in _V0_PARAMETERS:
        message, field = _V0_PARAMETERS[old.type]
        settings = FAST[message]()
        for name, new_names in _V0_SETTINGS.items():
            if name in values and old.type in new_names:
                new = settings.DESCRIPTOR.fields_by_name[new_names[old.type]]
                if is_repeated(new):
                    getattr(settings, new.name).append(values[name])
                else:
                    setattr(settings, new.name, values[name])
        if settings.ListFields():
            setattr(target, field, settings.SerializeToString())
