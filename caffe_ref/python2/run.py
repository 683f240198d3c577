"""Run a Python 2 script as __main__."""

import os
import sys
import types

from caffe_ref.python2 import hook

USAGE = "python: this command runs the original's Python 2 scripts: python SCRIPT [ARGUMENTS]; python3 is Python 3"


def _say(text):
    """Print a line to stderr and return exit status 2."""
    print(text, file=sys.stderr, flush=True)
    return 2


def _without_our_frames(trace):
    """Return a traceback without the frames of this module."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def main(argv, before=None):
    """Call before(), run argv[0] with argv as its sys.argv, and return the exit status."""
    if not argv or argv[0].startswith("-"):
        return _say(USAGE)
    path = argv[0]
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        return _say(f"python: {path}: {error.strerror} (in {os.getcwd()})")
    from caffe_ref.python2.translate import names, translate

    hook.Finder.before_first = None  # `before` replaces it
    hook.prepare(before)
    module = types.ModuleType("__main__")
    vars(module).update(names(), __file__=path)
    sys.argv, sys.path[0], sys.modules["__main__"] = list(argv), os.path.dirname(os.path.abspath(path)), module
    try:
        exec(translate(source, path), vars(module))
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = _without_our_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0
