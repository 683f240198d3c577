"""Export a recognised model as ONNX, node by node from the architecture table, with Caffe's layer names.

`rankiqa.export_onnx` lets torch trace any network and also exports whole-image networks. This export needs neither
torch nor onnxscript, takes a second, and uses an opset that older runtimes read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rankiqa.caffe.pooling import pooled_size
from rankiqa.data.extras import need
from rankiqa.models.architectures import Conv, Norm, Pool
from rankiqa_convert.converted_weights import describe
from rankiqa_convert.recognise import Match

OPSET = 17


def export(match: Match, target: Path) -> None:
    """Write a model as ONNX.

    Its input is "data" (N, 3, crop, crop), float32, BGR, 0..255. Its output (N, 1) has the name of Caffe's output
    layer. Like a weights file, its metadata names the network and states what its score means.

    Args:
        match: The model.
        target: The .onnx to write.

    Raises:
        MissingExtra: If the onnx package is missing (a ValueError).
    """
    onnx = need("onnx", "onnx", "--onnx")
    helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

    nodes, weights, fc = [], [], iter(match.fc)
    shapes = match.arch.parameter_shapes(match.fc)
    blob, side = "data", match.arch.crop

    def node(kind, name, *inputs, **attributes):
        """Append a node that reads the last one."""
        nonlocal blob
        nodes.append(helper.make_node(kind, [blob, *inputs], [name], name=name, **attributes))
        blob = name

    def parameters(name):
        """Store a layer's weight and bias and return their names."""
        names = [f"{name}.weight", f"{name}.bias"]
        for key, values, shape in zip(names, match.blobs[name], shapes[name], strict=True):
            weights.append(numpy_helper.from_array(np.ascontiguousarray(values.float32().reshape(shape)), key))
        return names

    for layer in match.arch.layers:
        if isinstance(layer, Conv):
            geometry = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.pad] * 4}
            node("Conv", layer.name, *parameters(layer.name), group=layer.group, **geometry)
            if layer.relu:
                node("Relu", "relu" + layer.name.removeprefix("conv"))
            side = (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
        elif isinstance(layer, Pool):
            out = pooled_size(side, layer.kernel, layer.stride)
            # CAFFE: rounds up (pooling_layer.cpp). Written as padding at the end, because runtimes differ on ceil_mode.
            end = max(0, (out - 1) * layer.stride + layer.kernel - side)
            pads = [0, 0, end, end]
            node("MaxPool", layer.name, kernel_shape=[layer.kernel] * 2, strides=[layer.stride] * 2, pads=pads)
            side = out
        elif isinstance(layer, Norm):
            node("LRN", layer.name, size=layer.local_size, alpha=layer.alpha, beta=layer.beta, bias=1.0)
        else:
            name = next(fc)
            if side:
                node("Flatten", "flatten", axis=1)
                side = 0
            node("Gemm", name, *parameters(name), transB=1)
            if layer.hidden:
                node("Relu", "relu" + layer.name.removeprefix("fc"))  # dropout has no effect on scores
    crop = match.arch.crop
    graph = helper.make_graph(
        nodes,
        f"rankiqa-{match.arch.name}",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, crop, crop])],
        [helper.make_tensor_value_info(blob, TensorProto.FLOAT, ["N", 1])],
        weights,
    )
    model = helper.make_model(graph, producer_name="rankiqa", opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # the version of opset 17, so that older runtimes can read the file
    helper.set_model_props(model, describe(match))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
