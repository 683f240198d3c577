"""A worker process: an order, then photographs, one JSON line each on stdin; its answers as JSON lines on stdout.

Answers: {"files": n} as files are done; then one of {"made", "skipped"}, {"refused": why}, {"failed": why}, each with
"peak_kb", the most memory the process has held.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import sys
import threading

import cv2

from rankiqa.data.images import ImageError
from rankiqa.ranked_sets.make_files import Order, WriteError, make


def main() -> None:
    """Work until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    cv2.setNumThreads(1)

    def say(**answer) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    lines: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    order = json.loads(lines.get())
    order = Order(**order | {"types": tuple(order["types"]), "levels": tuple(order["levels"])})
    while True:
        job = json.loads(lines.get())
        try:
            made, skipped = make(order, job["file"], job["name"], lambda files: say(files=files))
            answer = {"made": made, "skipped": skipped}
        except ImageError as error:
            answer = {"refused": str(error)}
        except WriteError as error:
            answer = {"failed": str(error)}
        say(**answer, peak_kb=_peak())


def _peak() -> int:
    """The most memory that this process has held, in KiB."""
    try:
        with open("/proc/self/status") as status:  # Linux's ru_maxrss starts with what the parent held
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


def _listen(lines: queue.SimpleQueue) -> None:
    """Pass lines on; at their end, or when the parent is gone, end at once: files are whole at any moment."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)
