"""Save and load the recorded results of live Caffe, which are kept in the repository for machines without Docker."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from caffe_training import Recipe
from compare import CaffeSide
from distorted_images import Image

from caffe_client import Answer, Array, sample_places
from rankiqa.data.atomic_files import replacing

FOLDER = Path(__file__).resolve().parents[2] / "parity_tests" / "recorded" / "reproduce"


class NoRecording(RuntimeError):
    """There is no recording."""


def save(side: CaffeSide, recipe: Recipe, seed: int, about: dict) -> None:
    """Replace the recording; `about` has versions and timings, which are stored unchanged."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = {"offsets": side.offsets.astype(np.int16), "layer_crops": side.layer_crops}
    arrays |= {f"scores|{name}": scores for name, scores in side.scores.items()}
    for name, layers in side.layers.items():
        for key, array in layers.items():
            arrays[f"layers|{name}|{key}|values"] = array.sampled().values
            arrays[f"layers|{name}|{key}|shape"] = np.array(array.shape)
            arrays[f"layers|{name}|{key}|largest"] = np.array(array.largest)
    text = {"recipe": asdict(recipe), "seed": seed, "curves": side.curves, "about": about}
    text["images"] = [
        {**asdict(image), "digest": digest} for image, digest in zip(side.images, side.pixels, strict=True)
    ]
    for name, model in side.models.items():
        with replacing(FOLDER / f"{name}.caffemodel") as temporary:
            shutil.copyfile(model, temporary)
    with replacing(FOLDER / "answers.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    with replacing(FOLDER / "recording.json") as temporary:
        temporary.write_text(json.dumps(text, indent=1))


def load() -> tuple[CaffeSide, Recipe, int, dict]:
    """Return (Caffe's side, recipe, seed, about) of the recording.

    Raises:
        NoRecording: If there is none.
    """
    try:
        text = json.loads((FOLDER / "recording.json").read_text())
        with np.load(FOLDER / "answers.npz", allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        raise NoRecording(f"{FOLDER}: expected recorded answers of live Caffe, got none") from None
    layers: dict[str, Answer] = {}
    for key, values in arrays.items():
        if key.startswith("layers|") and key.endswith("|values"):
            _, name, layer, _ = key.split("|")
            shape = arrays[f"layers|{name}|{layer}|shape"]
            at = None if values.size == np.prod(shape) else sample_places(int(np.prod(shape)))
            largest = arrays[f"layers|{name}|{layer}|largest"]
            layers.setdefault(name, Answer())[layer] = Array(values, at, shape, largest)
    images = [Image(**row) for row in text["images"]]
    scores = {key.split("|")[1]: values for key, values in arrays.items() if key.startswith("scores|")}
    side = CaffeSide(
        images,
        [image.digest for image in images],
        arrays["offsets"].astype(np.int64),
        arrays["layer_crops"],
        {name: FOLDER / f"{name}.caffemodel" for name in layers},
        scores,
        layers,
        text["curves"],
    )
    return side, Recipe(**text["recipe"]), text["seed"], text["about"]


def only(side: CaffeSide, digests: dict[str, str]) -> tuple[CaffeSide, list[str]]:
    """Keep only the images that have the recorded pixels; another version of a codec may decode differently.

    Args:
        side: The recorded results.
        digests: {image name: SHA-256 of its pixels on this machine}.

    Returns:
        (the results for these images, the names of the other images).
    """
    same = [i for i, image in enumerate(side.images) if digests.get(image.name) == side.pixels[i]]
    kept = set(same)
    return (
        CaffeSide(
            [side.images[i] for i in same],
            [side.pixels[i] for i in same],
            side.offsets[same],
            side.layer_crops,
            side.models,
            {name: scores[same] for name, scores in side.scores.items()},
            side.layers,
            side.curves,
        ),
        [image.name for i, image in enumerate(side.images) if i not in kept],
    )
