"""Choose the photographs of an experiment, and check them before anything is written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rankiqa.data.folders import Kind, scan
from rankiqa.data.images import ImageError
from rankiqa.data.photographs import MAX_PIXELS, read_photograph
from rankiqa.experiments.budgets import Settings
from rankiqa.ranked_sets.names import output_name

LEAST = 4  # smallest number of photographs: three for training, one held out
LEAST_SIDE = 228  # in pixels: above the crop of every network
NAMED = 5  # bad photographs that an error lists by name


def choose(photographs: str | os.PathLike, settings: Settings) -> list[str]:
    """Return the names of the photographs that an experiment uses; from a larger folder, the first by name.

    Args:
        photographs: The folder.
        settings: The size of the experiment.

    Raises:
        ValueError: The folder cannot be read or has too few photographs, two names differ only in the suffix (their
            output files would have the same name), or a name is not valid text.
    """
    try:
        names = sorted(path for path, kind in scan(photographs) if kind is Kind.IMAGE)
    except OSError as error:
        raise ValueError(f"{photographs}: expected a folder of photographs, got: {error.strerror}") from None
    if len(names) < LEAST:
        raise ValueError(f"{photographs}: expected at least {LEAST} photographs, got {len(names)}")
    chosen, by_name = names[: settings.photographs], {}
    for name in chosen:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{photographs}: expected names in UTF-8, the encoding of the lists, got {name!r}"
            ) from None
        if (other := by_name.setdefault(output_name(name), name)) != name:
            raise ValueError(f"{photographs}: expected one photograph {output_name(name)}, got {other} and {name}")
    return chosen


def digest(photographs: str | os.PathLike, chosen: list[str]) -> str:
    """Return a text that identifies the chosen photographs by name and content.

    Raises:
        ValueError: A photograph cannot be read, or two have the same content: one could be trained on and the other
            held out.
    """
    by_content: dict[str, str] = {}
    hasher = hashlib.sha256()
    for name in chosen:
        try:
            content = hashlib.sha256(Path(photographs, name).read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(f"{Path(photographs, name)}: expected a photograph, got: {error.strerror}") from None
        if (other := by_content.setdefault(content, name)) != name:
            raise ValueError(
                f"{photographs}: expected different photographs, got {other} and {name} with the same content"
            )
        hasher.update(os.fsencode(name) + b"\0" + content.encode())
    return f"{len(chosen)} photographs, sha256 {hasher.hexdigest()[:16]}"


def check(photographs: str | os.PathLike, chosen: list[str]) -> None:
    """Decode each photograph. Raise a ValueError that names those that cannot be used."""
    bad = []
    for name in chosen:
        try:
            read_photograph(Path(photographs, name).read_bytes(), min_side=LEAST_SIDE, max_pixels=MAX_PIXELS)
        except (ImageError, OSError) as error:
            bad.append(f"{name}: {error}")
    if bad:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        count = f"{len(bad)} of {len(chosen)} photographs cannot be used"
        raise ValueError(f"{photographs}: {count}: {'; '.join(bad[:NAMED])}{more}")
