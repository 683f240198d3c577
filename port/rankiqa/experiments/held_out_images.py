"""Scores and ranking loss of held-out images, always on the same crops.

Shapes: D distortions, L levels, B photographs; a list has D * L * B lines in this order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rankiqa.data.image_lists import ImageList
from rankiqa.data.images import read_image
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.minibatches import Crops
from rankiqa.experiments.budgets import LEVELS, TYPES
from rankiqa.losses import pair_ranking_loss
from rankiqa.models.modes import evaluating, full_float32
from rankiqa.models.scorer import Scorer

CHUNK = 24  # crops per forward pass


class HeldOut:
    """One fixed crop of each image of a list that is never trained on.

    Args:
        images: The list, with every level of each distortion.
        seed: The seed of the crop positions.
        margin: The margin of the ranking loss.
    """

    def __init__(self, images: ImageList, *, seed: int, margin: float = 10.0):
        self.images, self.seed, self.margin = images, seed, margin
        self.photographs = len(images.paths) // (len(TYPES) * LEVELS)
        self._crops: dict[int, torch.Tensor] = {}
        self._spec: InputSpec | None = None  # the input format of the cached crops

    @property
    def types(self) -> list[str]:
        """Return the distortion type of each line."""
        return [kind for kind in TYPES for _ in range(LEVELS * self.photographs)]

    @property
    def names(self) -> list[str]:
        """Return the photograph of each line."""
        return [Path(path).stem for path in self.images.paths]

    def scores(self, model: Scorer) -> np.ndarray:
        """Return the network's output for each line's crop, float32 (D * L * B,)."""
        crops = Crops(self.images, spec=model.input_spec, seed=self.seed)
        if model.input_spec != self._spec:  # the new network needs another size, channel order or value range
            self._spec, self._crops = model.input_spec, {}
        device, parts = next(model.parameters()).device, []
        with torch.inference_mode(), evaluating(model), full_float32():
            for start in range(0, len(self.images.paths), CHUNK):
                lines = range(start, min(start + CHUNK, len(self.images.paths)))
                parts.append(model(torch.stack([self._crop(crops, line) for line in lines]).to(device)).squeeze(1))
        return torch.cat(parts).cpu().numpy()

    def offsets(self, spec: InputSpec) -> np.ndarray:
        """Return top and left of each line's crop, int (D * L * B, 1, 2)."""
        crops = Crops(self.images, spec=spec, seed=self.seed)
        return np.array([
            crops.offsets(line, *read_image(path).shape[:2]) for line, path in enumerate(self.images.paths)
        ])  # fmt: skip

    def _crop(self, crops: Crops, line: int) -> torch.Tensor:
        """Return the crop of a line, from the cache if possible."""
        if len(self._crops) < 1000:  # about 600 MB
            return self._crops.setdefault(line, self._crops[line] if line in self._crops else crops[line, line][0])
        return self._crops[line] if line in self._crops else crops[line, line][0]

    def losses(self, scores: np.ndarray) -> np.ndarray:
        """Return the ranking loss of each distortion of each photograph, float64 (D, B): the mean over its pairs of
        levels."""
        table = torch.from_numpy(scores.astype(np.float64)).view(len(TYPES), LEVELS, self.photographs)
        pairs = LEVELS * (LEVELS - 1) / 2
        return np.array([
            [float(pair_ranking_loss(table[d, :, b].contiguous(), distortions=1, levels=LEVELS, images=1,
                                     margin=self.margin)) * LEVELS / pairs
             for b in range(self.photographs)]
            for d in range(len(TYPES))
        ])  # fmt: skip
