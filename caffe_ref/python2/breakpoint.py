"""pdb.set_trace() of a script that runs without a terminal: said, and passed."""

import pdb
import sys


def set_trace(**named):
    """Stops in the debugger where somebody can answer it."""
    caller = sys._getframe(1)
    if sys.stdin is not None and sys.stdin.isatty():
        debugger = pdb.Pdb(**named)
        debugger.set_trace(caller)
        return
    where = f"{caller.f_code.co_filename} line {caller.f_lineno}"
    print(f"{where}: breakpoint passed: no terminal (docker run -it stops here)", file=sys.stderr, flush=True)


def install():
    pdb.set_trace = set_trace
