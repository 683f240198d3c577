"""A small folder of photographs that trainings distort on the fly, and the settings of such a training."""

import shutil
from pathlib import Path

from rankiqa.ranked_sets.on_the_fly import DistortionChoice, PristinePhotographs

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "photographs"
TINY = "timm:test_efficientnet"  # crops of 160
TYPES = ("MOTION", "GN", "HAZE", "LOWCONTRAST")


def copy_photographs(folder):
    """Copy six photographs into a folder, two of them into its subfolder more/."""
    (folder / "more").mkdir()
    for name in ("cat", "bison", "coffee", "fig"):
        shutil.copy(PHOTOGRAPHS / f"{name}.jpg", folder)
    for name in ("hens", "lemurs"):
        shutil.copy(PHOTOGRAPHS / f"{name}.jpg", folder / "more")
    return folder


def photographs(folder, types=TYPES, **choice):
    """Return the photographs of a folder, to be distorted as the keywords of DistortionChoice say."""
    return PristinePhotographs.of_folder(folder, DistortionChoice("wild", types, **choice))
