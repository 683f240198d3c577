"""The image's entry point: create upstream's output folders, and return the exit status that its `| tee` loses."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from caffe_ref.launcher import advice
from caffe_ref.launcher.caffe_bin import FORWARDED, RUN

UPSTREAM = Path("/opt/RankIQA")
# upstream's checkout has those in models/, and its evaluation expects those in results/
FOLDERS = {"models": ("rank_live", "ft_live", "rank_tid2013", "ft_rank_tid2013"), "results": ("live", "tid2013")}


def make_folders():
    """Create upstream's output folders below the mounted folders, where the user has permission."""
    for top, names in FOLDERS.items():
        for name in names:
            if os.access(top, os.W_OK):
                with contextlib.suppress(OSError):  # e.g. a full disk; the command that needs it reports it
                    Path(top, name).mkdir(exist_ok=True)


def unwritable_log(script):
    """Return why `tee` in a script cannot write its log, or None if it can; upstream continues without a log."""
    text = Path(script).read_text(encoding="utf-8", errors="surrogateescape")
    for log in re.findall(r"\|\s*tee\s+(?:-\S+\s+)*([^\s;|&$]+)", text):
        folder = os.path.dirname(log) or "."
        if not os.path.isdir(folder) and os.path.isdir(os.path.dirname(folder) or "."):
            folder = os.path.dirname(folder) or "."  # make_folders could not create it: check its parent
        problem = advice.unwritable(folder)
        if problem:
            return f"{log}: {problem}"
    return None


def supervise(command):
    """Run one of upstream's shell scripts and return its exit status, or, if that is 0, the status of its caffe.

    Signals go to caffe, which on SIGINT writes a snapshot and ends; the script and its `tee` then end by themselves.
    """
    with tempfile.TemporaryDirectory(prefix="caffe_ref-run-") as folder:
        pid, status = Path(folder, "pid"), Path(folder, "status")
        process = subprocess.Popen(command, env={**os.environ, RUN: folder})

        def forward(number, _frame):
            """Send a signal to caffe, or to the script while caffe has not started."""
            target = process.pid
            with contextlib.suppress(OSError, ValueError):  # the file does not exist yet, or is still empty
                target = int(pid.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, number)

        for number in FORWARDED:
            signal.signal(number, forward)
        ended = process.wait()
        ended = 128 - ended if ended < 0 else ended
        with contextlib.suppress(OSError, ValueError):
            return ended or int(status.read_text())
        return ended


def main(command):
    """Run a command: supervise a shell script and return its exit status, or replace this process by the command."""
    if not command or not command[0]:
        print("entry: expected a command, got an empty one (an unset variable?)", file=sys.stderr)
        return 127
    in_upstream = Path.cwd() == UPSTREAM
    if in_upstream and any(word.startswith(("./src/", "src/")) for word in command) and not Path("src").is_dir():
        print(
            "entry: this image was built without the original's files: docker/build.py --from CHECKOUT adds them",
            file=sys.stderr,
        )
        return 1
    if in_upstream:
        make_folders()
    try:
        if command[0].endswith(".sh"):
            problem = unwritable_log(command[0])
            if problem:
                print(f"entry: {problem}", file=sys.stderr)
                return 1
            return supervise(command)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"entry: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
