"""Worker processes and their work: one photograph at a time each, over pipes; none outlives the work."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import rankiqa

# One thread a worker: the cores are the workers', and a sum's order must not depend on their number
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
     "VECLIB_MAXIMUM_THREADS"), "1",
)  # fmt: skip

# Without the current folder, which may hold a numpy.py; with the package wherever this process found it
START = """import sys
sys.path[:] = [place for place in sys.path if place] + sys.argv[1:]
from rankiqa.ranked_sets.worker import main
main()"""


class WorkerLost(Exception):
    """A worker ended before its work did; the message says which photograph it had."""


class _Worker:
    def __init__(self, order: dict):
        # A terminal's Ctrl-C goes to the whole group: the workers leave it to the parent, from their first moment on
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, str(Path(rankiqa.__file__).parents[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **ONE_THREAD},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.job: dict | None = None
        self.text = b""
        self.send(order)

    def send(self, message: dict) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[self.process.stdin.write(data) :]
        except BrokenPipeError:
            pass  # it has ended: reading says so

    def answers(self) -> list[dict]:
        """The answers that have come; called when there is something to read. Raises WorkerLost at the end."""
        piece = os.read(self.process.stdout.fileno(), 1 << 16)
        if not piece:
            raise WorkerLost(self._how())
        *lines, self.text = (self.text + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def _how(self) -> str:
        status = self.process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        at = f" at {self.job['file']}" if self.job else ""
        why = "; out of memory? fewer --workers, or a smaller --max-pixels" if status == -signal.SIGKILL else ""
        return f"expected every worker to stay, got one that {how}{at}{why}"

    def end(self) -> None:
        self.process.kill()  # files are whole at any moment
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def work(workers: int, order: dict, jobs: Iterator[dict]) -> Iterator[tuple[int, dict, dict]]:
    """Do the jobs; yields (worker, job, answer) for each answer of `worker.py`, as they come.

    jobs: taken one by one as workers become free. Raises WorkerLost when a worker ends. However this ends, when the
    generator is closed no worker is left.
    """
    crew: list[_Worker] = []
    try:
        with selectors.DefaultSelector() as selector:
            for number in range(workers):
                job = next(jobs, None)
                if job is None:
                    break
                crew.append(_Worker(order))
                selector.register(crew[-1].process.stdout, selectors.EVENT_READ, number)
                _give(crew[-1], job)
            busy = len(crew)
            while busy:
                for key, _ in selector.select():
                    worker = crew[key.data]
                    for answer in worker.answers():
                        yield key.data, worker.job, answer
                        if "files" in answer:
                            continue
                        job = next(jobs, None)
                        if job is None:
                            selector.unregister(worker.process.stdout)
                            busy -= 1
                        else:
                            _give(worker, job)
    finally:
        for worker in crew:
            worker.end()


def _give(worker: _Worker, job: dict) -> None:
    worker.job = job
    worker.send(job)
