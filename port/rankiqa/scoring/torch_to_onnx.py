"""Export a network to ONNX by torch.export. Needs the extra `onnx`.

Shapes: N crops or images, H x W pixels, H' x W' a map of scores.
"""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.caffe.layers import EMPTY, MaxPool2d
from rankiqa.data.atomic_files import check_target, replacing
from rankiqa.data.extras import need
from rankiqa.models.modes import evaluating
from rankiqa.models.network import FLATTEN, Network
from rankiqa.models.scorer import Scorer
from rankiqa.models.weights import describe

INPUT, EXAMPLES = "data", 2  # Caffe's name; a batch of 2, since torch.export treats a size of 1 as constant
OLDEST = "2.5"  # the first with dynamo= and dynamic_shapes= in torch.onnx.export
OLDEST_DENSE = "2.6"  # the first with Dim.AUTO in torch.export


class WholeImages(nn.Module):
    """A network that `torch.export` accepts for images of any size: (N, 3, H, W) to maps of scores (N, 1, H', W').

    The values are those of `rankiqa.scoring.dense.dense_forward`. Fully-connected layers are convolutions here, and
    padding replaces the rounding up of pooled sizes, so that no conditions on sizes arise. A program of `torch.export`
    with `Dim.AUTO` for N, H and W accepts maps of at least two rows and columns; an ONNX file (`export_onnx`) accepts
    any.

    Args:
        model: VGG-16, AlexNet or Shallow. It is not copied.

    Raises:
        ValueError: For another network.
    """

    def __init__(self, model: Scorer):
        super().__init__()
        if not isinstance(model, Network):
            raise ValueError(f"dense: expected vgg16, alexnet or shallow, got {type(model).__name__}")
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of scores; both sides of x must be at least the crop."""
        side = self.model.flatten_side
        for name in self.model.steps:
            layer = self.model.get_submodule(name)
            if isinstance(layer, MaxPool2d):
                down, across = (stride - 1 for stride in layer.stride)
                x = F.max_pool2d(F.pad(x, (0, across, 0, down), value=EMPTY), layer.kernel, layer.stride)
            elif isinstance(layer, nn.Linear):
                x = F.conv2d(x, layer.weight.unflatten(1, (-1, side, side)), layer.bias)
                side = 1
            elif name != FLATTEN:
                x = layer(x)
        return x


def export_onnx(model: Scorer, path: str | os.PathLike, *, dense: bool = False) -> None:
    """Write a network as ONNX: input "data" (N, 3, crop, crop), output (N, 1) named after the output layer; any N.

    The input is the network's own (`model.input_spec`): BGR 0..255 for the original's networks. Dropout is off. Like a
    weights file, the file's metadata names the network and states what its score means.

    Args:
        model: From `rankiqa.load` or `rankiqa.build`, with float32 values. It is not changed.
        path: The file, .onnx, which includes the weights.
        dense: Export for whole images instead: input (N, 3, H, W) of any size from the crop up, output maps of dense
            scores (N, 1, H', W'). The score of an image is the mean of its map.

    Raises:
        ValueError: For another object, values of another dtype or on the device meta, dense scores of a network that
            has none, a path that cannot be a file, PyTorch older than 2.5 (dense: 2.6), or a missing extra `onnx`.
        OSError: The file cannot be written.
    """
    if not isinstance(model, Scorer):
        raise ValueError(f"model: expected a network from rankiqa.load, got {type(model).__name__}")
    first = next(model.parameters())
    if first.dtype != torch.float32 or first.is_meta:
        raise ValueError(f"model: expected float32 values, got {first.dtype} on {first.device}")
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path: expected a string or a path, got {type(path).__name__}")
    check_target(path)  # before the work
    oldest = OLDEST_DENSE if dense else OLDEST
    if torch.__version__ < oldest:
        raise ValueError(f"export_onnx: expected PyTorch {oldest} or newer, got {torch.__version__}")
    exported = WholeImages(model) if dense else model
    need("onnx", "onnx", "export_onnx")
    need("onnxscript", "onnx", "export_onnx")
    device = next(model.parameters()).device
    crop = model.input_spec.crop
    shapes: dict[int, object] = {0: torch.export.Dim("N")}
    if dense:
        crop *= 2  # the map of the example must have several rows: torch.export treats a size of 1 as constant
        shapes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    crops = torch.zeros(EXAMPLES, 3, crop, crop, device=device)
    with evaluating(exported), torch.no_grad():
        program = torch.onnx.export(
            exported,
            (crops,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[model.head],
            dynamic_shapes=(shapes,),
            verbose=False,
        )
    assert program is not None  # guaranteed by dynamo=True without a file
    program.model.metadata_props.update(describe(model))
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
