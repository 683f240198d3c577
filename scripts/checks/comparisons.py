"""Compare two answers to the same question (layers, gradients or updates, losses), with the tolerances."""

import numpy as np

FORWARD = 1e-4  # relative to a layer's largest value: float32 sums in another order, without TF32
# Relative to a gradient's mean magnitude, in the median. Rounding decides ties in a pooling window, so single values
# may differ more (parity_tests/rungs/test_gradients.py). 9e-3 was measured between Caffe and the port on one CPU
# (VGG-16, two crops)
BACKWARD = 3e-2
LOSSES = 1e-3  # relative to max(loss, 1), per iteration: rounding, amplified by training (parity_tests/PRECISION.md)


def layer_errors(reference, other):
    """Return {layer: largest error / the reference's largest value}; infinite for a missing layer."""
    prefix = "net/top/"
    errors = {}
    for layer, key in reference.keys_of(prefix).items():
        errors[layer.rsplit("/", 1)[0]] = reference.error(key, other.array(key)) if key in other else np.inf
    return errors


def median_errors(reference, other, prefix):
    """Return {parameter: median error / the reference's mean magnitude} of gradients or updates below a prefix.

    The error is infinite if the reference has only zeros, because then nothing is compared.
    """
    errors = {}
    for name, key in reference.keys_of(prefix).items():
        ours = reference.array(key).astype(np.float64)
        theirs = other.array(key) if key in other else np.full(ours.shape, np.nan)
        size = np.abs(ours).mean()
        errors[name] = np.median(np.abs(ours - theirs.reshape(ours.shape))) / size if size else np.inf
    return errors


def loss_errors(reference, other):
    """Return {iteration: error / max(loss, 1)}."""
    ours, theirs = (answer.array("t/losses").astype(np.float64) for answer in (reference, other))
    if ours.shape != theirs.shape:
        return {"number of iterations": np.inf}
    errors = np.abs(ours - theirs) / np.maximum(np.abs(ours), 1)
    return {f"iteration {number}": error for number, error in enumerate(errors.tolist(), start=1)}


def compare_layers(table, check, arch, reference, other):
    """Add the rows of two answers to a LayersQuestion; return whether both rows passed."""
    layers = table.compare(check, f"{arch} layers", layer_errors(reference, other), FORWARD)
    gradients = median_errors(reference, other, "net/param_diff/")
    return table.compare(check, f"{arch} gradients, median", gradients, BACKWARD) and layers


def compare_trainings(table, check, arch, reference, other, updates=True):
    """Add the rows of two answers to a TrainingQuestion; return whether they passed.

    Args:
        table: Receives the rows.
        check: The title of the comparison.
        arch: The network.
        reference: The reference's answer.
        other: The other answer.
        updates: Also compare the updates of the last iteration.
    """
    errors = loss_errors(reference, other)
    passed = table.compare(check, f"{arch} losses of {len(errors)}", errors, LOSSES)
    if updates:
        errors = median_errors(reference, other, "t/param_diff/")
        passed = table.compare(check, f"{arch} update, median", errors, BACKWARD) and passed
    return passed
