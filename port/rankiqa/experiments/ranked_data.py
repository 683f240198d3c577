"""The photographs of an experiment, their ranked set, and lists of the training and the held-out photographs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rankiqa.data.atomic_files import replacing
from rankiqa.data.image_lists import ImageList, read_list
from rankiqa.data.json_text import parse_json
from rankiqa.data.photographs import MAX_PIXELS
from rankiqa.datasets import list_writer, ranked_folders
from rankiqa.distortions import LIVE
from rankiqa.experiments.budgets import LEVELS, TYPES, Settings
from rankiqa.experiments.chosen_photographs import LEAST_SIDE, choose
from rankiqa.ranked_sets import set_description as set_settings
from rankiqa.ranked_sets.generation_run import Counts, run
from rankiqa.ranked_sets.make_files import DistortionJob, level_folder
from rankiqa.ranked_sets.names import PRISTINE, output_name
from rankiqa.ranked_sets.worker_pool import WorkerLost

CLAIM = "experiment.json"


@dataclass(frozen=True)
class RankedData:
    """The data of an experiment.

    Attributes:
        blocks: The whole ranked set in the order of upstream's list, the worst level first. Paths start in the folder
            of the ranked set, because a path in a list must not contain white space and the folders above may.
        names: The names of the photographs, sorted.
        out: The folder of the experiment.
        held_out: The share of the photographs that is never trained on.
        seed: The seed of the split.
    """

    blocks: ranked_folders.Blocks
    names: tuple[str, ...]
    out: Path
    held_out: float
    seed: int

    def split(self, number: int = 0) -> tuple[list[str], list[str]]:
        """Return (names to train on, names held out) of the random split with this number."""
        order = np.random.RandomState((self.seed + number) % 2**32).permutation(len(self.names))
        held = max(1, round(len(self.names) * self.held_out))
        return [self.names[i] for i in sorted(order[held:])], [self.names[i] for i in sorted(order[:held])]

    def list_of(self, name: str, photographs: list[str], levels: int = LEVELS, label_step: float = 1.0) -> ImageList:
        """Write OUT/lists/NAME_all.txt for some photographs and read it.

        Args:
            name: The name of the list.
            photographs: The names of the photographs, in order.
            levels: The number of levels: the pristine one, the strongest one, and evenly spaced ones in between.
            label_step: The label is the level, 0 (pristine) to 5, times this.

        Returns:
            The list.
        """
        kept = set(np.linspace(0, LEVELS - 1, levels).round().astype(int).tolist())
        lines = [
            (block[photograph], label_step * (LEVELS - 1 - rank))
            for rank, block in self.blocks.blocks  # rank 0 is the strongest level
            if LEVELS - 1 - rank in kept
            for photograph in photographs
        ]
        written = list_writer.write(str(self.out / "lists"), name, {"all": lines}, 0, {"levels": levels}, link=False)
        return read_list(written["files"]["all"]["path"], root_of(self.out))


def make(
    out: Path, photographs: str | os.PathLike, settings: Settings, seed: int, progress: Callable[[int], object]
) -> RankedData:
    """Make the ranked set of an experiment. Reuse a finished set and complete an interrupted one.

    Args:
        out: The folder of the experiment.
        photographs: The folder of pristine photographs.
        settings: Say how many photographs are used and which share is held out.
        seed: The seed of noise and of the split.
        progress: Called with the number of new files.

    Returns:
        The data.

    Raises:
        ValueError: There are too few photographs, or one cannot be used.
        OSError: A folder cannot be read or written.
    """
    chosen = choose(photographs, settings)
    links = (out / "photographs").absolute()
    links.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if not os.path.lexists(links / name):
            os.symlink(Path(photographs).absolute() / name, links / name)
    ranked = root_of(out)
    blocks = _whole(ranked, chosen)
    if blocks is None:
        _distort(links, ranked, seed, len(chosen), progress)
        blocks = _read(ranked)
    return RankedData(blocks, tuple(blocks.names), out, settings.held_out, seed)


def root_of(out: Path) -> Path:
    """Return the folder that the paths of an experiment's lists start from."""
    return (out / "ranked").absolute()


def _read(ranked: Path) -> ranked_folders.Blocks:
    return ranked_folders.read(str(ranked), TYPES, LEVELS - 1, True, prefix="")


def _whole(ranked: Path, chosen: list[str]) -> ranked_folders.Blocks | None:
    """Return a complete ranked set (its files are written atomically); None for any other."""
    try:
        blocks = _read(ranked)
    except ValueError:
        return None
    return blocks if sorted(blocks.names) == sorted(output_name(name) for name in chosen) else None


def _distort(links: Path, ranked: Path, seed: int, count: int, progress: Callable[[int], object]) -> None:
    """Make the missing files of the ranked set. Raise ValueError for a photograph that cannot be used."""
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
    """Write OUT/experiment.json. Raise ValueError if OUT belongs to another experiment."""
    path = out / CLAIM
    wanted = json.loads(json.dumps({"experiment": experiment, "settings": asdict(settings), **others}))
    try:
        existing = parse_json(path.read_bytes())
    except FileNotFoundError:
        out.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n")
        return
    except ValueError:
        existing = {}
    for key in wanted:
        if not isinstance(existing, dict) or existing.get(key) != wanted[key]:
            got = existing.get(key) if isinstance(existing, dict) else existing
            short = [
                text if len(text) < 200 else f"{text[:200]}.." for text in (json.dumps(wanted[key]), json.dumps(got))
            ]
            raise ValueError(f"{path}: {key}: expected {short[0]} as in this run, got {short[1]}; use another --out")
