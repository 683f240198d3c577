"""Create the distorted images, the lists for Caffe's data layers, and the labels that replace opinion scores."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from prepared_photographs import Photograph
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
    """One image of the set.

    Attributes:
        photograph: The name of its photograph.
        distortion: GB, GN, JPEG, JP2K or, at level 0, "pristine".
        level: 0..5.
        label: STAND_IN, 0..100.
        digest: The SHA-256 of the pixels (uint8, BGR, row by row).
        held_out: Whether it is excluded from the training.
    """

    photograph: str
    distortion: str
    level: int
    label: float
    digest: str
    held_out: bool

    @property
    def name(self) -> str:
        """The name of the image."""
        return f"{self.photograph}_{self.distortion}{self.level or ''}"

    @property
    def file(self) -> str:
        """The path of the file in the job's folder."""
        return f"images/{self.name}.png"


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the digest of an RGB image like Caffe's side: the SHA-256 of its BGR pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels[:, :, ::-1])).hexdigest()


def stand_in(pristine_luma: np.ndarray, pixels: np.ndarray) -> float:
    """Return STAND_IN for a distorted image (RGB) and the luma of its pristine photograph."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    similarity = structural_similarity(
        pristine_luma, luma, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return round(100 * (1 - float(similarity)), 4)


def make(photographs: list[Photograph], folder: Path, seed: int) -> list[Image]:
    """Write all images of all photographs to `folder`; return them photograph by photograph."""
    (folder / "images").mkdir(parents=True, exist_ok=True)

    def distorted(photograph: Photograph) -> list[Image]:
        """Write all images of one photograph."""
        luma = cv2.cvtColor(photograph.pixels, cv2.COLOR_RGB2GRAY)
        versions = []
        for index, (distortion, level) in enumerate([(PRISTINE, 0), *((d, n) for d in LIVE for n in LEVELS)]):
            pixels, label = photograph.pixels, 0.0
            if level:
                # Each image has its own generator, so that its noise does not depend on the order or the threads
                rng = np.random.RandomState([seed, photograph.number, index])
                pixels = rankiqa.distort(photograph.pixels, distortion, level, rng)
                label = stand_in(luma, pixels)
            image = Image(photograph.name, distortion, level, label, pixel_digest(pixels), photograph.held_out)
            cv2.imwrite(str(folder / image.file), pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            versions.append(image)
        return versions

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        return [image for versions in threads.map(distorted, photographs) for image in versions]


def write_lists(images: list[Image], folder: Path) -> None:
    """Write the four lists {rank,ft}_{train,test}.txt with `path label` per line.

    Rank lists have upstream's block structure: for each distortion, for each level from the worst (label 0) to the
    pristine (label 5), all photographs. With this order the score grows with degradation.
    """
    for split, held_out in (("train", False), ("test", True)):
        of_split = [image for image in images if image.held_out == held_out]
        at = {(image.photograph, image.distortion, image.level): image for image in of_split}
        names = list(dict.fromkeys(image.photograph for image in of_split))
        rank = [
            f"{at[name, distortion if level else PRISTINE, level].file} {len(LEVELS) - level}\n"
            for distortion in ("JPEG", "GN", "GB", "JP2K")
            for level in (*LEVELS[::-1], 0)
            for name in names
        ]
        (folder / f"rank_{split}.txt").write_text("".join(rank))
        (folder / f"ft_{split}.txt").write_text("".join(f"{image.file} {image.label}\n" for image in of_split))
