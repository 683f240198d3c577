"""Prepare a Python that runs upstream's code, in `caffe train` or in a script, before its first module is loaded."""

import functools
import os
import sys
import traceback
from pathlib import Path

from caffe_ref.launcher import advice, gpus, solver

FAILURE = "CAFFE_REF_FAILURE"
_last_image = None


def _remember_images():
    """Store the path of the last image that was read, to explain a failure."""
    import cv2

    read = cv2.imread

    def imread(path, *flags):
        global _last_image
        _last_image = path
        return read(path, *flags)

    cv2.imread = imread


def _seed():
    """Seed numpy from CAFFE_SEED; exit if the seed is invalid."""
    seed = os.environ.get("CAFFE_SEED")
    if seed:
        import numpy

        try:
            numpy.random.seed(solver.seed_of(seed))
        except solver.BadSolver as error:
            sys.exit(f"python: {error}")
        print(f"CAFFE_SEED: numpy's seed is {seed} (upstream never seeds)", file=sys.stderr, flush=True)


def explain(kind, error, trace):
    """Print the usual traceback (as sys.excepthook), then the cause: to the launcher's file, or to stderr."""
    traceback.print_exception(kind, error, trace)
    cause = advice.of_error(error, _last_image) if isinstance(error, Exception) else None
    if os.environ.get(FAILURE):
        text = cause or traceback.format_exception_only(kind, error)[-1].strip()
        # the text may contain a file name that is not valid UTF-8
        Path(os.environ[FAILURE]).write_text(text, encoding="utf-8", errors="backslashreplace")
    elif cause:
        print(f"python: {cause}", file=sys.stderr, flush=True)


def _reporting(method):
    """Wrap a method so that it explains its exceptions before raising them."""

    @functools.wraps(method)
    def run(*arguments):
        try:
            return method(*arguments)
        except Exception:
            explain(*sys.exc_info())
            raise

    return run


def report_layers(module):
    """Make a module's layers print their exceptions; Caffe itself ends in a native stack trace without them."""
    import caffe

    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, caffe.Layer) and kind.__module__ == module.__name__:
            for name in ("setup", "reshape", "forward", "backward"):
                setattr(kind, name, _reporting(getattr(kind, name)))


def prepare():
    """Install the seed and the explanations of failures; called once, before upstream's first module runs."""
    from caffe_ref.python2 import hook, pool

    pool.explain = advice.of_argument
    _remember_images()
    _seed()
    sys.excepthook = explain
    if os.environ.get(FAILURE):  # inside `caffe train`
        hook.Finder.after_each = report_layers


def prepare_script():
    """Do the same for an evaluation or list script, which selects GPUs through pycaffe."""
    prepare()
    import caffe

    number, why = gpus.count()
    set_device = caffe.set_device

    def on_gpu(requested):
        """Replace caffe.set_device: map the GPU number."""
        available = requested % number
        if available != requested:
            print(
                f"GPU {requested} asked for, running on GPU {available}: this machine has {number}",
                file=sys.stderr,
                flush=True,
            )
        set_device(available)

    def on_cpu(requested):
        """Replace caffe.set_device: use the CPU."""
        print(f"GPU {requested} asked for, running on the CPU: {why}", file=sys.stderr, flush=True)

    caffe.set_device = on_gpu if number else on_cpu
    if not number:
        caffe.set_mode_gpu = caffe.set_mode_cpu
