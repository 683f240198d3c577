"""Compare dense scores with scores of crops on the first images of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rankiqa.data.images import ImageError
from rankiqa.metrics import srocc
from rankiqa.scoring.engines import Engine
from rankiqa.scoring.many import ReadImage, Result, ScoreSettings, passes
from rankiqa.scoring.rows import Row

LEAST = 3  # the smallest number of images for which an SROCC is reported


class DenseAgreement:
    """A hook of `score_sources` that also scores the first images by crops.

    Args:
        engine: Computes both scores.
        settings: The settings of the dense scores; their crops and seed are used for the scores of crops.
        images: Number of images to compare; 0: none.
        say: Called with the line that reports the agreement.
    """

    def __init__(self, engine: Engine, settings: ScoreSettings, images: int, say: Callable[[str], object]):
        self.engine, self.settings, self.images, self.say = engine, replace(settings, mode="crops"), images, say
        self.pairs: list[tuple[float, float]] = []

    def __call__(self, image: ReadImage, row: Row, result: Result) -> None:
        """Score the image by crops if it is one of the first, and report after the last of them."""
        if self.images == 0 or "score" not in row:
            return
        try:
            crops = passes(image.pixels, self.settings, self.engine.model)
            values = np.concatenate([self.engine.scores(part).cpu().numpy() for part in crops])
        except ImageError:  # an image as large as a crop has a dense score but no random crop
            return
        self.pairs.append((row["score"], float(values.mean(dtype=np.float64))))
        if len(self.pairs) == self.images:
            self.end()

    def end(self) -> None:
        """Report the agreement, once."""
        self.images = 0
        if not self.pairs:
            return
        dense, crops = np.array(self.pairs).T
        order = ""
        with contextlib.suppress(ValueError):  # undefined if all scores are equal, for example for copies of one image
            order = f"SROCC {srocc(dense, crops):.3f}, " if len(dense) >= LEAST else ""
        self.say(
            f"dense scores compared with {self.settings.crops} crops on the first {len(dense)} images: "
            f"{order}difference "
            f"{np.abs(dense - crops).mean():.3g} on average, {np.abs(dense - crops).max():.3g} at most"
        )
        self.pairs = []
