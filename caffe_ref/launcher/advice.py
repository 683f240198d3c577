"""What is wrong with an input, in one line, and what to mount where."""

import errno
import os
import re

from caffe_ref.python2.pool import BadInput

CROP = 224
ROOT = "/opt/RankIQA"
MOUNTS = ("data", "models", "results")


def _below_root(path):
    """The path below the original's root, with links followed: upstream writes some as /home/xialei/.."""
    full = os.path.realpath(path)
    for root in (ROOT, os.path.realpath(os.curdir)):
        if full.startswith(root + os.sep):
            return os.path.relpath(full, root)
    return str(path)


def mount(path):
    """How to give the container the folder that should hold this path; "" for a path outside upstream's folders."""
    top = _below_root(path).split(os.sep)[0]
    if top not in MOUNTS:
        return ""
    return f'; is the folder mounted? docker run -v "$PWD/{top}:{ROOT}/{top}"'


def missing(path, what="file"):
    """Why a path cannot be read, or None when it can."""
    shown = _below_root(path)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        like = os.path.splitext(path)[1]
        there = sorted(n for n in os.listdir(folder) if n.endswith(like)) if like and os.path.isdir(folder) else []
        others = (
            f" (there: {', '.join(there[:5])}{' ..' if len(there) > 5 else ''})" if there and what != "image" else ""
        )
        return f"{shown}: no such {what}{others}{mount(path)}"
    if not os.path.isfile(path):
        return f"{shown}: expected a {what}, got a folder"
    if not os.access(path, os.R_OK):
        return f"{shown}: user {os.getuid()} may not read this {what}{mount(path)}"
    return None


def unwritable(folder):
    """Why files cannot be made in a folder, or None when they can."""
    shown = _below_root(folder)
    if not os.path.isdir(folder):
        return f"{shown}: no such folder to write to{mount(folder)}"
    if not os.access(folder, os.W_OK | os.X_OK):
        user = f"{os.getuid()}:{os.getgid()}"
        return f'{shown}: user {user} may not write there{mount(folder)}, with --user "$(id -u):$(id -g)"'
    return None


def image(path):
    """Why upstream's data layer or evaluation cannot take a crop of this image, or None when it can."""
    problem = missing(path, "image")
    if problem:
        return problem
    import cv2  # a second to import: only where something failed

    pixels = cv2.imread(path)
    if pixels is None:
        return f"{_below_root(path)}: expected an image that OpenCV reads, got none"
    height, width = pixels.shape[:2]
    if min(height, width) <= CROP:
        size = f"{height} x {width} (H x W)"
        return f"{_below_root(path)}: expected an image with both sides above {CROP} pixels, got {size}"
    return None


def of_argument(argument, _error):
    """For a worker of the data layer: what is wrong with the image that it was given."""
    return image(argument) if isinstance(argument, str) else None


def of_error(error, last_image=None):
    """What an exception of upstream's code is about, or None. last_image: what it read last."""
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
