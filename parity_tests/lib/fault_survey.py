"""Run commands on many inputs and sort what each does: a right answer, a clear error, or a fault.

    table = counts(survey(calls, seconds=20))  # calls: (name, size of the input, call) of each

A call returns an exit status and prints as a command does. It runs in a forked process, so that the survey also sees
crashes of C libraries, hangs and excessive memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

MEMORY_RATIO = 2.5  # times the file's size
MEMORY_FLOOR = 48 << 20  # bytes that a call on a small file may take: modules that are imported late, and buffers
RIGHT = "right answer"


class _TimeIsUp(BaseException):
    """The time limit passed. It derives from BaseException, so that no handler of a command turns it into a message."""


@dataclass(frozen=True)
class Outcome:
    """The result of one call.

    Attributes:
        name: The name of the call.
        result: "right answer" (exit status 0), "clear error", or a fault: "traceback", "unclear error", "crash",
            "hang", "memory".
        detail: The error, or what is wrong with it.
    """

    name: str
    result: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.result not in (RIGHT, "clear error")


def _peak_memory() -> int:
    """Return the largest resident memory since `_forget_peak`, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _attempt(name: str, size: int, call: Callable[[], int], seconds: float) -> Outcome:
    """Run one call in this process."""

    def late(*_):
        raise _TimeIsUp

    out, err = io.StringIO(), io.StringIO()
    previous = signal.signal(signal.SIGALRM, late)
    _forget_peak()
    before = _peak_memory()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = call()
    except _TimeIsUp:
        return Outcome(name, "hang", f"more than {seconds} s")
    except SystemExit as stop:
        status = stop.code
    except BaseException:  # any exception that leaves a command is a fault to report
        return Outcome(name, "traceback", traceback.format_exc(limit=-4))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    printed = err.getvalue()
    if "Traceback" in printed:
        return Outcome(name, "traceback", printed)
    grown = _peak_memory() - before
    if grown > max(MEMORY_RATIO * size, MEMORY_FLOOR):
        return Outcome(name, "memory", f"{grown >> 20} MiB for a file of {size} bytes; {printed[-200:]}")
    if status == 0:
        return Outcome(name, RIGHT)
    last = printed.strip().splitlines()[-1:] or [""]
    # The last line must name the problem; argparse may print its usage text before it
    clear = status in (1, 2) and ": " in last[0] and len(last[0]) < 20_000
    return Outcome(
        name, "clear error" if clear else "unclear error", last[0][:300] if clear else f"{status}: {printed}"
    )


def survey(calls: Iterable[tuple[str, int, Callable[[], int]]], seconds: float = 20.0) -> list[Outcome]:
    """Run calls one by one in forked processes.

    Args:
        calls: (name, size of its input in bytes, call) of each; a call returns the exit status.
        seconds: The time limit of each call.

    Returns:
        One Outcome for each call, in order.
    """
    calls, outcomes = list(calls), []
    while len(outcomes) < len(calls):
        with tempfile.TemporaryFile() as results:
            child = os.fork()
            if not child:
                try:
                    os.setpgid(0, 0)
                    for call in calls[len(outcomes) :]:
                        with os.fdopen(os.dup(results.fileno()), "ab") as file:
                            file.write(json.dumps(asdict(_attempt(*call, seconds))).encode() + b"\n")
                finally:
                    os._exit(0)
            status = _wait(child, results, seconds)
            results.seek(0)
            whole = results.read().split(b"\n")[:-1]  # a process that crashed while writing leaves a partial line
            outcomes += [Outcome(**json.loads(line)) for line in whole]
        if len(outcomes) < len(calls):
            result = "hang" if status == -signal.SIGKILL else "crash"
            outcomes.append(Outcome(calls[len(outcomes)][0], result, f"process ended with {status}"))
    return outcomes


def _wait(child: int, results, seconds: float) -> int:
    """Wait for a child that writes results; kill it if none arrives for more than twice a call's time limit."""
    size, since = 0, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if os.fstat(results.fileno()).st_size != size:
            size, since = os.fstat(results.fileno()).st_size, time.monotonic()
        if time.monotonic() - since > 2 * seconds + 10:  # it hangs in a C library, where no signal is handled
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count the outcomes by result, including results that did not occur."""
    table = dict.fromkeys((RIGHT, "clear error", "unclear error", "traceback", "crash", "hang", "memory"), 0)
    for outcome in outcomes:
        table[outcome.result] += 1
    return table
