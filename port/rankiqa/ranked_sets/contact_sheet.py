"""Write a self-contained HTML page with every type and level of distortion on one photograph.

Jinja renders templates/contact_sheet.html piece by piece while the pictures are made.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from rankiqa.data.extras import need
from rankiqa.data.images import check_image
from rankiqa.distortions import DATASETS, Distortion
from rankiqa.ranked_sets.make_files import random_generator
from rankiqa.ranked_sets.names import output_name

LONG_SIDE = 512  # as TID2013's pictures: the numbers of blocks, patches and bit errors are per picture
CROP = 150, 200  # height, width
TITLES = {"live": "LIVE", "tid2013": "TID2013", "wild": "Wild"}
# {origin: (label, meaning)}
MARKS = {
    "upstream": ("original", "made by the original's code"),
    "listed": ("listed", "in the original's lists, but never made by its code"),
    "ours": ("ours", "not in the original; the parameters are our choice"),
    "wild": ("wild", "distortion by cameras, phones or the web; the parameters are our choice"),
}


def fit(image: np.ndarray) -> np.ndarray:
    """Scale an image down (by area) if its longer side is above LONG_SIDE: uint8 (H, W, 3)."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def page(
    image: np.ndarray,
    title: str,
    sets: list[str],
    seed: int,
    progress: Callable[[], object],
    on_error: Callable[[str], object],
) -> Iterator[str]:
    """Return the page, piece by piece.

    Args:
        image: uint8 (H, W, 3) RGB.
        title: The file name of the photograph; with the seed it determines the random numbers, as in `rankiqa distort`.
        sets: Keys of DATASETS.
        seed: The seed of everything that is random.
        progress: Called after each picture.
        on_error: Called with a line about each picture that cannot be made.

    Returns:
        An iterator of texts.

    Raises:
        ValueError: The image is not uint8 (H, W, 3).
        MissingExtra: jinja2 (the extra `pages`) is not installed.
    """
    check_image(image)
    jinja2 = need("jinja2", "pages", "show distortions")
    image = fit(image)
    rows = [row for name in sets for row in DATASETS[name].values()]
    used = {row.origin for row in rows}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rankiqa.ranked_sets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    sheet = _Sheet(image, output_name(title), seed, progress, on_error)
    return environment.get_template("contact_sheet.html").generate(
        title=title,
        height=image.shape[0],
        width=image.shape[1],
        seed=seed,
        marks=[(origin, *mark) for origin, mark in MARKS.items() if origin in used],
        pristine=_data_uri(image),
        pristine_crop=_data_uri(_middle(image)),
        tables=[
            {
                "name": name,
                "title": TITLES.get(name, name),
                "types": len(DATASETS[name]),
                "levels": max(len(row.levels) for row in DATASETS[name].values()),
                "rows": sheet.rows(name),
            }
            for name in sets
        ],
    )


class _Sheet:
    """The pictures of a page, made when the template needs them."""

    def __init__(self, image: np.ndarray, stem: str, seed: int, progress: Callable, on_error: Callable):
        self.image, self.stem, self.seed = image, stem, seed
        self.progress, self.on_error = progress, on_error

    def rows(self, name: str) -> Iterator[dict]:
        for row in DATASETS[name].values():
            number = f" · number {row.number}" if name == "tid2013" and row.number else ""
            yield {
                "name": row.name,
                "title": row.title + number,
                "parameter": row.parameter,
                "origin": row.origin,
                "label": MARKS[row.origin][0],
                "cells": self.cells(row),
            }

    def cells(self, row: Distortion) -> Iterator[dict]:
        for level, value in enumerate(row.levels, start=1):
            try:
                distorted = row.apply(self.image, value, random_generator(self.seed, self.stem, row.name, level))
            except ValueError as error:  # for example a package that is not installed
                self.on_error(f"{row.name} level {level}: {error}")
                yield {"error": str(error)}
                continue
            yield {
                "error": None,
                "picture": _data_uri(_middle(distorted)),
                "alt": f"{row.title}, level {level}",
                "value": f"{value:g}" if isinstance(value, (int, float)) else str(value),
                "psnr": _psnr(self.image, distorted),
            }
            self.progress()


def _psnr(pristine: np.ndarray, distorted: np.ndarray) -> str:
    return "equal" if np.array_equal(pristine, distorted) else f"{cv2.PSNR(pristine, distorted):.1f} dB"


def _middle(image: np.ndarray) -> np.ndarray:
    """Return the centre of an image, at most CROP."""
    height, width = (min(side, most) for side, most in zip(image.shape, CROP))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _data_uri(image: np.ndarray) -> str:
    """Return a picture as a PNG data URI. PNG is lossless, so the page adds no distortion of its own."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
