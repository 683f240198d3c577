"""ONNX Runtime and OpenVINO as engines, by way of an ONNX file that is made once for a network's weights.

The file is in the user's cache folder (RANKIQA_CACHE, else XDG_CACHE_HOME/rankiqa, else ~/.cache/rankiqa) under the
weights' digest, so that other weights never meet it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankiqa.data.extras import MissingExtra, need
from rankiqa.data.images import one_line
from rankiqa.models.scorer import Scorer
from rankiqa.models.weights import digest
from rankiqa.scoring.dense import DenseScore
from rankiqa.scoring.onnx_export import INPUT, export_onnx
from rankiqa.scoring.score import CHUNK

EXPORT = 1  # raised when export_onnx writes something else for the same weights


def cache_folder() -> Path:
    """Where files are kept that can be made again."""
    if own := os.environ.get("RANKIQA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rankiqa")


def exported(model: Scorer, say: Callable[[str], object], *, again: bool = False) -> Path:
    """The network as an ONNX file, made where it does not exist yet: whole or not at all, by any number of processes.

    Args:
        model: The network.
        say: Takes a line when the file is made.
        again: Whether it is made in any case.

    Raises:
        ValueError: Where the extra `onnx` is missing, or the file cannot be written.
    """
    path = cache_folder() / f"{digest(model)}-{EXPORT}.onnx"
    if path.exists() and not again:
        return path
    say(f"exporting the network to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            made = Path(folder, "model.onnx")
            export_onnx(model, made)
            os.replace(made, path)
    except OSError as error:
        raise ValueError(f"{path}: expected a file to write (RANKIQA_CACHE names the folder), got: {error}") from None
    return path


def _loaded(model: Scorer, say: Callable[[str], object], load: Callable[[str], Any]) -> Any:
    """What an engine makes of the exported file; a file that it does not take (a disk was full) is made again.

    Raises:
        ValueError: As `exported`, or where the engine does not take the new file either.
    """
    try:
        return load(str(exported(model, say)))
    except MissingExtra:
        raise
    except Exception:  # each engine has its own; the second one says what is wrong
        pass
    path = exported(model, say, again=True)
    try:
        return load(str(path))
    except Exception as error:
        raise ValueError(f"{path}: expected a network that the engine takes, got: {one_line(error)}") from None


class _Exported:
    """What both engines share.

    Args:
        model: The network.
        name: Of the engine.
    """

    at_once: int | None = None

    def __init__(self, model: Scorer, name: str):
        self.model, self.name = model, name

    def run(self, crops: np.ndarray) -> np.ndarray:
        """Outputs (N, 1) of crops (N, 3, crop, crop)."""
        raise NotImplementedError

    def scores(self, crops: Tensor) -> Tensor:
        """Outputs (N,) for crops (N, 3, crop, crop)."""
        try:
            return torch.from_numpy(self.run(crops.numpy()).reshape(len(crops)))
        except Exception as error:  # each engine has its own
            raise RuntimeError(f"{self.name}: {error}") from None

    def dense(self, image: np.ndarray) -> DenseScore:
        """Not there: the exported file takes crops."""
        raise ValueError(f"mode dense: expected the engine torch, got {self.name}")


class OnnxRuntimeEngine(_Exported):
    """ONNX Runtime on the CPU, in float32.

    Args:
        model: The network.
        precision: "fp32".
        say: Takes lines about what is done.

    Raises:
        ValueError: For another precision, or a missing extra.
    """

    def __init__(self, model: Scorer, precision: str, say: Callable[[str], object]):
        super().__init__(model, "onnxruntime")
        if precision != "fp32":
            raise ValueError(
                f"precision: expected fp32 with onnxruntime (torch and openvino have bf16), got {precision}"
            )
        runtime = need("onnxruntime", "onnxruntime", "engine onnxruntime")
        self.version = runtime.__version__
        providers = ["CPUExecutionProvider"]
        self.session = _loaded(model, say, lambda file: runtime.InferenceSession(file, providers=providers))

    def run(self, crops: np.ndarray) -> np.ndarray:
        """Outputs (N, 1) of crops (N, 3, crop, crop)."""
        return self.session.run(None, {INPUT: crops})[0]


class OpenVinoEngine(_Exported):
    """OpenVINO on the CPU. Every pass has the same size, filled up with zeros.

    Args:
        model: The network.
        precision: "fp32", or "bf16" on a CPU with instructions for it.
        say: Takes lines about what is done.

    Raises:
        ValueError: For bf16 on another CPU, or a missing extra.
    """

    def __init__(self, model: Scorer, precision: str, say: Callable[[str], object]):
        super().__init__(model, "openvino")
        openvino = need("openvino", "openvino", "engine openvino")
        self.version = openvino.__version__.partition("-")[0]
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("precision: expected fp32 with openvino, since this CPU has no bfloat16, got bf16")
        network = _loaded(model, say, core.read_model)
        crop = model.input_spec.crop
        network.reshape([CHUNK, 3, crop, crop])
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision)}
        self.compiled = core.compile_model(network, "CPU", hints)
        self.request = self.compiled.create_infer_request()

    def run(self, crops: np.ndarray) -> np.ndarray:
        """Outputs (N, 1) of crops (N, 3, crop, crop), N at most CHUNK."""
        full = crops
        if len(crops) < CHUNK:
            full = np.zeros((CHUNK, *crops.shape[1:]), np.float32)
            full[: len(crops)] = crops
        return self.request.infer([full])[0][: len(crops)].copy()
