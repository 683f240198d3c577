"""The `caffe.bin` that upstream's scripts call. It runs the real caffe with the same arguments, except that it

- maps the requested GPU number to an existing GPU, or to the CPU;
- applies two environment variables: CAFFE_SOLVER ("max_iter: 2 display: 1") and CAFFE_SEED (Caffe's random_seed, and
  numpy's seed in upstream's Python layers);
- explains a failure in its last line where Caffe would hang or end in a native stack trace.

The working directory must be the root of upstream's repository, as for the original.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from caffe_ref.launcher import checks, gpus, solver

CAFFE = "/usr/bin/caffe"
FAILURE = "CAFFE_REF_FAILURE"  # a file to which Python inside Caffe writes the cause of a failure
# a folder with two files: `pid`, our process id, for signals; `status`, the exit status, which upstream's `| tee` loses
RUN = "CAFFE_REF_RUN"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def log_line(text):
    """Print a line to stderr, as this program's."""
    print(f"caffe.bin: {text}", file=sys.stderr, flush=True)


def flag(arguments, name):
    """Return (value, index, number of arguments) of a gflags option in any spelling, or (None, None, 0)."""
    for at, word in enumerate(arguments):
        if not word.startswith("-"):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if key == name:
            return (value, at, 1) if equals else ("".join(arguments[at + 1 : at + 2]), at, 2)
    return None, None, 0


def on_this_machine(arguments):
    """Return (arguments with an existing -gpu or without -gpu, whether the CPU is used because there is no GPU)."""
    requested, at, places = flag(arguments, "gpu")
    number, why = gpus.count()
    if number == 0:
        if at is not None:
            log_line(f"GPU {requested} asked for, running on the CPU: {why}")
            arguments = arguments[:at] + arguments[at + places :]
        return arguments, True
    if at is None:
        return arguments, False
    available = gpus.mapped(requested, number)
    if available != requested:
        log_line(f"GPU {requested} asked for, running on GPU {available}: this machine has {number}")
    return [*arguments[:at], "-gpu", available, *arguments[at + places :]], False


def prepared(arguments, folder):
    """Return the arguments for the real caffe; write a changed solver to `folder`.

    Raises:
        ValueError: If the run cannot work.
    """
    words = [word for word in arguments if not word.startswith("-")]
    if "device_query" in words:
        return arguments
    arguments, cpu = on_this_machine(arguments)
    path, at, places = flag(arguments, "solver")
    if "train" not in words or path is None:
        return arguments
    if not path:
        raise ValueError("-solver: expected a file, got none")
    checks.require(path, "solver")
    message = solver.read(path, solver.schema().SolverParameter())
    if cpu and message.solver_mode == message.CPU:
        cpu = False
    changes = solver.changed(message, os.environ.get("CAFFE_SOLVER", ""), os.environ.get("CAFFE_SEED", ""), cpu)
    for change in changes:
        log_line(change)
    weights = (flag(arguments, "weights")[0] or "").split(",")
    checks.before_training(message, [name for name in weights if name], flag(arguments, "snapshot")[0] or "")
    if not changes:
        return arguments
    changed = Path(folder, Path(path).name)
    changed.write_text(solver.to_text(message))
    return [*arguments[:at], f"-solver={changed}", *arguments[at + places :]]


def run(arguments, folder):
    """Run the real caffe and forward signals to it; return (exit status, cause of a failure or "")."""
    failure = Path(folder, "failure")
    root = os.getcwd()
    environment = {**os.environ, FAILURE: str(failure)}
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    # Caffe runs in its own process group. Ctrl-C reaches it only through this process, which can also kill its workers.
    process = subprocess.Popen([CAFFE, *arguments], env=environment, start_new_session=True)
    for number in FORWARDED:
        signal.signal(number, lambda got, _frame: process.send_signal(got))
    status = process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    cause = failure.read_text(encoding="utf-8").strip() if failure.exists() else ""
    if status < 0:
        if -status == signal.SIGKILL:
            cause = cause or "killed, most often for lack of memory: VGG-16 training takes about 12 GB on the CPU"
        else:
            cause = cause or f"ended by signal {-status} ({signal.Signals(-status).name}); its messages are above"
        status = 128 - status
    return status, cause


def main(arguments):
    """Run caffe and return its exit status (128 + n for signal n), or 1 if the run was refused."""
    run_folder = os.environ.get(RUN)
    if run_folder:
        Path(run_folder, "pid").write_text(str(os.getpid()))
    with tempfile.TemporaryDirectory(prefix="caffe_ref-") as folder:
        try:
            status, cause = run(prepared(list(arguments), folder), folder)
        except ValueError as error:
            status, cause = 1, str(error)
    if cause:
        log_line(cause)
    if run_folder:
        Path(run_folder, "status").write_text(str(status))
    return status
