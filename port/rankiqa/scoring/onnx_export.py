"""A live network as ONNX, by torch.export; needs the extra `onnx`.

Shapes: N crops or images, H x W pixels, H' x W' a map of scores.
"""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.caffe.layers import EMPTY, MaxPool2d
from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.models.modes import evaluating
from rankiqa.models.network import FLATTEN, Network
from rankiqa.models.scorer import Scorer

INPUT, EXAMPLES = "data", 2  # the input's name is Caffe's; a batch of 2: torch.export takes 1 for a constant
OLDEST = "2.5"  # torch.onnx.export has dynamo= and dynamic_shapes=
OLDEST_DENSE = "2.6"  # torch.export has Dim.AUTO


class WholeImages(nn.Module):
    """A network as `torch.export` takes it for images of any size: (N, 3, H, W) to maps of scores (N, 1, H', W').

    The numbers are those of `rankiqa.scoring.dense.dense_forward`. Fully-connected layers are convolutions here, and
    pooling rounds up by padding, so that no size has a condition on it. A program of `torch.export` with `Dim.AUTO`
    for N, H and W takes maps of at least two rows and columns; an ONNX file (`export_onnx`) any.

    Args:
        model: VGG-16, AlexNet or Shallow; not copied.

    Raises:
        ValueError: For another network.
    """

    def __init__(self, model: Scorer):
        super().__init__()
        if not isinstance(model, Network):
            raise ValueError(f"dense: expected vgg16, alexnet or shallow, got {type(model).__name__}")
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Maps of scores; both sides of x at least the crop."""
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
    """Write a network as ONNX: input "data" (N, 3, crop, crop), output (N, 1) with the output layer's name; any N.

    The input is what the network takes (`model.input_spec`): BGR 0..255 for the original's. Dropout is off.

    Args:
        model: From `rankiqa.load` or `rankiqa.build`; it is left as it was.
        path: The file, .onnx; the weights are inside it.
        dense: Take whole images instead, (N, 3, H, W) of any size from the crop's, and give maps of dense scores
            (N, 1, H', W'), of which an image's score is the mean.

    Raises:
        ValueError: For another object, dense scores of a network that has none, or where PyTorch is older than 2.5
            (dense: 2.6) or the extra `onnx` is missing.
        OSError: Where the file cannot be written.
    """
    if not isinstance(model, Scorer):
        raise ValueError(f"model: expected a network from rankiqa.load, got {type(model).__name__}")
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
        crop *= 2  # an example whose map has several rows: torch.export takes a size of 1 for a constant
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
    assert program is not None  # with dynamo=True and no file
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
