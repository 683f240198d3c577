"""Which photographs an experiment takes, and whether they can be used: found out before anything is written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rankiqa.data.folders import Kind, scan
from rankiqa.data.images import ImageError
from rankiqa.data.photographs import MAX_PIXELS, read_photograph
from rankiqa.experiments.settings import Settings
from rankiqa.ranked_sets.names import output_name

LEAST = 4  # photographs: three to train on, one held out
LEAST_SIDE = 228  # pixels: above the crop of every network
NAMED = 5  # bad photographs that an error names


def choose(photographs: str | os.PathLike, settings: Settings) -> list[str]:
    """The names of the photographs that an experiment takes: of a larger folder the first by name.

    Raises:
        ValueError: For a folder that cannot be read, one with too few photographs, or two whose names differ in the
            suffix alone (the files that are made of both would have one name), or a name that is no text.
    """
    try:
        found = sorted(path for path, kind in scan(photographs) if kind is Kind.IMAGE)
    except OSError as error:
        raise ValueError(f"{photographs}: expected a folder of photographs, got: {error.strerror}") from None
    if len(found) < LEAST:
        raise ValueError(f"{photographs}: expected at least {LEAST} photographs, got {len(found)}")
    chosen, by_name = found[: settings.photographs], {}
    for name in chosen:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{photographs}: expected names in UTF-8, as lists are, got {name!r}") from None
        if (other := by_name.setdefault(output_name(name), name)) != name:
            raise ValueError(f"{photographs}: expected one photograph {output_name(name)}, got {other} and {name}")
    return chosen


def digest(photographs: str | os.PathLike, chosen: list[str]) -> str:
    """A line that tells the chosen photographs from others, by name and content.

    Raises:
        ValueError: For one that cannot be read, or two of one content: one could be trained on, the other held out.
    """
    by_content: dict[str, str] = {}
    whole = hashlib.sha256()
    for name in chosen:
        try:
            content = hashlib.sha256(Path(photographs, name).read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(f"{Path(photographs, name)}: expected a photograph, got: {error.strerror}") from None
        if (other := by_content.setdefault(content, name)) != name:
            raise ValueError(f"{photographs}: expected different photographs, got {other} and {name} of one content")
        whole.update(os.fsencode(name) + b"\0" + content.encode())
    return f"{len(chosen)} photographs, sha256 {whole.hexdigest()[:16]}"


def check(photographs: str | os.PathLike, chosen: list[str]) -> None:
    """Decode each photograph. Raises ValueError that names those that cannot be used."""
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
