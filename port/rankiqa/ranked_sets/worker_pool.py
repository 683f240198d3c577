"""Worker processes for jobs on many files: single-threaded, with one job at a time each.

`concurrent.futures` runs them. This module adds a bounded queue, progress inside a job, the memory of each worker, and
the name of the job of a worker that was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import cv2

# One thread per worker: the workers use all cores, and the order of a sum must not depend on the number of cores.
# PYTHONSAFEPATH prevents the import of a numpy.py in the current folder.
WORKER_ENVIRONMENT: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
     "VECLIB_MAXIMUM_THREADS", "PYTHONSAFEPATH"), "1",
)  # fmt: skip
JOBS_PER_WORKER = 3  # jobs that wait or run; keeps the memory independent of the number of jobs
POLL_SECONDS = 0.2  # between two checks of the progress
# Indices into a worker's part of the shared array.
PID, JOB, DONE, PEAK_KB, FIELDS = 0, 1, 2, 3, 4

_status: Any = None  # in a worker: its part of the shared array


class WorkerLost(Exception):
    """A worker ended before its job did. The message names the job."""


def run_jobs(
    function: Callable[[Any, Callable[[int], None]], Any],
    jobs: Iterator,
    workers: int,
    *,
    describe: Callable[[Any], str] = str,
    progress: Callable[[int], object] = lambda steps: None,
    peak_kb: dict[int, int] | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Run a function on each job in worker processes.

    All workers end with the generator, and when this process is killed.

    Args:
        function: Called in a worker with a job and a callback for the number of steps just done. The function and the
            jobs must be picklable.
        jobs: An iterator, advanced as workers become free.
        workers: The number of processes; no more are started than there are jobs.
        describe: Returns the name of a job for an error message.
        progress: Called in this process with the number of newly done steps.
        peak_kb: Updated with {worker: peak memory in KiB}.

    Yields:
        (job, return value of the function), in the order in which the jobs end.

    Raises:
        WorkerLost: A worker was killed or ended by itself.
        Exception: Any exception of the function.
    """
    context = _Context()
    shared = context.RawArray("q", FIELDS * workers)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (shared, context.Value("i", 0)))
    numbered_jobs = enumerate(jobs, start=1)
    pending: dict[Future, tuple[int, Any]] = {}
    steps = 0

    def poll() -> None:
        nonlocal steps
        status = _split(shared)
        if peak_kb is not None:
            peak_kb.update({number: part[PEAK_KB] for number, part in enumerate(status) if part[PEAK_KB]})
        previous, steps = steps, sum(part[DONE] for part in status)
        if steps > previous:
            progress(steps - previous)

    try:
        while True:
            while len(pending) < JOBS_PER_WORKER * workers and (numbered_job := next(numbered_jobs, None)):
                pending[pool.submit(_run_job, function, *numbered_job)] = numbered_job
            if not pending:
                break
            ended, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            poll()
            if not ended and any(process.exitcode is not None for process in context.processes):
                raise BrokenProcessPool  # the pool does not detect that a process ends right after its start
            for future in ended:
                result = future.result()
                yield pending.pop(future)[1], result
    except BrokenProcessPool:
        for process in context.processes:
            process.terminate()
        pool.shutdown(wait=True)
        poll()
        running = {part[PID]: dict(pending.values()).get(part[JOB]) for part in _split(shared)}
        raise WorkerLost(_describe_loss(context.processes, running, describe)) from None
    finally:
        for process in context.processes:
            process.kill()  # safe at any moment, since files are written atomically
        pool.shutdown(wait=True, cancel_futures=True)


class _Process(SpawnProcess):
    """A worker that starts with one thread and with Ctrl-C blocked."""

    def start(self) -> None:
        """Start the process.

        A terminal sends Ctrl-C to the whole process group. Workers must ignore it from the beginning, since the parent
        handles it.
        """
        previous = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        os.environ.update(WORKER_ENVIRONMENT)
        try:
            super().start()
        finally:
            for name, value in previous.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Context(SpawnContext):
    """A context that spawns processes (a fork would copy the locks of other threads) and keeps a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[_Process] = []

    def Process(self, *arguments: Any, **options: Any) -> _Process:  # type: ignore[override]
        """Return a worker that has not been started."""
        self.processes.append(_Process(*arguments, **options))
        return self.processes[-1]


def _split(shared: Any) -> list[list[int]]:
    """Return each worker's part of the shared array as a list."""
    values = shared[:]
    return [values[start : start + FIELDS] for start in range(0, len(values), FIELDS)]


def _describe_loss(processes: list[_Process], running: dict[int, Any], describe: Callable[[Any], str]) -> str:
    """Return the message about a lost worker. `running` is {process id: its job or None}."""
    lost = [process for process in processes if process.exitcode not in (None, 0, -signal.SIGTERM)] or processes
    exit_code = lost[0].exitcode or 0
    how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with status {exit_code}"
    names = [describe(job) for process in lost if (job := running.get(process.pid or 0)) is not None]
    where = f" at {' or '.join(names)}" if names else ""
    advice = "; out of memory? fewer --workers, or a smaller --max-pixels" if exit_code == -signal.SIGKILL else ""
    return f"expected every worker to end its jobs, got one that {how}{where}{advice}"


def _run_job(function: Callable, number: int, job: Any) -> Any:
    """Run one job in a worker."""

    def report(steps: int) -> None:
        _status[DONE] += steps

    _status[JOB] = number
    try:
        return function(job, report)
    finally:
        _status[PEAK_KB] = peak_memory_kb()
        _status[JOB] = 0


def _start_worker(shared: Any, counter: Any) -> None:
    """Set up a worker: it ends with its parent, ignores Ctrl-C, and computes in one thread."""
    global _status

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os.dup2(2, 1)  # redirect stdout to stderr: a library's output is no result of the command
    cv2.setNumThreads(1)
    with counter.get_lock():
        start = FIELDS * counter.value
        counter.value += 1
    _status = memoryview(shared).cast("B").cast("q")[start : start + FIELDS]
    _status[PID] = os.getpid()


def peak_memory_kb() -> int:
    """Return the peak memory of this process in KiB."""
    try:
        with open("/proc/self/status") as status:  # Linux's ru_maxrss includes the parent's memory at the start
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
