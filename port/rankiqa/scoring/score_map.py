"""Draw dense scores as colours over the image, to show where quality is lost.

Shapes: H x W the image, H' x W' the map of scores.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.images import ImageError, check_image
from rankiqa.scoring.dense import DenseScore
from rankiqa.scoring.engines import Engine
from rankiqa.scoring.many import ReadImage, Result
from rankiqa.scoring.rows import Row

COLOURS = cv2.COLORMAP_INFERNO  # worse is brighter
SHARE = 0.6  # weight of the colour; the image in grey has the rest
REMAPPED = 16384  # rows and columns per call: cv2.remap accepts sizes below 32,767 only
BAR, MARGIN = 16, 8  # width of the scale bar and the space around it, in pixels


def draw(
    image: np.ndarray,
    scores: DenseScore,
    lower_is_better: bool | None,
    score_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draw the image in grey under the colours of its scores, with a scale bar at the right.

    Args:
        image: uint8 (H, W, 3), RGB.
        scores: The dense scores of the image. Each colours the centre of its square; between the centres, colours are
            interpolated linearly.
        lower_is_better: Whether a lower score means better quality; None (not known): higher scores are bright.
        score_range: The scores at the ends of the scale, (lowest, highest); None: the range of this image.

    Returns:
        uint8 (H, W + the scale's width, 3), RGB.

    Raises:
        ValueError: The image is not uint8 (H, W, 3), or its size does not fit the scores.
    """
    check_image(image)
    height, width = image.shape[:2]
    expected = tuple((side - scores.crop) // scores.stride + 1 for side in (height, width))
    if scores.map.shape != expected:
        raise ValueError(f"scores: expected a map {expected} of an image {height} x {width}, got {scores.map.shape}")
    low, high = score_range or (float(scores.map.min()), float(scores.map.max()))
    rows, columns = (
        np.clip((np.arange(size, dtype=np.float32) + 0.5 - scores.crop / 2) / scores.stride, 0, count - 1)
        for size, count in zip((height, width), scores.map.shape, strict=True)
    )
    full = _spread(scores.map, rows.astype(np.float32), columns.astype(np.float32))
    colours = _colours((full - low) / (high - low or 1.0), lower_is_better)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.hstack([cv2.addWeighted(colours, SHARE, grey, 1 - SHARE, 0), _scale(height, low, high, lower_is_better)])


def _spread(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Interpolate the map at fractional rows (H,) and columns (W,); return float32 (H, W)."""
    full = np.empty((len(rows), len(columns)), np.float32)
    for i in range(0, len(rows), REMAPPED):
        for j in range(0, len(columns), REMAPPED):
            x, y = np.meshgrid(columns[j : j + REMAPPED], rows[i : i + REMAPPED])
            left, top = (
                min(int(first.min()), size - 1) for first, size in ((x, scores.shape[1]), (y, scores.shape[0]))
            )
            part = scores[top : int(y.max()) + 2, left : int(x.max()) + 2]
            full[i : i + REMAPPED, j : j + REMAPPED] = cv2.remap(
                part, x - left, y - top, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
    return full


def _colours(part: np.ndarray, lower_is_better: bool | None) -> np.ndarray:
    """Return the colours, uint8 (H, W, 3) RGB, of positions 0..1 between the ends of the scale."""
    worse = 1 - part if lower_is_better is False else part
    levels = np.rint(np.clip(worse, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, COLOURS), cv2.COLOR_BGR2RGB)


def _scale(height: int, low: float, high: float, lower_is_better: bool | None) -> np.ndarray:
    """Return a scale bar from high (top) to low, labelled with both numbers."""
    texts = [f"{high:.3g}", f"{low:.3g}"]
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    (text_width, text_height) = max((cv2.getTextSize(text, font, size, 1)[0] for text in texts), key=lambda s: s[0])
    bar = np.full((height, BAR + 3 * MARGIN + text_width, 3), 255, np.uint8)
    bar[:, MARGIN : MARGIN + BAR] = _colours(np.linspace(1, 0, height)[:, None], lower_is_better)
    for text, bottom in zip(texts, (text_height + 2, height - 3), strict=True):
        cv2.putText(bar, text, (BAR + 2 * MARGIN, bottom), font, size, (0, 0, 0), 1, cv2.LINE_AA)
    return bar


def map_name(name: str) -> str:
    """Return the file name of an image's map: its stem and a digest that distinguishes images of the same stem."""
    return f"{Path(name).stem[:200]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}.png"


class MapWriter:
    """A hook of `score_sources` that writes a PNG map of each image before the image's row is yielded.

    Args:
        folder: The output folder, which is created.
        engine: Computes the scores.
        score_range: As in `draw`.

    Raises:
        OSError: The folder cannot be created or, later, a map cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, engine: Engine, score_range: tuple[float, float] | None = None):
        self.folder, self.engine, self.score_range = Path(folder), engine, score_range
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, image: ReadImage, row: Row, result: Result) -> None:
        """Write the map of an image, if the image has a score."""
        if "error" in row:
            return
        if not isinstance(result, DenseScore):
            try:
                result = self.engine.dense(image.pixels)
            except ImageError:
                return
        picture = draw(image.pixels, result, self.engine.model.lower_is_better, self.score_range)
        written, data = cv2.imencode(".png", picture[:, :, ::-1])
        assert written
        with replacing(self.folder / map_name(image.source.name)) as temporary:
            temporary.write_bytes(data.tobytes())
