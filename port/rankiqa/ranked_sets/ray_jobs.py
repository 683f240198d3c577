"""Process many files in tasks of a Ray cluster, instead of the worker processes of `worker_pool`.

Every machine reads and writes the same folders by the same paths. If a machine is lost, its task starts again on
another one. This is safe for `make_files`, which keeps valid files and writes files atomically.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2

from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets import set_description
from rankiqa.ranked_sets.make_files import DistortionJob
from rankiqa.ranked_sets.worker_pool import POLL_SECONDS, WORKER_ENVIRONMENT, WorkerLost, peak_memory_kb

RETRIES = 10  # attempts at a photograph whose machine is lost
TASKS_PER_CORE = 2  # tasks that wait or run; keeps the memory independent of the number of photographs

_checked: set[str] = set()  # in a worker: the runs for which this machine has been checked


def run_jobs(
    function: Callable[[Any, Callable[[int], None]], Any],
    jobs: Iterator,
    workers: int | None,
    *,
    ray: ModuleType,
    check: Callable[[], str | None],
    describe: Callable[[Any], str] = str,
    progress: Callable[[int], object] = lambda steps: None,
    peak_kb: dict[int, int] | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Run a function on each job in tasks of a Ray cluster, one core each.

    Args:
        function: As for `worker_pool.run_jobs`. It may run more than once for a job.
        jobs: An iterator, advanced as cores become free.
        workers: The largest number of tasks at a time; None: two per core of the cluster, one of which runs.
        ray: The module, connected to a cluster.
        check: Called in each worker before its first job. It returns why the machine cannot take part, or None.
        describe: Returns the name of a job for an error message.
        progress: Called with the number of steps of a job when it has ended.
        peak_kb: Updated with {worker: peak memory in KiB}.

    Yields:
        (job, return value of the function), in the order in which the jobs end.

    Raises:
        WriteError: A result cannot be written.
        WorkerLost: A machine cannot take part, or a job lost its worker too often.
    """
    # As in worker_pool: the order of a sum must not depend on the cores of a machine.
    environment = {name: value for name, value in WORKER_ENVIRONMENT.items() if name.endswith("_THREADS")}
    task = ray.remote(num_cpus=1, max_retries=RETRIES, runtime_env={"env_vars": environment})(_run_task)
    pending: dict[Any, Any] = {}
    workers_seen: dict[tuple[str, int], int] = {}
    try:
        while True:
            limit = workers or TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 0)))
            while len(pending) < limit and (job := next(jobs, None)) is not None:
                pending[task.remote(function, check, job)] = job
            if not pending:
                break
            ended, _ = ray.wait(list(pending), num_returns=1, timeout=POLL_SECONDS)
            for reference in ended:
                job = pending.pop(reference)
                result, steps, worker, peak = _result(ray, reference, describe(job))
                progress(steps)
                number = workers_seen.setdefault(worker, len(workers_seen))
                if peak_kb is not None:
                    peak_kb[number] = max(peak, peak_kb.get(number, 0))
                yield job, result
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def _result(ray: ModuleType, reference: Any, name: str) -> tuple[Any, int, tuple[str, int], int]:
    """Return the result of `_run_task` for a job. Raise its errors, and Ray's, as `run_jobs` does."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        got = " ".join(str(error).split()) or type(error).__name__
        raise WorkerLost(f"expected a worker that ends its job, lost one at {name}: {got}") from None


def _run_task(
    function: Callable[[Any, Callable[[int], None]], Any], check: Callable[[], str | None], job: Any
) -> tuple[Any, int, tuple[str, int], int]:
    """Run one job in a worker and return (its result, steps, (machine, process), peak memory in KiB)."""
    cv2.setNumThreads(1)
    if (problem := check()) is not None:
        raise WorkerLost(problem)
    steps = 0

    def report(more: int) -> None:
        nonlocal steps
        steps += more

    result = function(job, report)
    return result, steps, (socket.gethostname(), os.getpid()), peak_memory_kb()


def check_machine(job: DistortionJob, versions: dict[str, str]) -> str | None:
    """Return why this machine cannot take part in a run, or None.

    Args:
        job: The task of the run.
        versions: Versions of code and libraries where the run began (`settings.settings`); the bytes depend on them.
    """
    if job.temporary in _checked:
        return None
    host = socket.gethostname()
    for folder in (job.images, job.temporary):
        if not Path(folder).is_dir():
            return f"{host}: expected the run's folders at the same paths on every machine, got no {folder}"
    ours = set_description.settings(job.dataset, job.seed, DATASETS[job.dataset])["versions"]
    for name in dict.fromkeys([*versions, *ours]):
        if ours.get(name) != versions.get(name):
            return (
                f"{host}: expected {name} {versions.get(name)}, as on the machine where the run began, got "
                f"{ours.get(name)}"
            )
    _checked.add(job.temporary)
    return None
