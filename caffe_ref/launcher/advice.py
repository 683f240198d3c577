"""Explain in one line what is wrong with an input, and which folder to mount."""

import errno
import os
import re

from caffe_ref.python2.pool import BadInput

CROP = 224
ROOT = "/opt/RankIQA"
MOUNTS = ("data", "models", "results")


def _below_root(path):
    """Return the path relative to the original's root. Links are resolved, because upstream uses /home/xialei/.."""
    full = os.path.realpath(path)
    for root in (ROOT, os.path.realpath(os.curdir)):
        if full.startswith(root + os.sep):
            return os.path.relpath(full, root)
    return str(path)


def mount(path):
    """Return how to mount the folder that should hold this path; "" for a path outside upstream's folders."""
    top = _below_root(path).split(os.sep)[0]
    if top not in MOUNTS:
        return ""
    return f'; is the folder mounted? docker run -v "$PWD/{top}:{ROOT}/{top}"'


def missing(path, what="file"):
    """Return why a file cannot be read, or None if it can."""
    shown = _below_root(path)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        suffix = os.path.splitext(path)[1]
        files = sorted(n for n in os.listdir(folder) if n.endswith(suffix)) if suffix and os.path.isdir(folder) else []
        others = (
            f" (there: {', '.join(files[:5])}{' ..' if len(files) > 5 else ''})" if files and what != "image" else ""
        )
        return f"{shown}: no such {what}{others}{mount(path)}"
    if not os.path.isfile(path):
        return f"{shown}: expected a {what}, got a folder"
    if not os.access(path, os.R_OK):
        return f"{shown}: user {os.getuid()} may not read this {what}{mount(path)}"
    return None


def unwritable(folder):
    """Return why files cannot be created in a folder, or None if they can."""
    shown = _below_root(folder)
    if not os.path.isdir(folder):
        return f"{shown}: no such folder to write to{mount(folder)}"
    if not os.access(folder, os.W_OK | os.X_OK):
        user = f"{os.getuid()}:{os.getgid()}"
        return f'{shown}: user {user} may not write there{mount(folder)}, with --user "$(id -u):$(id -g)"'
    return None


def image(path):
    """Return why upstream's data layer or evaluation cannot crop this image, or None if it can."""
    problem = missing(path, "image")
    if problem:
        return problem
    import cv2  # imported here because it takes a second and is needed only after a failure

    pixels = cv2.imread(path)
    if pixels is None:
        return f"{_below_root(path)}: expected an image that OpenCV reads, got none"
    height, width = pixels.shape[:2]
    if min(height, width) <= CROP:
        size = f"{height} x {width} (H x W)"
        return f"{_below_root(path)}: expected an image with both sides above {CROP} pixels, got {size}"
    return None


def of_argument(argument, _error):
    """Return what is wrong with the image that a worker of the data layer received, or None."""
    return image(argument) if isinstance(argument, str) else None


def of_error(error, last_image=None):
    """Return the cause of an exception in upstream's code, or None; last_image is the image that was read last."""
    name = getattr(error, "filename", None)
    if isinstance(error, OSError) and name:
        if error.errno in (errno.EACCES, errno.EROFS) or not os.path.isdir(os.path.dirname(name) or "."):
            return unwritable(os.path.dirname(name) or ".") or missing(name)
        return missing(name)
    if isinstance(error, BadInput):
        return str(error)
    refused = re.match(r"Could not open file (.+)", str(error))  # pycaffe
    if refused:
        return missing(refused[1].strip(), "network or weights")
    if last_image is not None:
        return image(last_image)
    return None
