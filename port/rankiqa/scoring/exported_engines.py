"""ONNX Runtime and OpenVINO as engines. They run an ONNX file that is exported once for a network's weights.

The file is in the user's cache folder (RANKIQA_CACHE, else XDG_CACHE_HOME/rankiqa, else ~/.cache/rankiqa). Its name
contains the digest of the weights, so other weights never use it.
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
from rankiqa.scoring.image_score import CHUNK
from rankiqa.scoring.torch_to_onnx import INPUT, export_onnx

EXPORT = 2  # increase it when export_onnx changes its output for the same weights


def cache_folder() -> Path:
    """Return the folder of files that can be created again."""
    if own := os.environ.get("RANKIQA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rankiqa")


def exported(model: Scorer, say: Callable[[str], object], *, again: bool = False) -> Path:
    """Return the network as an ONNX file, which is created if it is missing.

    The file is replaced atomically, so several processes may create it at the same time.

    Args:
        model: The network.
        say: Called with a line when the file is created.
        again: Whether to create the file even if it exists.

    Raises:
        ValueError: The extra `onnx` is missing, or the file cannot be written.
    """
    path = cache_folder() / f"{digest(model)}-{EXPORT}.onnx"
    if path.exists() and not again:
        return path
    say(f"exporting the network to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            temporary = Path(folder, "model.onnx")
            export_onnx(model, temporary)
            os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"{path}: expected a file to write (RANKIQA_CACHE names the folder), got: {error}") from None
    return path


def _loaded(model: Scorer, say: Callable[[str], object], load: Callable[[str], Any]) -> Any:
    """Load the exported file into an engine. Export it again if the engine refuses it (after a full disk, for example).

    Raises:
        ValueError: As for `exported`, or the engine refuses the new file, too.
    """
    try:
        return load(str(exported(model, say)))
    except MissingExtra:
        raise
    except Exception:  # the class depends on the engine; the second attempt reports the error
        pass
    path = exported(model, say, again=True)
    try:
        return load(str(path))
    except Exception as error:
        raise ValueError(f"{path}: expected a network that the engine accepts, got: {one_line(error)}") from None


class _Exported:
    """Base class of both engines.

    Args:
        model: The network.
        name: The name of the engine.
    """

    def __init__(self, model: Scorer, name: str):
        self.model, self.name = model, name

    def run(self, crops: np.ndarray) -> np.ndarray:
        """Return the outputs (N, 1) of crops (N, 3, crop, crop)."""
        raise NotImplementedError

    def scores(self, crops: Tensor) -> Tensor:
        """Return the outputs (N,) of crops (N, 3, crop, crop)."""
        try:
            return torch.from_numpy(self.run(crops.numpy()).reshape(len(crops)))
        except Exception as error:  # the class depends on the engine
            raise RuntimeError(f"{self.name}: {error}") from None

    def dense(self, image: np.ndarray) -> DenseScore:
        """Raise ValueError, since the exported file accepts only crops."""
        raise ValueError(f"mode dense: expected the engine torch, got {self.name}")


class OnnxRuntimeEngine(_Exported):
    """ONNX Runtime on the CPU, in float32.

    Args:
        model: The network.
        precision: "fp32".
        say: Called with lines about the progress.

    Raises:
        ValueError: Another precision, or a missing extra.
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
        """Return the outputs (N, 1) of crops (N, 3, crop, crop)."""
        return self.session.run(None, {INPUT: crops})[0]


class OpenVinoEngine(_Exported):
    """OpenVINO on the CPU. Every pass has the same size; smaller passes are padded with zeros.

    Args:
        model: The network.
        precision: "fp32", or "bf16" on a CPU with bfloat16 instructions.
        say: Called with lines about the progress.

    Raises:
        ValueError: bf16 on another CPU, or a missing extra.
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
        """Return the outputs (N, 1) of crops (N, 3, crop, crop), N at most CHUNK."""
        padded = crops
        if len(crops) < CHUNK:
            padded = np.zeros((CHUNK, *crops.shape[1:]), np.float32)
            padded[: len(crops)] = crops
        return self.request.infer([padded])[0][: len(crops)].copy()
