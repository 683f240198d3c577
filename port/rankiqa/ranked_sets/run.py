"""A run: the photographs of a folder to the workers, and the tally of what came back."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from rankiqa.ranked_sets.make_files import Order, WriteError
from rankiqa.ranked_sets.names import LONGEST, SHOWN, output_name, photographs
from rankiqa.ranked_sets.worker_pool import work


def _spool() -> TextIO:
    return tempfile.TemporaryFile("w+")  # open as long as the tally: there may be many refusals


@dataclass
class Tally:
    """What became of the photographs; `skipped_names`: the first few that lacked nothing; `refusals`: on disk."""

    photographs: int = 0  # with at least one file made
    files: int = 0
    skipped_photographs: int = 0
    skipped_files: int = 0
    skipped_names: list[str] = field(default_factory=list)
    refused: int = 0
    peak_kb: dict[int, int] = field(default_factory=dict)  # of each worker
    refusals: TextIO = field(default_factory=_spool, repr=False)

    def refuse(self, file: str, why: str) -> None:
        """Note a refusal."""
        self.refused += 1
        self.refusals.write(json.dumps({"image": file, "error": why}) + "\n")

    def refusal_rows(self) -> Iterator[dict]:
        """What was refused, as {"image", "error"}."""
        self.refusals.seek(0)
        for line in self.refusals:
            yield json.loads(line)


def run(
    order: Order, workers: int, shard: tuple[int, int], expected: int, tally: Tally, progress: Callable[[int], None]
) -> None:
    """Make an order, all photographs of the shard; counts go to `tally` as they come.

    expected: about how many photographs the shard has. progress: told of files that are done, skipped or refused.
    Raises WriteError, WorkerLost, OSError.
    """
    done: dict[int, int] = {}  # files of each worker's photograph
    jobs = _jobs(order, shard, expected, tally, progress)
    with contextlib.closing(work(workers, asdict(order), jobs)) as answers:
        for worker, job, answer in answers:
            if "files" in answer:
                done[worker] = done.get(worker, 0) + answer["files"]
                progress(answer["files"])
                continue
            tally.peak_kb[worker] = answer["peak_kb"]
            progress(order.files - done.pop(worker, 0))
            if "failed" in answer:
                raise WriteError(answer["failed"])
            if "refused" in answer:
                tally.refuse(job["file"], answer["refused"])
                continue
            tally.files += answer["made"]
            tally.skipped_files += answer["skipped"]
            if answer["made"]:
                tally.photographs += 1
            else:
                tally.skipped_photographs += 1
                if len(tally.skipped_names) < SHOWN:
                    tally.skipped_names.append(job["file"])


def _jobs(order: Order, shard: tuple[int, int], expected: int, tally: Tally, progress: Callable) -> Iterator[dict]:
    """A worker's job for each photograph; those whose name stands in the way are refused."""
    for name, files in photographs(Path(order.images), shard, expected):
        why = None
        if len(files) > 1:
            why = f"expected names that differ, got {len(files)} photographs for {name}: {', '.join(files)}"
        elif len(os.fsencode(name)) > LONGEST:
            why = f"expected a name of at most {LONGEST} bytes, got {len(os.fsencode(name))}"
        elif not order.pristine and output_name(files[0]) != Path(files[0]).stem:
            why = f"expected a name without white space and dots, since it stays where lists look, got {files[0]!r}"
        if why is None:
            yield {"file": files[0], "name": name}
            continue
        for file in files:
            tally.refuse(file, why)
            progress(order.files)
