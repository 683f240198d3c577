"""Check the inputs of upstream's training before Caffe starts."""

import ast
import os
import sys

from caffe_ref.launcher import advice, solver
from caffe_ref.nets import RANKED

DATA_LAYERS = "src.data_layer."


class BadInput(ValueError):
    """The run cannot work; the message says what is missing and what to mount."""


def require(path, what):
    """Raise BadInput if a file is missing or unreadable."""
    problem = advice.missing(path, what)
    if problem:
        raise BadInput(problem)


def read_list(path):
    """Read one of upstream's lists (`path label` per line) as (paths, labels).

    Raises:
        BadInput: If a line is malformed. The message names the line.
    """
    require(path, "list")
    paths, labels = [], []
    with open(path, encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("\ufeff"):  # the original would read it as part of the first path
                raise BadInput(f"{path} line {number}: expected `path label`, got a byte-order mark (BOM) before it")
            parts = line.split()
            try:
                labels.append(float(parts[1]))
            except (IndexError, ValueError):
                raise BadInput(f"{path} line {number}: expected `path label`, got {line.rstrip()!r}") from None
            paths.append(parts[0])
    return paths, labels


def _require_images(path, images):
    """Raise BadInput if images of a list are missing."""
    first = {}
    for number, image in enumerate(images, start=1):
        first.setdefault(image, number)
    absent = [image for image in first if not os.path.exists(image)]
    if absent:
        hint = "" if advice.mount(absent[0]) else advice.mount(path)  # some lists have paths relative to data/
        raise BadInput(
            f"{path} line {first[absent[0]]}: {advice.missing(absent[0], 'image')}{hint} "
            f"({len(absent)} of {len(first)} images are missing)"
        )


def _ranked(path, labels, ranked):
    """Raise BadInput if a rank list cannot fill a minibatch; return a warning about its structure, or None."""
    groups, levels, images = ranked["list_groups"], ranked["levels"], ranked["images"]
    per_level = len(labels) // groups // levels
    if per_level < images:
        raise BadInput(
            f"{path}: expected at least {groups} distortions x {levels} levels x {images} images = "
            f"{groups * levels * images} lines, got {len(labels)}"
        )
    for group in range(groups):
        for level in range(levels):
            start = len(labels) // groups * group + level * per_level
            if len(set(labels[start : start + per_level])) > 1:
                return (
                    f"{path}: the layer takes lines {start + 1} to {start + per_level} for one level, but they have "
                    f"several labels: it is not {groups} distortions x {levels} levels, pairs will be ranked wrongly"
                )
    return None


def _data_layer(layer):
    """Check the list of one of upstream's data layers; return a warning about it, or None."""
    try:
        param = ast.literal_eval(layer.python_param.param_str.strip())
        path, batch = os.path.join(param["pascal_root"], param["split"] + ".txt"), param["batch_size"]
    except (ValueError, SyntaxError, KeyError, TypeError):
        raise BadInput(
            f"layer {layer.name}: expected upstream's parameters, got {layer.python_param.param_str!r}"
        ) from None
    images, labels = read_list(path)
    task, _, dataset = layer.python_param.module[len(DATA_LAYERS) :].partition("_layer_")
    warning = _ranked(path, labels, RANKED[dataset]) if task == "rank" and dataset in RANKED else None
    if len(images) < batch:
        raise BadInput(f"{path}: expected at least {batch} lines (a batch), got {len(images)}")
    _require_images(path, images)
    return warning


def before_training(message, weights, snapshot):
    """Check the files, lists, images and folders of a training; print warnings to stderr.

    Args:
        message: The SolverParameter.
        weights: The files to start from.
        snapshot: The solver state to resume from, or "".

    Raises:
        BadInput: If something is missing.
    """
    for name in weights:
        require(name, "weights")
    if snapshot:
        require(snapshot, "solver state")
    if message.snapshot_prefix:
        problem = advice.unwritable(os.path.dirname(message.snapshot_prefix) or ".")
        if problem:
            raise BadInput(problem)
    if not message.net:
        return
    require(message.net, "network")
    for layer in solver.read(message.net, solver.schema().NetParameter()).layer:
        if layer.type == "Python" and layer.python_param.module.startswith(DATA_LAYERS):
            warning = _data_layer(layer)
            if warning:
                print(f"caffe.bin: warning: {warning}", file=sys.stderr, flush=True)
