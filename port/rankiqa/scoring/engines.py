"""Engines that compute a network's outputs: PyTorch in float32, which is the reference, and other engines or
precisions.

Shapes: N crops, H x W pixels.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rankiqa.caffe.layers import LRN
from rankiqa.data.atomic_files import replacing
from rankiqa.data.json_text import parse_json
from rankiqa.models import winograd
from rankiqa.models.modes import evaluating, full_float32
from rankiqa.models.network import Network
from rankiqa.models.scorer import Scorer
from rankiqa.models.weights import digest
from rankiqa.scoring.blocked_layout import BlockedLayout, SameBits, can_block
from rankiqa.scoring.dense import DenseScore, dense_forward, dense_head, score_dense
from rankiqa.scoring.exported_engines import OnnxRuntimeEngine, OpenVinoEngine, cache_folder

ENGINES = ("torch", "winograd", "onnxruntime", "openvino")
PRECISIONS = ("fp32", "bf16")
Say = Callable[[str], object]
_LOG = logging.getLogger(__name__)


class Engine(Protocol):
    """An object that computes scores with a network's weights.

    Attributes:
        model: The network.
    """

    model: Scorer

    def scores(self, crops: Tensor) -> Tensor:
        """Start computing the outputs of one forward pass.

        Args:
            crops: (N, 3, crop, crop) float32.

        Returns:
            (N,) float32. A GPU may still be computing it.
        """
        ...

    def dense(self, image: np.ndarray) -> DenseScore:
        """Return the dense scores of an image, uint8 (H, W, 3) RGB."""
        ...


def engine_named(
    name: str, model: Scorer, *, precision: str = "fp32", mode: str = "crops", say: Say = _LOG.info
) -> Engine:
    """Return an engine.

    Args:
        name: One of ENGINES.
        model: From `rankiqa.load`, on the device where torch runs it.
        precision: One of PRECISIONS.
        mode: What the engine will compute, "crops" or "dense".
        say: Called with lines about the progress, and about the agreement with the reference at the first use.

    Returns:
        The engine. Unless it is torch in float32, it compares its first pass with that (`CheckedEngine`).

    Raises:
        ValueError: An unknown name, a precision that the engine does not offer, dense scores with an exported network
            or a network that has none, a missing extra, or a network that the engine cannot run.
    """
    if not isinstance(model, Scorer):
        raise ValueError(f"model: expected a network from rankiqa.load, got {type(model).__name__}")
    if name not in ENGINES:
        raise ValueError(f"engine: expected {', '.join(ENGINES)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {' or '.join(PRECISIONS)}, got {precision!r}")
    if mode == "dense" and name not in ("torch", "winograd"):
        raise ValueError(f"mode dense: expected the engine torch or winograd, got {name}")
    if mode == "dense" and not isinstance(model, Network):
        raise ValueError(f"mode dense: expected vgg16, alexnet or shallow, got {model.arch}")
    if name == "torch":
        if precision == "fp32":
            return TorchEngine(model)
        engine, version = TorchBfloat16Engine(model, say), torch.__version__
    elif name == "winograd":
        if precision != "fp32":
            raise ValueError(f"precision: expected fp32 with winograd (torch and openvino have bf16), got {precision}")
        engine, version = WinogradEngine(model), torch.__version__
    else:
        engine = {"onnxruntime": OnnxRuntimeEngine, "openvino": OpenVinoEngine}[name](model, precision, say)
        version = engine.version
    return CheckedEngine(engine, f"{name} {version} {precision}", say)


class TorchEngine:
    """PyTorch in float32; the outputs have the bits of `rankiqa.score`.

    Args:
        model: The network, on the device where it runs. Its weights must not change any more.
    """

    def __init__(self, model: Scorer):
        self.model = model
        self.device = next(model.parameters()).device
        self.forward = SameBits(model) if can_block(model) else model

    def scores(self, crops: Tensor) -> Tensor:
        """Return the outputs (N,) of crops (N, 3, crop, crop)."""
        with torch.inference_mode(), evaluating(self.model), full_float32():
            return self.forward(crops.to(self.device, non_blocking=True)).squeeze(1)

    def dense(self, image: np.ndarray) -> DenseScore:
        """Return the dense scores of an image, uint8 (H, W, 3) RGB."""
        blocked = self.forward.blocked if isinstance(self.forward, SameBits) else None
        return score_dense(self.model, image, forward=blocked and _dense_by(blocked))


def _dense_by(blocked: BlockedLayout) -> Callable[[Tensor], Tensor]:
    """Return a forward function for `score_dense` that uses the blocked layout."""
    return lambda x: dense_head(blocked.model, blocked.convolutions(x))


class WinogradEngine:
    """PyTorch in float32 with Winograd's algorithm for 3 x 3 convolutions.

    Args:
        model: The network, on the CPU. The engine shares its weights, which must not change any more.

    Raises:
        ValueError: As for `rankiqa.models.winograd.apply_to`.
    """

    def __init__(self, model: Scorer):
        self.model = model
        shared = {id(parameter): parameter for parameter in model.parameters()}  # parameters are shared, not copied
        self.copy = copy.deepcopy(model, shared).eval()
        winograd.apply_to(self.copy, frozen=True)

    def scores(self, crops: Tensor) -> Tensor:
        """Return the outputs (N,) of crops (N, 3, crop, crop)."""
        with torch.inference_mode(), full_float32():
            return self.copy(crops).squeeze(1)

    def dense(self, image: np.ndarray) -> DenseScore:
        """Return the dense scores of an image, uint8 (H, W, 3) RGB."""
        network = self.copy
        assert isinstance(network, Network)  # engine_named checks it
        return score_dense(self.model, image, forward=lambda x: dense_forward(network, x))


class TorchBfloat16Engine:
    """PyTorch in bfloat16, channels last. LRN and the output layer run in float32.

    Args:
        model: The network, which the engine copies.
        say: Called with a line if the CPU has no instructions for bfloat16.
    """

    def __init__(self, model: Scorer, say: Say):
        self.model = model
        self.device = next(model.parameters()).device
        if self.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            say("precision bf16: this CPU has no instructions for bfloat16; fp32 may be faster")
        self.copy = copy.deepcopy(model).eval().to(torch.bfloat16).to(memory_format=torch.channels_last)  # pyright: ignore  torch overloads
        for name in model.outputs:
            head = self.copy.get_submodule(name).float()
            head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
        for module in self.copy.modules():
            if isinstance(module, LRN):
                module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
                module.register_forward_hook(lambda *hooked: hooked[-1].to(torch.bfloat16))

    def scores(self, crops: Tensor) -> Tensor:
        """Return the outputs (N,) of crops (N, 3, crop, crop)."""
        with torch.inference_mode(), full_float32():  # for the output layer
            return self.copy(self._prepared(crops)).squeeze(1).float()

    def dense(self, image: np.ndarray) -> DenseScore:
        """Return the dense scores of an image, uint8 (H, W, 3) RGB."""
        network = self.copy
        assert isinstance(network, Network)  # engine_named checks it
        return score_dense(self.model, image, forward=lambda x: dense_forward(network, self._prepared(x)).float())

    def _prepared(self, x: Tensor) -> Tensor:
        """Return x on the device, in bfloat16 and channels last."""
        x = x.to(self.device, non_blocking=True)  # moved in float32, so that a GPU rounds and not the CPU
        return x.to(torch.bfloat16, memory_format=torch.channels_last)


class CheckedEngine:
    """An engine that compares its first pass with torch in float32, once per weights and engine version.

    Args:
        engine: The engine to check.
        name: Engine, version and precision.
        say: Called with the line that reports the difference.
    """

    def __init__(self, engine: Engine, name: str, say: Say):
        self.engine, self.name, self.say = engine, name, say
        self.model = engine.model
        self.file = cache_folder() / f"{digest(self.model)}.agreement.json"
        self.known = name in self._measured()

    def scores(self, crops: Tensor) -> Tensor:
        """Return the outputs (N,) of crops (N, 3, crop, crop)."""
        scores = self.engine.scores(crops)
        if not self.known:
            self._compare(scores.cpu().numpy(), TorchEngine(self.model).scores(crops).cpu().numpy(), "crops")
        return scores

    def dense(self, image: np.ndarray) -> DenseScore:
        """Return the dense scores of an image, uint8 (H, W, 3) RGB."""
        scores = self.engine.dense(image)
        if not self.known:
            self._compare(scores.map, TorchEngine(self.model).dense(image).map, "places")
        return scores

    def _compare(self, ours: np.ndarray, reference: np.ndarray, what: str) -> None:
        """Report the largest difference and store it in the cache folder."""
        self.known = True
        largest = float(np.abs(ours - reference).max())
        size = float(np.abs(reference).max())
        self.say(
            f"{self.name}: the scores of the first {reference.size} {what} differ from torch's in float32 by "
            f"{largest:.2g} at most ({largest / size if size else 0.0:.1g} of the largest)"
        )
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as temporary:
                temporary.write_text(json.dumps(self._measured() | {self.name: largest}, indent=1) + "\n")
        except OSError:
            pass  # it will be measured again next time

    def _measured(self) -> dict[str, float]:
        """Return the stored differences by name."""
        try:
            return dict(parse_json(self.file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return {}
