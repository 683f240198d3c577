"""Score the images of a list, and read and write files with one row per image."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.image_sources import ImageSource
from rankiqa.data.text_files import TableWriter, header_of, number, read_table, read_text
from rankiqa.evaluation.rated_images import RatedImage
from rankiqa.scoring.engines import TorchEngine
from rankiqa.scoring.many import ScoreSettings, score_sources

FORMAT = "rankiqa evaluation"


@dataclass(frozen=True)
class ScoredImage(RatedImage):
    """A rated image with its score, or with the reason why it has none.

    Attributes:
        score: The mean over the crops; None if there is an error.
        median: The median over the crops.
        error: The reason why there is no score; "" if there is a score.
    """

    score: float | None = None
    median: float | None = None
    error: str = ""


def score_images(
    model: Any,
    images: Iterable[RatedImage],
    *,
    crops: int | None = None,
    seed: int = 0,
    strict: bool = False,
    workers: int = 2,
) -> Iterator[ScoredImage]:
    """Score images in their order, while threads read the next ones.

    Each score is bit for bit that of `rankiqa.score`.

    Args:
        model: From `rankiqa.load`, on the device where it runs.
        images: The images.
        crops: Random crops per image; None: the network's own number.
        seed: The seed of the crop positions; each image starts from it.
        strict: Refuse images that are not 8-bit colour, or in which the reader ignores something (`read_image`).
        workers: Number of threads that read images.

    Yields:
        The scored images, in the order of `images`.
    """
    originals, copies = itertools.tee(images)  # the two iterators are only a few images apart
    sources = (ImageSource(image.path, image.path) for image in copies)
    settings = ScoreSettings("crops", model.sampling.crops if crops is None else crops, seed, strict)
    rows = score_sources(TorchEngine(model), sources, settings, workers=workers)
    for image, row in zip(originals, rows, strict=True):
        result = {key: row[key] for key in ("score", "median", "error") if key in row}
        yield ScoredImage(**asdict(image), **result)


def write(path: str | os.PathLike, images: Sequence[ScoredImage], summary: dict) -> None:
    """Write one row per image: as CSV, or for .json with the summary of the evaluation.

    A CSV file repeats `lower_is_better`, `crops` and `seed` in each row, so that it can be read without the summary.

    Args:
        path: The file.
        images: The images.
        summary: The summary of the evaluation.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [asdict(image) for image in images]
    if Path(path).suffix.lower() == ".json":
        text = json.dumps({"format": FORMAT, "summary": summary, "images": rows}, indent=1, allow_nan=False) + "\n"
    else:
        common = {key: summary.get(key) for key in ("lower_is_better", "crops", "seed")}
        common["lower_is_better"] = {True: "true", False: "false", None: ""}[summary.get("lower_is_better")]
        target = io.StringIO()
        table = TableWriter(target, [*_COLUMNS, *common])
        for row in rows:
            table.write({**row, **common})
        text = target.getvalue()
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


_COLUMNS = tuple(field.name for field in fields(ScoredImage))


def is_scored(path: str | os.PathLike) -> bool:
    """Return whether a file was written by `write`, from its first characters. (A .csv may also be a list.)"""
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        return {"path", "label", "score"} <= set(header_of(path))
    if suffix != ".json":
        return False
    try:
        with open(path, encoding="utf-8") as file:
            return FORMAT in file.read(200)
    except (OSError, UnicodeDecodeError):
        return False


def read(path: str | os.PathLike) -> tuple[list[ScoredImage], dict]:
    """Read a file that `write` wrote.

    Args:
        path: The file.

    Returns:
        The images, and a dictionary with lower_is_better, crops and seed.

    Raises:
        ValueError: For another file.
    """
    convert: Callable[[str | os.PathLike], tuple[list[ScoredImage], dict]]
    convert = _read_json if Path(path).suffix.lower() == ".json" else _read_csv
    images, summary = convert(path)
    if not images:
        raise ValueError(f"{path}: expected a row for each image, got none")
    return images, summary


def _read_json(path: str | os.PathLike) -> tuple[list[ScoredImage], dict]:
    try:
        content = json.loads(read_text(path))
        rows = [(f"{path} image {i}", row) for i, row in enumerate(content["images"], start=1)]
        summary = content["summary"]
        kinds = {"lower_is_better": bool, "label_lower_is_better": bool, "crops": int, "seed": int}
        if not all(summary.get(key) is None or type(summary[key]) is kind for key, kind in kinds.items()):
            raise TypeError
        images = [_image(where, _of_json({key: row[key] for key in _COLUMNS})) for where, row in rows]
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError):
        raise ValueError(f"{path}: expected the images of an evaluation, got another JSON file") from None
    return images, summary


def _of_json(row: dict) -> dict:
    """Return the row if its texts are strings. Raise TypeError otherwise."""
    if not all(isinstance(row[key], str) for key in ("path", "type", "reference", "error")):
        raise TypeError
    return row


def _read_csv(path: str | os.PathLike) -> tuple[list[ScoredImage], dict]:
    columns, rows = read_table(path)
    if not {"path", "label", "score"} <= set(columns):
        raise ValueError(f"{path}: expected the columns path, label and score, got {', '.join(columns) or 'none'}")
    summary: dict = {"lower_is_better": None, "crops": None, "seed": None}
    if rows:
        where, first = rows[0]
        summary["lower_is_better"] = {"true": True, "false": False}.get(first.get("lower_is_better", "").lower())
        for key in ("crops", "seed"):
            summary[key] = int(number(first[key], f"{where} {key}")) if first.get(key) else None
    return [_image(where, row) for where, row in rows], summary


def _image(where: str, row: dict) -> ScoredImage:
    """Return the image of a row. `where` names the row in messages."""
    path, error = str(row["path"]), str(row.get("error") or "")
    label = _finite(row["label"], f"{where} label")
    median = None if row.get("median") in ("", None) else _finite(row["median"], f"{where} median")
    score_ = None if error or row["score"] in ("", None) else _finite(row["score"], f"{where} score")
    if not path or (score_ is None and not error):
        raise ValueError(f"{where}: expected a path, and a score or an error, got neither")
    return ScoredImage(
        path, label, str(row.get("type") or ""), str(row.get("reference") or ""), score_, median, error
    )  # fmt: skip


def _finite(value: object, where: str) -> float:
    parsed = number(value, where)
    if not np.isfinite(parsed):
        raise ValueError(f"{where}: expected a finite number, got {value!r}")
    return parsed
