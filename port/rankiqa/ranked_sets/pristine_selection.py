"""Choose pristine images from Waterloo and from Places2."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rankiqa.data.folders import Ignored, Kind, is_image_name, list_folder
from rankiqa.data.text_files import read_lines

WATERLOO = 4744  # images of the Waterloo Exploration Database (paper, section 4.1)
SCENES = 365  # scenes of the release Places365-Standard; the paper says 356
PER_SCENE = 100  # images per scene of the validation set, in the release and in the paper


@dataclass(frozen=True)
class Selection:
    """The images that were chosen from a collection.

    Attributes:
        images: (output name, file), sorted.
        settings: The settings that the choice depends on.
        refused: (name, reason).
        ignored: The other entries of the folder.
    """

    images: tuple[tuple[str, Path], ...]
    settings: dict
    refused: list[tuple[str, str]] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)

    @property
    def sha256(self) -> str:
        """Return the digest (hex) of the choice: of a line `output name, tab, file name` for each image."""
        lines = (f"{name}\t{file.name}\n" for name, file in self.images)
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def waterloo(folder: Path, count: int = WATERLOO) -> Selection:
    """Choose Waterloo's pristine images, 00001.bmp to 04744.bmp.

    Images with another name or number, missing numbers, and numbers with two files are refused.

    Args:
        folder: The folder of the unpacked archive.
        count: The number of images in the collection.

    Returns:
        The choice.

    Raises:
        ValueError: The folder contains none of the images.

    Source:
        RankIQA, section 4.1.
    """
    numbered: dict[int, list[str]] = {}
    refused = []
    names, ignored = _files(folder)
    last = f"{count:05d}.bmp"
    for name in names:
        match = re.fullmatch(r"([0-9]{5})\.bmp", name, re.IGNORECASE)
        if match and 1 <= int(match[1]) <= count:
            numbered.setdefault(int(match[1]), []).append(name)
        else:
            refused.append((name, f"expected a name 00001.bmp .. {last}"))
    if not numbered:
        raise ValueError(f"{folder}: expected 00001.bmp .. {last}, the archive's pristine images, got none")
    images = []
    for number, same in sorted(numbered.items()):
        if len(same) == 1:
            images.append((f"{number:05d}.bmp", folder / same[0]))
        else:
            refused += [(name, f"expected one file with this number, got {', '.join(same)}") for name in same]
    for first, end in _runs(number for number in range(1, count + 1) if number not in numbered):
        missing = f"{first:05d}.bmp" if first == end else f"{first:05d}.bmp .. {end:05d}.bmp"
        which = "this number" if first == end else "these numbers"
        refused.append((missing, f"expected {count} images, got none of {which}"))
    return Selection(tuple(images), {"count": count}, refused, ignored)


def places2(
    folder: Path, labels: Path, *, scenes: int | None = None, per_scene: int = PER_SCENE, seed: int = 0
) -> Selection:
    """Choose images of Places2's validation set, the same number from each scene, as NAME_s<scene>.bmp.

    Scenes with too few images and missing images are refused.

    Args:
        folder: The folder of the images, val_large or val_256.
        labels: The release's places365_val.txt.
        scenes: The number of scenes, drawn by the seed; None: all 365.
        per_scene: Images per scene, drawn by (seed, scene) only; a larger number extends the choice of a smaller one.
        seed: The seed of the choice.

    Returns:
        The choice.

    Raises:
        ValueError: `labels` is another file or has too few scenes, or the folder contains none of the images.

    Source:
        RankIQA, section 4.1.
    """
    known, digest = read_labels(labels)
    by_scene: dict[int, list[str]] = {}
    for name in sorted(known):  # independent of the order in the file
        by_scene.setdefault(known[name], []).append(name)
    if scenes is None and len(by_scene) != SCENES:
        raise ValueError(
            f"{labels}: expected the {SCENES} scenes of places365_val.txt, got {len(by_scene)}; use --scenes for fewer"
        )
    if scenes is not None and scenes > len(by_scene):
        raise ValueError(f"{labels}: expected {scenes} scenes, got {len(by_scene)}")
    chosen = np.random.RandomState(seed).permutation(sorted(by_scene))[:scenes]
    names, ignored = _files(folder)
    existing = set(names)
    images, refused = [], []
    for scene in sorted(map(int, chosen)):
        in_scene = by_scene[scene]
        if len(in_scene) < per_scene:
            refused.append((f"scene {scene}", f"expected {per_scene} images, {labels.name} has {len(in_scene)}"))
        order = np.random.RandomState([seed, scene]).permutation(len(in_scene))[:per_scene]
        for name in sorted(in_scene[i] for i in order):
            if name in existing:
                images.append((f"{Path(name).stem}_s{scene:03d}.bmp", folder / name))
            else:
                refused.append((name, "expected an image, got no such file"))
    if not images:
        raise ValueError(f"{folder}: expected the images of {labels.name}, val_large or val_256, got none")
    settings = {
        "labels_sha256": digest, "scenes": len(chosen), "scenes_there": len(by_scene), "per_scene": per_scene,
        "seed": seed,
    }  # fmt: skip
    for name in sorted(existing - known.keys()):
        ignored.add(Kind.OTHER, name)
    return Selection(tuple(sorted(images)), settings, refused, ignored)


def read_labels(path: Path) -> tuple[dict[str, int], str]:
    """Read `image scene` lines.

    Returns:
        ({image: scene}, the SHA-256 of the file).

    Raises:
        ValueError: The file cannot be read, or a line has another form (the message names it).
    """
    lines = read_lines(path, "places365_val.txt")
    known: dict[str, int] = {}
    stems: dict[str, str] = {}
    for line in lines:
        name, scene = fields if len(fields := re.split(r"[\s,;]+", line.text)) == 2 else ("", "")
        if not is_image_name(name) or re.search(r"[/\\]", name) or not re.fullmatch(r"[0-9]{1,9}", scene):
            raise ValueError(
                f"{line.where}: expected `image scene` as in places365_val.txt (Places365_val_00000001.jpg "
                f"165), got {line.text[:80]!r}"
            )
        stem = Path(name).stem.lower()
        if stem in stems:
            raise ValueError(f"{line.where}: expected each image once, got {name} after {stems[stem]}")
        known[name], stems[stem] = int(scene), name
    if not known:
        raise ValueError(f"{path}: expected `image scene` lines, got none")
    return known, hashlib.sha256(path.read_bytes()).hexdigest()


def _files(folder: Path) -> tuple[list[str], Ignored]:
    """Return a folder's images, sorted, and its other entries. Raise ValueError if it is not a folder."""
    try:
        return list_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder}: expected a folder with images, got: {error.strerror}") from None


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of consecutive numbers in an ascending sequence."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run[0], run[-1]
            run = []
        run = [*run[:1], number]
    if run:
        yield run[0], run[-1]
