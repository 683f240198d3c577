"""The worker processes of `rankiqa distort` and `rankiqa prepare`."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import psutil
import pytest

from rankiqa.ranked_sets.worker_pool import JOBS_PER_WORKER, WORKER_ENVIRONMENT, WorkerLost, run_jobs


def square(job, report):
    report(2)
    return job * job


def describe_worker(job, report):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    environment = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    return signal.getsignal(signal.SIGINT), blocked, environment, cv2.getNumThreads(), "" in sys.path


def print_to_stdout(job, report):
    os.write(1, b"a library's words\n")


def kill_itself(job, report):
    if job == "b.png":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(20)


def exit_at_once(job, report):
    os._exit(3)


def raise_error(job, report):
    raise OSError(28, "No space left on device", job)


def sleep_long(job, report):
    Path(job).write_text(str(os.getpid()))
    time.sleep(60)


def take(function, jobs, workers=2, **options):
    return list(run_jobs(function, iter(jobs), workers, **options))


def no_children():
    return multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_once_and_every_step_counted(workers):
    steps, peaks = [], {}
    results = take(square, range(50), workers, progress=steps.append, peak_kb=peaks)
    assert sorted(results) == [(n, n * n) for n in range(50)]
    assert sum(steps) == 100
    assert 1 <= len(peaks) <= workers and all(10_000 < peak < 2_000_000 for peak in peaks.values())
    assert no_children()
    assert take(square, []) == []


def test_jobs_are_taken_as_workers_become_free():
    drawn = 0

    def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    with contextlib.closing(run_jobs(square, endless(), 2)) as results:
        for ended, _ in enumerate(results, start=1):
            assert drawn <= ended + JOBS_PER_WORKER * 2
            if ended == 40:
                break
    assert no_children()


def test_a_worker_has_one_thread_and_leaves_ctrl_c_alone():
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    ((_, (handler, blocked, environment, threads, current_folder)),) = take(describe_worker, [0])
    assert handler is signal.SIG_IGN and not blocked & {signal.SIGINT, signal.SIGTERM}
    assert set(environment.values()) == {"1"} and threads == 1 and not current_folder
    assert {name: os.environ.get(name) for name in WORKER_ENVIRONMENT} == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


def test_what_a_worker_prints_is_no_result(capfd):
    take(print_to_stdout, [0])
    captured = capfd.readouterr()
    assert captured.out == "" and "a library's words" in captured.err


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (kill_itself, r"got one that was killed by signal 9 at b\.png; out of memory\? fewer --workers"),
        (exit_at_once, r"got one that ended with status 3 at [ab]\.png"),
    ],
)
def test_a_lost_worker_is_reported_with_its_job(function, words):
    begin = time.monotonic()
    with pytest.raises(WorkerLost, match=words):
        take(function, ["a.png", "b.png"])
    assert time.monotonic() - begin < 15 and no_children()


def test_an_error_of_a_job_ends_the_run():
    with pytest.raises(OSError, match="No space left") as error:
        take(raise_error, ["a.png", "b.png"])
    assert error.value.filename in ("a.png", "b.png") and no_children()


def test_closing_ends_jobs_that_run(tmp_path):
    file = tmp_path / "pid"

    def stop():
        while not (file.exists() and file.read_text()):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    begin = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore SIGINT
    threading.Thread(target=stop, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            take(sleep_long, [str(file)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < 30 and no_children()
    assert not psutil.pid_exists(int(file.read_text()))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = "import test_worker_pool as t; t.take(t.sleep_long, [t.sys.argv[1]])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", code, file], env=environment, stderr=subprocess.DEVNULL)
    while not (file.exists() and file.read_text()):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    worker = int(file.read_text())
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
