"""Photographs, their ranked set, and lists of those that are trained on and of those that are held out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.folders import Kind, scan
from rankiqa.data.json_text import parse_json
from rankiqa.data.lists import ImageList, read_list
from rankiqa.data.photographs import MAX_PIXELS
from rankiqa.datasets import list_writer, ranked_folders
from rankiqa.distortions import LIVE
from rankiqa.experiments.settings import LEVELS, TYPES, Settings
from rankiqa.ranked_sets import settings as set_settings
from rankiqa.ranked_sets.make_files import DistortionJob, level_folder
from rankiqa.ranked_sets.names import PRISTINE, output_name
from rankiqa.ranked_sets.run import Counts, run
from rankiqa.ranked_sets.worker_pool import WorkerLost

LEAST_SIDE = 228  # pixels: above the crop of every network
CLAIM = "experiment.json"


@dataclass(frozen=True)
class RankedData:
    """The data of an experiment.

    Attributes:
        blocks: Of the whole ranked set, as upstream's list has them: the worst level first.
        names: Of the photographs, sorted.
        out: The experiment's folder.
        held_out: Share of the photographs that is never trained on.
        seed: Of the split.
    """

    blocks: ranked_folders.Blocks
    names: tuple[str, ...]
    out: Path
    held_out: float
    seed: int

    def split(self, number: int = 0) -> tuple[list[str], list[str]]:
        """(names trained on, names held out) of the number-th random split by photograph."""
        order = np.random.RandomState((self.seed + number) % 2**32).permutation(len(self.names))
        held = max(1, round(len(self.names) * self.held_out))
        return [self.names[i] for i in sorted(order[held:])], [self.names[i] for i in sorted(order[:held])]

    def list_of(self, name: str, photographs: list[str], levels: int = LEVELS, label_step: float = 1.0) -> ImageList:
        """Write OUT/lists/NAME_all.txt of some photographs and read it.

        Args:
            name: Of the list.
            photographs: Their names, in order.
            levels: Of each distortion: the pristine one, the strongest, and evenly those between.
            label_step: The label is the level, 0 (pristine) to 5, times this.
        """
        kept = set(np.linspace(0, LEVELS - 1, levels).round().astype(int).tolist())
        lines = [
            (block[photograph], label_step * (LEVELS - 1 - place))
            for place, block in self.blocks.blocks  # place 0 is the strongest level
            if LEVELS - 1 - place in kept
            for photograph in photographs
        ]
        written = list_writer.write(str(self.out / "lists"), name, {"all": lines}, 0, {"levels": levels}, link=True)
        return read_list(written["files"]["all"]["path"])


def choose(photographs: str | os.PathLike, settings: Settings) -> list[str]:
    """The names of the photographs that an experiment takes. Raises ValueError for a folder with too few of them."""
    try:
        chosen = sorted(path for path, kind in scan(photographs) if kind is Kind.IMAGE)[: settings.photographs]
    except OSError as error:
        raise ValueError(f"{photographs}: expected a folder of photographs, got: {error.strerror}") from None
    if len(chosen) < 4:
        raise ValueError(f"{photographs}: expected at least 4 photographs, got {len(chosen)}")
    return chosen


def make(
    out: Path, photographs: str | os.PathLike, settings: Settings, seed: int, progress: Callable[[int], object]
) -> RankedData:
    """Make the ranked set of an experiment, or take the one that is there; a set that was broken off goes on.

    Args:
        out: The experiment's folder.
        photographs: The folder of pristine photographs.
        settings: How many are taken, and which share is held out.
        seed: Of noise and of the split.
        progress: Called with the number of files that are newly done.

    Raises:
        ValueError: For too few photographs, or one that cannot be used.
        OSError: For a folder that cannot be read or written.
    """
    chosen = choose(photographs, settings)
    links = (out / "photographs").absolute()
    links.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if not os.path.lexists(links / name):
            os.symlink(Path(photographs).absolute() / name, links / name)
    ranked = (out / "ranked").absolute()
    blocks = _whole(ranked, chosen)
    if blocks is None:
        _distort(links, ranked, seed, len(chosen), progress)
        blocks = _read(ranked)
    return RankedData(blocks, tuple(blocks.names), out, settings.held_out, seed)


def _read(ranked: Path) -> ranked_folders.Blocks:
    return ranked_folders.read(str(ranked), TYPES, LEVELS - 1, True, prefix=str(ranked))


def _whole(ranked: Path, chosen: list[str]) -> ranked_folders.Blocks | None:
    """A ranked set that lacks nothing (its files are written whole or not at all); None for any other."""
    try:
        blocks = _read(ranked)
    except ValueError:
        return None
    return blocks if sorted(blocks.names) == sorted(output_name(name) for name in chosen) else None


def _distort(links: Path, ranked: Path, seed: int, count: int, progress: Callable[[int], object]) -> None:
    """Make what the ranked set lacks. Raises ValueError for a photograph that cannot be used."""
    levels = tuple(range(1, LEVELS))
    described = set_settings.settings("live", seed, LIVE)
    folders = [level_folder(kind, level) for kind in TYPES for level in levels]
    set_settings.claim(ranked, described, [*LIVE, PRISTINE], [*folders, PRISTINE])
    counts = Counts()
    with set_settings.temporary_folder(ranked) as temporary:
        job = DistortionJob(
            images=str(links), out=str(ranked), dataset="live", types=TYPES, levels=levels, seed=seed,
            settings=set_settings.digest(described), temporary=str(temporary), min_side=LEAST_SIDE,
            max_pixels=MAX_PIXELS, quick=True, pristine=True,
        )  # fmt: skip
        try:
            run(job, min(2, os.cpu_count() or 1), (1, 1), count, counts, progress)
        except WorkerLost as error:
            raise ValueError(str(error)) from None
    for row in counts.refusal_rows():
        raise ValueError(f"{row['image']}: {row['error']}")


def claim(out: Path, experiment: str, settings: Settings, **others: object) -> None:
    """Write OUT/experiment.json, or raise ValueError where another experiment's is there."""
    path = out / CLAIM
    own = json.loads(json.dumps({"experiment": experiment, "settings": asdict(settings), **others}))
    try:
        there = parse_json(path.read_bytes())
    except FileNotFoundError:
        out.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(own, indent=1) + "\n")
        return
    except ValueError:
        there = {}
    for key in own:
        if not isinstance(there, dict) or there.get(key) != own[key]:
            got = there.get(key) if isinstance(there, dict) else there
            short = [text if len(text) < 200 else f"{text[:200]}.." for text in (json.dumps(own[key]), json.dumps(got))]
            raise ValueError(f"{path}: {key}: expected {short[0]} as in this run, got {short[1]}; another --out?")


def digest_of(photographs: str | os.PathLike) -> str:
    """A digest of the names and sizes of a folder's photographs. Raises ValueError for a folder that cannot be read."""
    try:
        entries = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(photographs) if entry.is_file())
    except OSError as error:
        raise ValueError(f"{photographs}: expected a folder of photographs, got: {error.strerror}") from None
    return hashlib.sha256(json.dumps(entries).encode(errors="surrogateescape")).hexdigest()[:16]
