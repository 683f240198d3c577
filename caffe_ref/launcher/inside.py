"""What is done inside a Python that runs upstream's code, in `caffe train` and in scripts, before its first module."""

import functools
import os
import sys
import traceback
from pathlib import Path

from caffe_ref.launcher import advice, gpus, solver

FAILURE = "CAFFE_REF_FAILURE"
_last_image = None


def _remember_images():
    """Keep the path of the last image read, for the explanation of a failure."""
    import cv2

    read = cv2.imread

    def imread(path, *flags):
        global _last_image
        _last_image = path
        return read(path, *flags)

    cv2.imread = imread


def _seed():
    seed = os.environ.get("CAFFE_SEED")
    if seed:
        import numpy

        try:
            numpy.random.seed(solver.seed_of(seed))
        except solver.BadSolver as error:
            sys.exit(f"python: {error}")
        print(f"CAFFE_SEED: numpy's seed is {seed} (upstream never seeds)", file=sys.stderr, flush=True)


def explain(kind, error, trace):
    """The traceback as ever (a sys.excepthook), then what it is about: for the launcher's last line, or at once."""
    traceback.print_exception(kind, error, trace)
    said = advice.of_error(error, _last_image) if isinstance(error, Exception) else None
    if os.environ.get(FAILURE):
        text = said or traceback.format_exception_only(kind, error)[-1].strip()
        # the name of a file in it need not be text
        Path(os.environ[FAILURE]).write_text(text, encoding="utf-8", errors="backslashreplace")
    elif said:
        print(f"python: {said}", file=sys.stderr, flush=True)


def _reporting(method):
    @functools.wraps(method)
    def run(*arguments):
        try:
            return method(*arguments)
        except Exception:
            explain(*sys.exc_info())
            raise

    return run


def report_layers(module):
    """Let a module's layers show their exceptions: Caffe of 2018 ends in a native stack without a word of them."""
    import caffe

    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, caffe.Layer) and kind.__module__ == module.__name__:
            for name in ("setup", "reshape", "forward", "backward"):
                setattr(kind, name, _reporting(getattr(kind, name)))


def prepare():
    """Seed, explanations. Called once, before the first of upstream's modules runs."""
    from caffe_ref.python2 import hook, pool

    pool.explain = advice.of_argument
    _remember_images()
    _seed()
    sys.excepthook = explain
    if os.environ.get(FAILURE):  # inside `caffe train`
        hook.Finder.after_each = report_layers


def prepare_script():
    """The same for an evaluation or list script, where GPU numbers are asked for through pycaffe."""
    prepare()
    import caffe

    number, why = gpus.count()
    set_device = caffe.set_device

    def on_gpu(asked):
        available = asked % number
        if available != asked:
            print(
                f"GPU {asked} asked for, running on GPU {available}: this machine has {number}",
                file=sys.stderr,
                flush=True,
            )
        set_device(available)

    def on_cpu(asked):
        print(f"GPU {asked} asked for, running on the CPU: {why}", file=sys.stderr, flush=True)

    caffe.set_device = on_gpu if number else on_cpu
    if not number:
        caffe.set_mode_gpu = caffe.set_mode_cpu
