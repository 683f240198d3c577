"""The forward pass in training: mode, precision, memory layout and compilation.

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

# Channels. On AMD EPYC with AVX2, VGG-16 and AlexNet are faster in contiguous layout, and Shallow (32) is not
WIDE = 64


class ForwardPass:
    """A network's forward pass, computed according to a recipe.

    Args:
        model: The network, on its device. Its memory layout and its implementation of convolutions may be changed.
        recipe: Precision, layout, compilation, convolutions, batch norm.
        share: The rows of each minibatch that this process computes, or None for all.
        seed: The seed of a separate stream of torch's random numbers for dropout and stochastic depth.

    Attributes:
        random: {device type: the state of that stream}; part of snapshots.
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
        """Whether the pass may use torch's random numbers; the original's networks draw from Caffe's stream."""
        return not isinstance(self.model, Network)

    def train_mode(self) -> None:
        """Put the network into train mode, with batch norm frozen if the recipe says so."""
        self.model.train()
        if self.recipe.freeze_batch_norm:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def buffers(self) -> dict[str, Tensor]:
        """Return copies of the buffers that a forward pass changes: running statistics."""
        if self.recipe.freeze_batch_norm:
            return {}
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def __call__(self, crops: Tensor) -> Tensor:
        """Return the scores, float32 (N,), of crops (N, 3, crop, crop); with a share, those of all ranks."""
        crops = crops.contiguous(memory_format=self._layout)
        with self.float32(), torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == BF16):
            scores = self._run(crops)
        scores = scores.squeeze(1).float()
        return scores if self.share is None else self.share.gather(scores)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Set up a forward pass in train mode and its backward pass: the recipe's precision and the separate stream.

        Inside, torch's random numbers come from the separate stream. Afterwards, the caller's state is restored.
        """
        with self.float32(), self._own_random():
            yield

    def float32(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a GPU multiplies in full float32, or with TF32 if the recipe allows it."""
        if self._device.type == "cpu":
            return contextlib.nullcontext()
        return modes.float32_products(modes.TF32 if self.recipe.precision == TF32 else modes.IEEE)

    @contextlib.contextmanager
    def _own_random(self) -> Iterator[None]:
        if not self.draws_from_torch:
            yield
            return
        cuda = [self._device] if self._device.type == "cuda" else []  # `random` may come from a GPU's snapshot
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
    """Return whether crops should be channels-last while weights are not, so that oneDNN need not reorder blobs.

    Without AVX-512, this makes the weight gradients of a wide layer up to three times slower.
    """
    if not isinstance(model, Network) or not torch.backends.mkldnn.is_available():
        return False
    if next(model.parameters()).device.type != "cpu":
        return False
    widest = max(module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d))
    return widest < WIDE or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _check_shared(model: Scorer, recipe: Recipe) -> None:
    """Raise ValueError if several ranks would not train the same network as one process."""
    if recipe.compile:
        raise ValueError("--compile: expected one process, got several ranks: compiled code draws its own masks")
    if not recipe.freeze_batch_norm and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ValueError(
            f"{model.arch}: expected --freeze-batch-norm with several ranks: each rank would normalise by the "
            "statistics of its own crops"
        )
