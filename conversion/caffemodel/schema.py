"""Caffe's protobuf schema, limited to model files and built from one table; nothing is generated or copied.

The schema is built in three variants:

- FAST reads and writes model files. It declares a layer's settings, which it never parses, as `bytes`, and also a
  blob's `data`, so that packed floats are read without a Python object for each. It declares every field that Caffe
  1.0 can write: protobuf writes unknown fields after the known ones, so an undeclared field would change the byte
  order of a file that is written back.
- FULL has every message and enum with its names, for layer settings and prototxts.
- ANY_ENCODING reads blobs whose numbers are not packed.

Table: message -> "name number type" per field; the type ends in * if the field is repeated. Source: the field numbers
of Caffe 1.0. Fields 10 to 13 of a blob (raw_data etc.) are NVIDIA Caffe's.
"""

from collections.abc import Iterable

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from caffemodel.settings_table import ENUMS, SETTINGS

# settings fields of a layer: (name, number in LayerParameter, number in V1LayerParameter or None)
PARAMETERS = [
    ("transform_param", 100, 36), ("loss_param", 101, 42), ("accuracy_param", 102, 27), ("argmax_param", 103, 23),
    ("concat_param", 104, 9), ("contrastive_loss_param", 105, 40), ("convolution_param", 106, 10),
    ("data_param", 107, 11), ("dropout_param", 108, 12), ("dummy_data_param", 109, 26), ("eltwise_param", 110, 24),
    ("exp_param", 111, 41), ("hdf5_data_param", 112, 13), ("hdf5_output_param", 113, 14),
    ("hinge_loss_param", 114, 29), ("image_data_param", 115, 15), ("infogain_loss_param", 116, 16),
    ("inner_product_param", 117, 17), ("lrn_param", 118, 18), ("memory_data_param", 119, 22), ("mvn_param", 120, 34),
    ("pooling_param", 121, 19), ("power_param", 122, 21), ("relu_param", 123, 30), ("sigmoid_param", 124, 38),
    ("softmax_param", 125, 39), ("slice_param", 126, 31), ("tanh_param", 127, 37), ("threshold_param", 128, 25),
    ("window_data_param", 129, 20), ("python_param", 130, None), ("prelu_param", 131, None), ("spp_param", 132, None),
    ("reshape_param", 133, None), ("log_param", 134, None), ("flatten_param", 135, None),
    ("reduction_param", 136, None), ("embed_param", 137, None), ("tile_param", 138, None),
    ("batch_norm_param", 139, None), ("elu_param", 140, None), ("bias_param", 141, None), ("scale_param", 142, None),
    ("input_param", 143, None), ("crop_param", 144, None), ("parameter_param", 145, None),
    ("recurrent_param", 146, None), ("swish_param", 147, None), ("clip_param", 148, None),
]  # fmt: skip

_NAMES = {"argmax": "ArgMax", "hdf5_data": "HDF5Data", "hdf5_output": "HDF5Output", "transform": "Transformation",
          "prelu": "PReLU", "relu": "ReLU", "tanh": "TanH"}  # fmt: skip
_CAPITALS = ("lrn", "mvn", "spp", "elu")


def settings_message(field: str) -> str:
    """Return the message name of a layer's settings field: PoolingParameter for pooling_param."""
    name = field.removesuffix("_param")
    words = name.upper() if name in _CAPITALS else "".join(word.capitalize() for word in name.split("_"))
    return _NAMES.get(name, words) + "Parameter"


