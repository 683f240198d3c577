"""A layer's settings as Caffe interprets them, with defaults filled in and one representation of sizes."""

from __future__ import annotations

from typing import Any

from google.protobuf import unknown_fields
from google.protobuf.message import DecodeError, Message

from caffemodel import CaffemodelError
from caffemodel.schema import FULL, settings_message

# type -> the field with its settings
FIELDS = {
    "Convolution": "convolution_param",
    "Pooling": "pooling_param",
    "LRN": "lrn_param",
    "InnerProduct": "inner_product_param",
    "ReLU": "relu_param",
}
# fields of NVIDIA Caffe that only choose between algorithms with the same result
_INERT = {"Convolution": {19, 20}}


def read_settings(layer, field: str) -> Any:
    """Return a layer's settings message; raise CaffemodelError if its bytes are damaged."""
    message = FULL[settings_message(field)]()
    try:
        message.ParseFromString(getattr(layer, field))
    except DecodeError:
        raise CaffemodelError(f"layer {layer.name!r}: expected its {field}, got damaged bytes") from None
    return message


def settings_of(layer) -> dict[str, Any]:
    """Return all settings of a V2 layer (FAST schema) that change what it computes; {} for types without settings."""
    if layer.type not in FIELDS:
        return {}
    message = read_settings(layer, FIELDS[layer.type])
    settings = _OF_TYPE[layer.type](message)
    foreign = {entry.field_number for entry in unknown_fields.UnknownFieldSet(message)} - _INERT.get(layer.type, set())
    if foreign:
        settings["fields that Caffe 1.0 does not know"] = sorted(foreign)
    return settings


def _value(message: Message, name: str, default):
    """Return a field's value or Caffe's default; for an enum, its name."""
    value = getattr(message, name) if message.HasField(name) else default
    field = message.DESCRIPTOR.fields_by_name[name]
    return field.enum_type.values_by_number[value].name if field.enum_type else value


def _pair(message: Message, name: str, default: int, size: str | None = None) -> Any:
    """Return (height, width) of a setting that is written once, per axis, or as _h and _w; a text if both occur."""
    field = size or name
    values = list(getattr(message, field))
    if message.DESCRIPTOR.fields_by_name.get(f"{name}_h") is not None:
        parts = [message.HasField(f"{name}_h"), message.HasField(f"{name}_w")]
        if any(parts):
            pair = (getattr(message, f"{name}_h"), getattr(message, f"{name}_w"))
            return f"both {values} and {pair}" if values else pair
    # CAFFE: a single value applies to both axes (base_conv_layer.cpp)
    return (default, default) if not values else (values[0],) * 2 if len(values) == 1 else tuple(values)


def _convolution(message: Message) -> dict[str, Any]:
    """Return the settings of a convolution."""
    return {
        "num_output": _value(message, "num_output", 0),
        "kernel": _pair(message, "kernel", 0, "kernel_size"),
        "stride": _pair(message, "stride", 1),
        "pad": _pair(message, "pad", 0),
        "dilation": _pair(message, "dilation", 1),
        "group": _value(message, "group", 1),
        "bias_term": _value(message, "bias_term", True),
        "axis": _value(message, "axis", 1),
        "force_nd_im2col": _value(message, "force_nd_im2col", False),
    }


def _pooling(message: Message) -> dict[str, Any]:
    """Return the settings of a pooling layer."""

    def pair(name: str, default: int, size: str | None = None) -> Any:
        """Return (height, width) of a setting that is written once or as _h and _w; a text if both occur."""
        plain = getattr(message, size or name) if message.HasField(size or name) else default
        split = (getattr(message, f"{name}_h"), getattr(message, f"{name}_w"))
        # CAFFE: the height's field decides which of the two is read (pooling_layer.cpp)
        if message.HasField(f"{name}_h") or message.HasField(f"{name}_w"):
            return f"both {plain} and {split}" if message.HasField(size or name) else split
        return (plain, plain)

    return {
        "pool": _value(message, "pool", 0),
        "kernel": pair("kernel", 0, "kernel_size"),
        "stride": pair("stride", 1),
        "pad": pair("pad", 0),
        "global_pooling": _value(message, "global_pooling", False),
        "round_mode": _value(message, "round_mode", 0),
    }


def _lrn(message: Message) -> dict[str, Any]:
    """Return the settings of a local response normalisation."""
    return {
        "local_size": _value(message, "local_size", 5),
        "alpha": _value(message, "alpha", 1.0),
        "beta": _value(message, "beta", 0.75),
        "k": _value(message, "k", 1.0),
        "norm_region": _value(message, "norm_region", 0),
    }


def _inner_product(message: Message) -> dict[str, Any]:
    """Return the settings of a fully-connected layer."""
    return {
        "num_output": _value(message, "num_output", 0),
        "bias_term": _value(message, "bias_term", True),
        "axis": _value(message, "axis", 1),
        "transpose": _value(message, "transpose", False),
    }


def _relu(message: Message) -> dict[str, Any]:
    """Return the settings of a ReLU."""
    return {"negative_slope": _value(message, "negative_slope", 0.0)}


_OF_TYPE = {"Convolution": _convolution, "Pooling": _pooling, "LRN": _lrn, "InnerProduct": _inner_product,
            "ReLU": _relu}  # fmt: skip
