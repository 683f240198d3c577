"""The expected settings of each layer of the three networks: `rankiqa.models.architectures` in Caffe's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffemodel import Blob, Net
from caffemodel.message import fill, from_message
from caffemodel.schema import FAST, FULL
from caffemodel.wire import BlobStore
from rankiqa.models.architectures import Architecture, Conv, Norm, Pool


@dataclass(frozen=True)
class Step:
    """One layer between the image and the score.

    Attributes:
        name: Its name. For a layer without weights this is upstream's name, and a file may use any other.
        type: Caffe's type.
        settings: All settings that change what it computes; pairs are (height, width).
    """

    name: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether the layer has parameters."""
        return self.type in ("Convolution", "InnerProduct")

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


def expected_steps(architecture: Architecture, fc: Sequence[str]) -> list[Step]:
    """Return the layers of a network in order, without dropout, which has no effect on scores."""
    steps, names = [], iter(fc)
    for layer in architecture.layers:
        if isinstance(layer, Conv):
            pairs = {"kernel": layer.kernel, "stride": layer.stride, "pad": layer.pad, "dilation": 1}
            settings = {"num_output": layer.out_channels, **{key: (n, n) for key, n in pairs.items()}}
            settings.update(group=layer.group, bias_term=True, axis=1, force_nd_im2col=False)
            steps.append(Step(layer.name, "Convolution", settings))
            if layer.relu:
                steps.append(Step("relu" + layer.name.removeprefix("conv"), "ReLU", {"negative_slope": 0.0}))
        elif isinstance(layer, Pool):
            settings = {"pool": "MAX", "kernel": (layer.kernel,) * 2, "stride": (layer.stride,) * 2, "pad": (0, 0)}
            settings.update(global_pooling=False, round_mode="CEIL")
            steps.append(Step(layer.name, "Pooling", settings))
        elif isinstance(layer, Norm):
            settings = {"local_size": layer.local_size, "alpha": float(np.float32(layer.alpha))}
            settings.update(beta=float(np.float32(layer.beta)), k=1.0, norm_region="ACROSS_CHANNELS")
            steps.append(Step(layer.name, "LRN", settings))
        else:
            settings = {"num_output": layer.out_features, "bias_term": True, "axis": 1, "transpose": False}
            steps.append(Step(next(names), "InnerProduct", settings))
            if layer.hidden:
                steps.append(Step("relu" + layer.name.removeprefix("fc"), "ReLU", {"negative_slope": 0.0}))
    return steps


def deploy_net(name: str, architecture: Architecture, fc: Sequence[str], blobs: Mapping[str, Sequence[Blob]]) -> Net:
    """Return a V2 net of the whole network, like upstream's deploy files, so that the file states its structure.

    Args:
        name: The net's name.
        architecture: The network.
        fc: The names of the fully-connected layers.
        blobs: {layer: (weight, bias)}.
    """
    message, store = FAST["NetParameter"](name=name), BlobStore()
    crop = architecture.crop
    shape = FULL["InputParameter"](shape=[FULL["BlobShape"](dim=[1, 3, crop, crop])])
    message.layer.add(name="data", type="Input", top=["data"], input_param=shape.SerializeToString())
    hidden = {"relu" + layer.name.removeprefix("fc") for layer in architecture.linear_layers if layer.hidden}
    bottom = "data"
    for step in expected_steps(architecture, fc):
        in_place = step.type == "ReLU"
        layer = message.layer.add(name=step.name, type=step.type, bottom=[bottom])
        layer.top.append(bottom if in_place else step.name)
        _write_settings(layer, step)
        for blob in blobs.get(step.name, ()):
            fill(layer.blobs.add(), blob, store)
        if step.name in hidden:
            ratio = FULL["DropoutParameter"](dropout_ratio=0.5).SerializeToString()
            number = step.name.removeprefix("relu")
            message.layer.add(name=f"drop{number}", type="Dropout", bottom=[bottom], top=[bottom], dropout_param=ratio)
        bottom = bottom if in_place else step.name
    return from_message(message, store, name)


def _write_settings(layer, step: Step) -> None:
    """Write a step's settings that differ from Caffe's defaults into a layer."""
    values = step.settings
    if step.type == "Convolution":
        settings = FULL["ConvolutionParameter"](num_output=values["num_output"], kernel_size=values["kernel"][:1])
        for key, default in (("pad", 0), ("stride", 1)):
            if values[key][0] != default:
                getattr(settings, key).append(values[key][0])
        if values["group"] != 1:
            settings.group = values["group"]
        layer.convolution_param = settings.SerializeToString()
    elif step.type == "Pooling":
        settings = FULL["PoolingParameter"](pool=0, kernel_size=values["kernel"][0], stride=values["stride"][0])
        layer.pooling_param = settings.SerializeToString()
    elif step.type == "LRN":
        settings = FULL["LRNParameter"](**{key: values[key] for key in ("local_size", "alpha", "beta")})
        layer.lrn_param = settings.SerializeToString()
    elif step.type == "InnerProduct":
        layer.inner_product_param = FULL["InnerProductParameter"](num_output=values["num_output"]).SerializeToString()
