"""How the network runs while it trains: mode, precision, memory layout, compiler.

Shapes: N crops in a minibatch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rankiqa.models.network import Network
from rankiqa.models.scorer import Scorer
from rankiqa.training.recipe import BF16, Recipe


class ForwardPass:
    """Scores of crops as a recipe wants them computed.

    Args:
        model: The network, on its device; its memory layout may change.
        recipe: Precision, layout, compiler, batch norm.
        seed: Of torch's random numbers in it (dropout, stochastic depth), which are a stream of the training's own.

    Attributes:
        random: {device type: the state of that stream}; snapshots carry it.
    """

    def __init__(self, model: Scorer, recipe: Recipe, seed: int):
        self.model, self.recipe = model, recipe
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._run: nn.Module = torch.compile(model) if recipe.compile else model  # pyright: ignore
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
        """Scores, float32 (N,), of crops (N, 3, crop, crop)."""
        crops = crops.contiguous(memory_format=self._layout)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == BF16):
            scores = self._run(crops)
        return scores.squeeze(1).float()

    @contextlib.contextmanager
    def own_random(self) -> Iterator[None]:
        """Inside, torch's random numbers come from the training's stream; the caller's are as before afterwards."""
        if not self.draws_from_torch:
            yield
            return
        cuda = [self._device] if "cuda" in self.random else []
        with torch.random.fork_rng(cuda):
            torch.set_rng_state(self.random["cpu"])
            if cuda:
                torch.cuda.set_rng_state(self.random["cuda"], self._device)
            try:
                yield
            finally:
                self.random = {"cpu": torch.get_rng_state()}
                if cuda:
                    self.random["cuda"] = torch.cuda.get_rng_state(self._device)
