"""How the network runs while it trains: mode, precision, memory layout, compiler.

Shapes: N crops in a minibatch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rankiqa.models import modes, winograd
from rankiqa.models.network import Network
from rankiqa.models.scorer import Scorer
from rankiqa.training.distributed import Share
from rankiqa.training.recipe import BF16, TF32, Recipe

WIDE = 64  # channels; measured on AMD EPYC with AVX2: VGG-16 and AlexNet are quicker in rows, Shallow (32) is not


class ForwardPass:
    """Scores of crops as a recipe wants them computed.

    Args:
        model: The network, on its device; its memory layout may change, and what computes its convolutions.
        recipe: Precision, layout, compiler, convolutions, batch norm.
        share: The rows of each minibatch that this process computes; None: all.
        seed: Of torch's random numbers in it (dropout, stochastic depth), which are a stream of the training's own.

    Attributes:
        random: {device type: the state of that stream}; snapshots carry it.
    """

    def __init__(self, model: Scorer, recipe: Recipe, seed: int, share: Share | None = None):
        self.model, self.recipe, self.share = model, recipe, share
        if share is not None:
            _check_shared(model, recipe)
        rows = recipe.winograd or not (recipe.channels_last or _suits(model))
        self._layout = torch.contiguous_format if rows else torch.channels_last
        if recipe.winograd:
            winograd.apply_to(model)
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._run: nn.Module = torch.compile(model) if recipe.compile else model  # pyright: ignore
        if share is not None:
            self._run = share.wrap(model)
        self._device = next(model.parameters()).device
        self.random = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if self._device.type == "cuda":
            self.random["cuda"] = torch.Generator(self._device).manual_seed(seed).get_state()

    @property
    def draws_from_torch(self) -> bool:
        """Whether torch's random numbers may matter: the original's networks draw from Caffe's stream."""
        return not isinstance(self.model, Network)

    def train_mode(self) -> None:
        """Dropout on; batch norm as the recipe says."""
        self.model.train()
        if self.recipe.freeze_batch_norm:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def buffers(self) -> dict[str, Tensor]:
        """Copies of what a forward pass changes beside its output: running statistics."""
        if self.recipe.freeze_batch_norm:
            return {}
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def __call__(self, crops: Tensor) -> Tensor:
        """Scores, float32 (N,), of crops (N, 3, crop, crop); of a share's rows, the scores of the whole minibatch."""
        crops = crops.contiguous(memory_format=self._layout)
        with self.float32(), torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == BF16):
            scores = self._run(crops)
        scores = scores.squeeze(1).float()
        return scores if self.share is None else self.share.gather(scores)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """For a forward pass in train mode and its backward pass: float32 as the recipe says, and the own randomness.

        torch's random numbers come from the training's stream inside; the caller's are as before afterwards.
        """
        with self.float32(), self._own_random():
            yield

    def float32(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a GPU multiplies as the recipe says: in full float32, unless that allows TF32."""
        if self._device.type == "cpu":
            return contextlib.nullcontext()
        return modes.float32_products(modes.TF32 if self.recipe.precision == TF32 else modes.IEEE)

    @contextlib.contextmanager
    def _own_random(self) -> Iterator[None]:
        if not self.draws_from_torch:
            yield
            return
        cuda = [self._device] if self._device.type == "cuda" else []  # a snapshot of a GPU's may be gone on with here
        with torch.random.fork_rng(cuda):
            torch.set_rng_state(self.random["cpu"])
            if cuda:
                torch.cuda.set_rng_state(self.random["cuda"], self._device)
            try:
                with self.share.masks() if self.share is not None else contextlib.nullcontext():
                    yield
            finally:
                self.random = {"cpu": torch.get_rng_state()}
                if cuda:
                    self.random["cuda"] = torch.cuda.get_rng_state(self._device)


def _suits(model: Scorer) -> bool:
    """Whether crops go in channels-last memory, weights as they are: oneDNN then rearranges no blob of a layer.

    Without AVX-512 the gradients of a wide layer's weights take up to three times as long that way.
    """
    if not isinstance(model, Network) or not torch.backends.mkldnn.is_available():
        return False
    if next(model.parameters()).device.type != "cpu":
        return False
    widest = max(module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d))
    return widest < WIDE or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _check_shared(model: Scorer, recipe: Recipe) -> None:
    """Raise ValueError for what would be another training with several ranks."""
    if recipe.compile:
        raise ValueError("--compile: expected one process, got several ranks, whose masks it would draw by itself")
    if not recipe.freeze_batch_norm and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ValueError(
            f"{model.arch}: expected --freeze-batch-norm with several ranks: statistics of each rank's own crops would "
            "be another training"
        )
