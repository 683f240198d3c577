"""The image's entry point: folders that upstream's scripts write to, and the exit status that their `| tee` loses."""

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
# As in upstream's checkout (models/) and as its evaluation expects (results/).
FOLDERS = {"models": ("rank_live", "ft_live", "rank_tid2013", "ft_rank_tid2013"), "results": ("live", "tid2013")}


def make_folders():
    """Below what is mounted, where the user may."""
    for top, names in FOLDERS.items():
        for name in names:
            if os.access(top, os.W_OK):
                with contextlib.suppress(OSError):  # a file of that name, a full disk: what needs the folder says so
                    Path(top, name).mkdir(exist_ok=True)


def unwritable_log(script):
    """Why `tee` in a script could not write its log, or None when it can: upstream's own goes on without one."""
    text = Path(script).read_text(encoding="utf-8", errors="surrogateescape")
    for log in re.findall(r"\|\s*tee\s+(?:-\S+\s+)*([^\s;|&$]+)", text):
        folder = os.path.dirname(log) or "."
        if not os.path.isdir(folder) and os.path.isdir(os.path.dirname(folder) or "."):
            folder = os.path.dirname(folder) or "."  # make_folders could not make it: say what it could not write to
        problem = advice.unwritable(folder)
        if problem:
            return f"{log}: {problem}"
    return None


def supervise(command):
    """Run one of upstream's shell scripts; the status of the caffe in it where the script's own says nothing.

    Signals go to caffe, which snapshots on SIGINT and ends; the script and its `tee` then end by themselves.
    """
    with tempfile.TemporaryDirectory(prefix="caffe_ref-run-") as folder:
        pid, status = Path(folder, "pid"), Path(folder, "status")
        process = subprocess.Popen(command, env={**os.environ, RUN: folder})

        def forward(number, _frame):
            to = process.pid
            with contextlib.suppress(OSError, ValueError):  # not there yet, or not yet written
                to = int(pid.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(to, number)

        for number in FORWARDED:
            signal.signal(number, forward)
        ended = process.wait()
        ended = 128 - ended if ended < 0 else ended
        with contextlib.suppress(OSError, ValueError):
            return ended or int(status.read_text())
        return ended


def main(command):
    """Returns the exit status, or becomes the command."""
    if not command or not command[0]:
        print("entry: expected a command, got an empty one (an unset variable?)", file=sys.stderr)
        return 127
    here = Path.cwd() == UPSTREAM
    if here and any(word.startswith(("./src/", "src/")) for word in command) and not Path("src").is_dir():
        print(
            "entry: this image was built without the original's files: docker/build.py --from CHECKOUT puts them in",
            file=sys.stderr,
        )
        return 1
    if here:
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