_MESSAGES = {
    "BlobShape": "dim 1 int64*packed",
    "BlobProto": "num 1 int32, channels 2 int32, height 3 int32, width 4 int32, data 5 {float}, diff 6 {float}, "
    "shape 7 BlobShape, double_data 8 {double}, double_diff 9 {double}, raw_data_type 10 int32, "
    "raw_diff_type 11 int32, raw_data 12 bytes, raw_diff 13 bytes",
    "ParamSpec": "name 1 string, share_mode 2 DimCheckMode, lr_mult 3 float, decay_mult 4 float",
    "LayerParameter": "name 1 string, type 2 string, bottom 3 string*, top 4 string*, loss_weight 5 float*, "
    "param 6 ParamSpec*, blobs 7 BlobProto*, include 8 NetStateRule*, exclude 9 NetStateRule*, phase 10 Phase, "
    "propagate_down 11 bool*, "
    + ", ".join(f"{name} {number} {settings_message(name)}" for name, number, _ in PARAMETERS),
    "V0LayerParameter": "name 1 string, type 2 string, num_output 3 uint32, biasterm 4 bool, weight_filler 5 "
    "FillerParameter, bias_filler 6 FillerParameter, pad 7 uint32, kernelsize 8 uint32, group 9 uint32, stride 10 "
    "uint32, pool 11 PoolMethod, dropout_ratio 12 float, local_size 13 uint32, alpha 14 float, beta 15 float, "
    "source 16 string, scale 17 float, meanfile 18 string, batchsize 19 uint32, cropsize 20 uint32, mirror 21 bool, "
    "k 22 float, blobs 50 BlobProto*, blobs_lr 51 float*, weight_decay 52 float*, rand_skip 53 uint32, "
    "det_fg_threshold 54 float, det_bg_threshold 55 float, det_fg_fraction 56 float, det_context_pad 58 uint32, "
    "det_crop_mode 59 string, new_num 60 int32, new_channels 61 int32, new_height 62 int32, new_width 63 int32, "
    "shuffle_images 64 bool, concat_dim 65 uint32, hdf5_output_param 1001 HDF5OutputParameter",
    "V1LayerParameter": "layer 1 V0LayerParameter, bottom 2 string*, top 3 string*, name 4 string, type 5 LayerType, "
    "blobs 6 BlobProto*, blobs_lr 7 float*, weight_decay 8 float*, include 32 NetStateRule*, exclude 33 NetStateRule*, "
    "loss_weight 35 float*, param 1001 string*, blob_share_mode 1002 DimCheckMode*, "
    + ", ".join(f"{name} {number} {settings_message(name)}" for name, _, number in PARAMETERS if number),
    "NetParameter": "name 1 string, layers 2 V1LayerParameter*, input 3 string*, input_dim 4 int32*, "
    "force_backward 5 bool, state 6 NetState, debug_info 7 bool, input_shape 8 BlobShape*, layer 100 LayerParameter*",
    "SolverState": "iter 1 int32, learned_net 2 string, history 3 BlobProto*, current_step 4 int32",
}


def _build(package: str, names: Iterable[str], inside: Iterable[str], numbers: dict[str, str], full=False) -> dict:
    """Build message classes.

    Args:
        package: The protobuf package of the classes.
        names: The messages to build.
        inside: The messages that may be the type of a field; fields of other message types become bytes.
        numbers: The declarations of a blob's {float} and {double} fields.
        full: Declare enums; otherwise enum fields are int32.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    table = _MESSAGES | SETTINGS
    for name in names:
        message = file.message_type.add(name=name)
        for entry in table[name].split(", "):
            field_name, number, kind = entry.split()
            kind, repeated, packed = numbers.get(kind, kind).partition("*")
            added = message.field.add(name=field_name, number=int(number))
            added.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in inside:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
            elif kind in ENUMS and full:
                added.type, added.type_name = field.TYPE_ENUM, f".{package}.{name}.{kind}"
                if kind not in [enum.name for enum in message.enum_type]:
                    values = message.enum_type.add(name=kind).value
                    for value in ENUMS[kind].split(", "):
                        values.add(name=value.split()[0], number=int(value.split()[1]))
            else:
                kind = "bytes" if kind in SETTINGS else "int32" if kind in ENUMS else kind
                added.type = getattr(field, f"TYPE_{kind.upper()}")
            if packed:
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in names}


def is_repeated(field) -> bool:
    """Return whether a field of a descriptor is repeated."""
    # protobuf 6.31 added the attribute; older releases only have `label`, which is deprecated
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


_EVERY = (*_MESSAGES, *SETTINGS)
_PACKED = {"{float}": "float*packed", "{double}": "double*packed"}
# the settings messages are built too: upgrading an old file parses and writes them
FAST = _build("rankiqa.caffe", _EVERY, _MESSAGES, {"{float}": "bytes", "{double}": "bytes"})
FULL = _build("rankiqa.full", _EVERY, _EVERY, _PACKED, full=True)
# Accepts numbers in any encoding and packs them when written. It needs a Python object per number, so it is used only
# for the rare file that is not packed.
ANY_ENCODING = _build("rankiqa.any", ("BlobShape", "BlobProto"), ("BlobShape",), _PACKED)
