"""The distorted images: files, lists for Caffe's data layers, levels and stand-in labels."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from chosen_photographs import Photograph
from skimage.metrics import structural_similarity

import rankiqa
from rankiqa.distortions import LIVE

LEVELS = (1, 2, 3, 4, 5)
PRISTINE = "pristine"
STAND_IN = "100 x (1 - SSIM) of the luma against the pristine photograph"
STAND_IN_NOTE = (
    "A stand-in for human opinion: a full-reference measure (SSIM, Gaussian window of sigma 1.5), scaled like DMOS: "
    "0 is pristine, 100 is worst. Nobody was asked for an opinion here."
)


@dataclass(frozen=True)
class Image:
    """One image of the set. distortion: GB GN JPEG JP2K, or "pristine" at level 0; label: the stand-in, 0..100."""

    photograph: str
    distortion: str
    level: int
    label: float
    digest: str  # SHA-256 over the pixels, uint8 BGR row by row
    held_out: bool

    @property
    def name(self) -> str:
        return f"{self.photograph}_{self.distortion}{self.level or ''}"

    @property
    def file(self) -> str:
        return f"images/{self.name}.png"


def pixel_digest(pixels: np.ndarray) -> str:
    """The digest of an RGB image as Caffe's side takes it: over its BGR pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels[:, :, ::-1])).hexdigest()


def stand_in(pristine_luma: np.ndarray, pixels: np.ndarray) -> float:
    """STAND_IN of a distorted image (RGB) and the luma of its original."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    similarity = structural_similarity(
        pristine_luma, luma, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return round(100 * (1 - float(similarity)), 4)


def make(photographs: list[Photograph], folder: Path, seed: int) -> list[Image]:
    """Write every image of every photograph below `folder`; returns them photograph by photograph."""
    (folder / "images").mkdir(parents=True, exist_ok=True)

    def distorted(photograph: Photograph) -> list[Image]:
        luma = cv2.cvtColor(photograph.pixels, cv2.COLOR_RGB2GRAY)
        made = []
        for kind, (distortion, level) in enumerate([(PRISTINE, 0), *((d, n) for d in LIVE for n in LEVELS)]):
            pixels, label = photograph.pixels, 0.0
            if level:
                # A generator of its own for each image: the noise depends on neither the order nor the threads
                rng = np.random.RandomState([seed, photograph.number, kind])
                pixels = rankiqa.distort(photograph.pixels, distortion, level, rng)
                label = stand_in(luma, pixels)
            image = Image(photograph.name, distortion, level, label, pixel_digest(pixels), photograph.held_out)
            cv2.imwrite(str(folder / image.file), pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            made.append(image)
        return made

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        return [image for made in threads.map(distorted, photographs) for image in made]


def write_lists(images: list[Image], folder: Path) -> None:
    """The four lists: {rank,ft}_{train,test}.txt, `path label` a line.

    Rank lists are upstream's blocks: for each distortion, for each level from the worst (label 0) to the pristine
    (label 5), all photographs; so the output grows with degradation.
    """
    for split, held_out in (("train", False), ("test", True)):
        mine = [image for image in images if image.held_out == held_out]
        at = {(image.photograph, image.distortion, image.level): image for image in mine}
        names = list(dict.fromkeys(image.photograph for image in mine))
        rank = [
            f"{at[name, distortion if level else PRISTINE, level].file} {len(LEVELS) - level}\n"
            for distortion in ("JPEG", "GN", "GB", "JP2K")
            for level in (*LEVELS[::-1], 0)
            for name in names
        ]
        (folder / f"rank_{split}.txt").write_text("".join(rank))
        (folder / f"ft_{split}.txt").write_text("".join(f"{image.file} {image.label}\n" for image in mine))
