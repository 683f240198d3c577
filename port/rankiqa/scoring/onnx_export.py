"""A live network as ONNX, by torch.export; needs the extra `onnx`."""

from __future__ import annotations

import os

import torch

from rankiqa.data.atomic_files import replacing
from rankiqa.data.extras import need
from rankiqa.models.scorer import Scorer
from rankiqa.scoring.modes import evaluating

INPUT, EXAMPLES = "data", 2  # the input's name is Caffe's; a batch of 2: torch.export takes 1 for a constant
OLDEST = "2.5"  # torch.onnx.export has dynamo= and dynamic_shapes=


def export_onnx(model: Scorer, path: str | os.PathLike) -> None:
    """Write a network as ONNX: input "data" (N, 3, crop, crop), output (N, 1) with the output layer's name; any N.

    The input is what the network takes (`model.input_spec`): BGR 0..255 for the original's. Dropout is off.

    Args:
        model: From `rankiqa.load` or `rankiqa.build`; it is left as it was.
        path: The file, .onnx; the weights are inside it.

    Raises:
        ValueError: For another object, or where PyTorch is older than 2.5 or the extra `onnx` is missing.
        OSError: Where the file cannot be written.
    """
    if not isinstance(model, Scorer):
        raise ValueError(f"model: expected a network from rankiqa.load, got {type(model).__name__}")
    if torch.__version__ < OLDEST:
        raise ValueError(f"export_onnx: expected PyTorch {OLDEST} or newer, got {torch.__version__}")
    need("onnx", "onnx", "export_onnx")
    need("onnxscript", "onnx", "export_onnx")
    device = next(model.parameters()).device
    crop = model.input_spec.crop
    crops = torch.zeros(EXAMPLES, 3, crop, crop, device=device)
    with evaluating(model), torch.no_grad():
        program = torch.onnx.export(
            model,
            (crops,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[model.head],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    assert program is not None  # with dynamo=True and no file
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
