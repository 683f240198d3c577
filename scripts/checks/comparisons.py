"""Two answers to one question side by side: layers, gradients or updates, losses; and their tolerances."""

import numpy as np

FORWARD = 1e-4  # of the largest value of a layer: float32 sums in another order, TF32 off
# Of a gradient's mean size, in the median: rounding decides ties of a pooling window, so single ones may differ more
# (parity_tests/rungs/test_gradients.py). 9e-3 was measured between Caffe and the port on one CPU (VGG-16, two crops)
BACKWARD = 3e-2
LOSSES = 1e-3  # of max(loss, 1), at each iteration: rounding, grown by the training itself (parity_tests/PRECISION.md)


def layer_errors(reference, other):
    """{layer: largest error over the reference's largest value}; infinite for a layer that the other lacks."""
    prefix = "net/top/"
    errors = {}
    for layer, key in reference.keys_of(prefix).items():
        errors[layer.rsplit("/", 1)[0]] = reference.error(key, other.array(key)) if key in other else np.inf
    return errors


def median_errors(reference, other, prefix):
    """{parameter: median error over the reference's mean size} of gradients or updates below a prefix; infinite where
    the reference has only zeros, which would compare with nothing."""
    errors = {}
    for name, key in reference.keys_of(prefix).items():
        ours = reference.array(key).astype(np.float64)
        theirs = other.array(key) if key in other else np.full(ours.shape, np.nan)
        size = np.abs(ours).mean()
        errors[name] = np.median(np.abs(ours - theirs.reshape(ours.shape))) / size if size else np.inf
    return errors


def loss_errors(reference, other):
    """{iteration: error over max(loss, 1)}."""
    ours, theirs = (answer.array("t/losses").astype(np.float64) for answer in (reference, other))
    if ours.shape != theirs.shape:
        return {"number of iterations": np.inf}
    apart = np.abs(ours - theirs) / np.maximum(np.abs(ours), 1)
    return {f"iteration {number}": error for number, error in enumerate(apart.tolist(), start=1)}


def compare_layers(table, check, arch, reference, other):
    """Add the rows of two answers to a LayersQuestion; returns whether both passed."""
    layers = table.compare(check, f"{arch} layers", layer_errors(reference, other), FORWARD)
    gradients = median_errors(reference, other, "net/param_diff/")
    return table.compare(check, f"{arch} gradients, median", gradients, BACKWARD) and layers


def compare_trainings(table, check, arch, reference, other, updates=True):
    """Add the rows of two answers to a TrainingQuestion; updates: of the last iteration, too."""
    errors = loss_errors(reference, other)
    passed = table.compare(check, f"{arch} losses of {len(errors)}", errors, LOSSES)
    if updates:
        found = median_errors(reference, other, "t/param_diff/")
        passed = table.compare(check, f"{arch} update, median", found, BACKWARD) and passed
    return passed
