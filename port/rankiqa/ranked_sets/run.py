"""A run of `rankiqa distort`: the photographs of a folder go to the workers, the counts come back."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from rankiqa.ranked_sets import worker_pool
from rankiqa.ranked_sets.make_files import DistortionJob, make_files
from rankiqa.ranked_sets.names import LONGEST, SHOWN, Photograph, output_name, photographs


def _temporary_file() -> TextIO:
    return tempfile.TemporaryFile("w+")  # open as long as the counts: there may be many refusals


@dataclass
class Counts:
    """What became of the photographs.

    Attributes:
        photographs: Those of which at least one file was made.
        files: Files made.
        skipped_photographs: Those that lacked nothing.
        skipped_files: Files that were valid.
        skipped_names: The first few of `skipped_photographs`.
        refused: Photographs that were refused; their rows are on disk.
        peak_kb: {worker: the most memory it has held, KiB}.
    """

    photographs: int = 0
    files: int = 0
    skipped_photographs: int = 0
    skipped_files: int = 0
    skipped_names: list[str] = field(default_factory=list)
    refused: int = 0
    peak_kb: dict[int, int] = field(default_factory=dict)
    _refusals: TextIO = field(default_factory=_temporary_file, repr=False)

    def refuse(self, file: str, reason: str) -> None:
        """Count a refusal and keep its reason."""
        self.refused += 1
        self._refusals.write(json.dumps({"image": file, "error": reason}) + "\n")

    def refusal_rows(self) -> Iterator[dict]:
        """What was refused, as {"image", "error"}."""
        self._refusals.seek(0)
        for line in self._refusals:
            yield json.loads(line)


def run(
    job: DistortionJob,
    workers: int | None,
    shard: tuple[int, int],
    expected: int,
    counts: Counts,
    progress: Callable[[int], object],
    *,
    recursive: bool = False,
    run_jobs: Callable = worker_pool.run_jobs,
) -> None:
    """Distort all photographs of a shard.

    Args:
        job: What is made of each.
        workers: The number of processes; None, which only a cluster's `run_jobs` takes: as it has cores.
        shard: (i, n): the i-th of n parts.
        expected: About how many photographs the shard has.
        counts: Updated as results come.
        progress: Called with the number of files that are newly done, skipped or refused.
        recursive: Whether the photographs of folders inside are taken, too.
        run_jobs: What runs the jobs: that of worker_pool, or one of a cluster (ray_jobs).

    Raises:
        WriteError: A result cannot be written.
        WorkerLost: A worker was killed.
        OSError: The folder of the photographs cannot be read any more.
    """
    results = run_jobs(
        partial(make_files, job=job),
        _acceptable(job, photographs(Path(job.images), shard, expected, recursive=recursive), counts, progress),
        workers,
        describe=lambda photograph: photograph.file,
        progress=progress,
        peak_kb=counts.peak_kb,
    )
    with contextlib.closing(results):
        for photograph, outcome in results:
            if outcome.refused is not None:
                counts.refuse(photograph.file, outcome.refused)
                continue
            counts.files += outcome.made
            counts.skipped_files += outcome.skipped
            if outcome.made:
                counts.photographs += 1
            else:
                counts.skipped_photographs += 1
                if len(counts.skipped_names) < SHOWN:
                    counts.skipped_names.append(photograph.file)


def _acceptable(
    job: DistortionJob, named: Iterator[tuple[str, list[str]]], counts: Counts, progress: Callable[[int], object]
) -> Iterator[Photograph]:
    """The photographs of (name, files); those whose name cannot be used are refused."""
    for name, files in named:
        reason = None
        if len(files) > 1:
            reason = f"expected names that differ, got {len(files)} photographs for {name}: {', '.join(files)}"
        elif len(os.fsencode(name)) > LONGEST:
            reason = f"expected a name of at most {LONGEST} bytes, got {len(os.fsencode(name))}"
        elif not job.pristine and output_name(files[0]) != Path(files[0]).stem:
            reason = f"expected a name without white space and dots, since it stays where lists look, got {files[0]!r}"
        if reason is None:
            yield Photograph(files[0], name)
            continue
        for file in files:
            counts.refuse(file, reason)
            progress(job.files)
