"""A run of `rankiqa distort`: distribute the photographs of a folder to the workers and count the results."""

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
    return tempfile.TemporaryFile("w+")  # on disk, since there may be many refusals; open as long as the counts exist


@dataclass
class Counts:
    """The results of a run.

    Attributes:
        photographs: The number of photographs for which at least one file was made.
        files: The number of files made.
        skipped_photographs: The number of photographs for which every file was valid.
        skipped_files: The number of valid files.
        skipped_names: The first few of the skipped photographs.
        refused: The number of refused photographs; their rows are on disk.
        peak_kb: {worker: peak memory in KiB}.
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
        """Count a refusal and store its reason."""
        self.refused += 1
        self._refusals.write(json.dumps({"image": file, "error": reason}) + "\n")

    def refusal_rows(self) -> Iterator[dict]:
        """Yield the refusals as {"image", "error"}."""
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
        job: The task.
        workers: The number of processes; None (only with a cluster's `run_jobs`): as many as the cluster has cores.
        shard: (i, n): part i of n.
        expected: The approximate number of photographs in the shard.
        counts: Updated with each result.
        progress: Called with the number of files that are newly made, skipped or refused.
        recursive: Whether to read subfolders, too.
        run_jobs: Runs the jobs: the function of worker_pool, or that of a cluster (ray_jobs).

    Raises:
        WriteError: A result cannot be written.
        WorkerLost: A worker was killed.
        OSError: The folder of the photographs can no longer be read.
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
    """Yield the photographs of (name, files). Refuse those whose names cannot be used."""
    for name, files in named:
        reason = None
        if len(files) > 1:
            reason = f"expected different output names, got {len(files)} photographs for {name}: {', '.join(files)}"
        elif len(os.fsencode(name)) > LONGEST:
            reason = f"expected a name of at most {LONGEST} bytes, got {len(os.fsencode(name))}"
        elif not job.pristine and output_name(files[0]) != Path(files[0]).stem:
            reason = f"expected a name without white space and dots, since lists use the file itself, got {files[0]!r}"
        if reason is None:
            yield Photograph(files[0], name)
            continue
        for file in files:
            counts.refuse(file, reason)
            progress(job.files)
