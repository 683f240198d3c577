"""How far dense scores agree with those of crops, on the first images of a run."""

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

LEAST = 3  # images that an SROCC is worth saying of


class DenseAgreement:
    """A hook of `score_sources` that scores the first images by crops, too.

    Args:
        engine: What computes both.
        settings: Of the dense scores; crops and seed are those of the other ones.
        images: How many; 0: none.
        say: Takes the line that says how far they agree.
    """

    def __init__(self, engine: Engine, settings: ScoreSettings, images: int, say: Callable[[str], object]):
        self.engine, self.settings, self.images, self.say = engine, replace(settings, mode="crops"), images, say
        self.pairs: list[tuple[float, float]] = []

    def __call__(self, image: ReadImage, row: Row, result: Result) -> None:
        """Score an image by crops, if it is one of the first; the line comes after the last of them."""
        if self.images == 0 or "score" not in row:
            return
        try:
            crops = passes(image.pixels, self.settings, self.engine.model)
            values = np.concatenate([self.engine.scores(part).cpu().numpy() for part in crops])
        except ImageError:  # as large as a crop: a dense score, and no random crop
            return
        self.pairs.append((row["score"], float(values.mean(dtype=np.float64))))
        if len(self.pairs) == self.images:
            self.end()

    def end(self) -> None:
        """Say how far they agree, once."""
        self.images = 0
        if not self.pairs:
            return
        dense, crops = np.array(self.pairs).T
        order = ""
        with contextlib.suppress(ValueError):  # no SROCC: the scores are equal, as of copies of one image
            order = f"SROCC {srocc(dense, crops):.3f}, " if len(dense) >= LEAST else ""
        self.say(
            f"dense scores against {self.settings.crops} crops, first {len(dense)} images: {order}difference "
            f"{np.abs(dense - crops).mean():.3g} on average, {np.abs(dense - crops).max():.3g} at most"
        )
        self.pairs = []
