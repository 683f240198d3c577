"""Stands where upstream's scripts look for `caffe.bin`: runs the real caffe with the same arguments, and only

- maps the GPU number asked for to one that exists, or to the CPU;
- applies what the user asks for by environment: CAFFE_SOLVER ("max_iter: 2 display: 1"), CAFFE_SEED (Caffe's
  random_seed, and numpy's in upstream's Python layers);
- says in its last line what was wrong, where Caffe would hang or end in a native stack.

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
FAILURE = "CAFFE_REF_FAILURE"  # a file in which Python inside Caffe says what went wrong
RUN = "CAFFE_REF_RUN"  # a folder: `pid`, ours, for signals; `status`, the exit status, which upstream's `| tee` loses
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def log_line(text):
    print(f"caffe.bin: {text}", file=sys.stderr, flush=True)


def flag(arguments, name):
    """(value, first place, places taken) of a gflags option in any of its spellings, or (None, None, 0)."""
    for at, word in enumerate(arguments):
        if not word.startswith("-"):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if key == name:
            return (value, at, 1) if equals else ("".join(arguments[at + 1 : at + 2]), at, 2)
    return None, None, 0


def on_this_machine(arguments):
    """(arguments with a -gpu that exists or none, is it the CPU because no GPU can be used?)."""
    asked, at, places = flag(arguments, "gpu")
    number, why = gpus.count()
    if number == 0:
        if at is not None:
            log_line(f"GPU {asked} asked for, running on the CPU: {why}")
            arguments = arguments[:at] + arguments[at + places :]
        return arguments, True
    if at is None:
        return arguments, False
    available = gpus.mapped(asked, number)
    if available != asked:
        log_line(f"GPU {asked} asked for, running on GPU {available}: this machine has {number}")
    return [*arguments[:at], "-gpu", available, *arguments[at + places :]], False


def prepared(arguments, folder):
    """Arguments for the real caffe; a changed solver is written to `folder`. ValueError when the run cannot work."""
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
    made = Path(folder, Path(path).name)
    made.write_text(solver.to_text(message))
    return [*arguments[:at], f"-solver={made}", *arguments[at + places :]]


def run(arguments, folder):
    """Run the real caffe, signals passed on; returns (exit status, what Python inside it said of a failure)."""
    failure = Path(folder, "failure")
    root = os.getcwd()
    environment = {**os.environ, FAILURE: str(failure)}
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    # a group of its own: Ctrl-C comes through us and is Caffe's alone, and workers that outlive it can be ended
    process = subprocess.Popen([CAFFE, *arguments], env=environment, start_new_session=True)
    for number in FORWARDED:
        signal.signal(number, lambda got, _frame: process.send_signal(got))
    status = process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    said = failure.read_text(encoding="utf-8").strip() if failure.exists() else ""
    if status < 0:
        if -status == signal.SIGKILL:
            said = said or "killed, most often for want of memory: VGG-16 training takes about 12 GB on the CPU"
        else:
            said = said or f"ended by signal {-status} ({signal.Signals(-status).name}); what it said is above"
        status = 128 - status
    return status, said


def main(arguments):
    """Returns caffe's exit status (128 + n for signal n); 1 where the run was refused."""
    run_folder = os.environ.get(RUN)
    if run_folder:
        Path(run_folder, "pid").write_text(str(os.getpid()))
    with tempfile.TemporaryDirectory(prefix="caffe_ref-") as folder:
        try:
            status, said = run(prepared(list(arguments), folder), folder)
        except ValueError as error:
            status, said = 1, str(error)
    if said:
        log_line(said)
    if run_folder:
        Path(run_folder, "status").write_text(str(status))
    return status
