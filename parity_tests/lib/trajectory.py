"""Compare one training (docker/sample_training.py) in Caffe and in the port."""

import numpy as np


def both(answer, task, ours):
    """Return (Caffe's losses, ours) for the iterations that both have; a recording holds all of a few hundred."""
    caffes = answer[f"{task}/losses"]
    assert caffes.at is None, f"{task}: expected every loss, got a sample"
    return caffes.values[: len(ours)], ours


def _layers(answer, prefix, model):
    """Return {layer: [(Caffe's Array, ours as numpy), ..]} for its weight and bias.

    They are compared together, since a bias may have a gradient of rounding errors only: under a ranking loss, the
    gradient of the output's bias is a sum that cancels.
    """
    state = model.state_dict()
    return {
        layer: [(answer[f"{prefix}/{layer}/{k}"], state[f"{layer}.{part}"].numpy())
                for k, part in enumerate(("weight", "bias"))]
        for layer in dict.fromkeys(key.rsplit(".", 1)[0] for key in state)
    }  # fmt: skip


def layer_errors(answer, prefix, model):
    """Return {layer: (max|port - Caffe|) / max|Caffe|}."""
    errors = {}
    for layer, pairs in _layers(answer, prefix, model).items():
        largest = max(caffe.largest for caffe, _ in pairs)
        errors[layer] = max(float(caffe.error(ours)) * (caffe.largest or 1.0) for caffe, ours in pairs) / largest
    return errors


def layer_distances(answer, prefix, model):
    """Return {layer: |port - Caffe| / |Caffe|}, with Euclidean lengths."""
    errors = {}
    for layer, pairs in _layers(answer, prefix, model).items():
        caffe = np.concatenate([array.values.reshape(-1) for array, _ in pairs]).astype(np.float64)
        ours = np.concatenate([
            ours.reshape(-1)[slice(None) if array.at is None else array.at] for array, ours in pairs
        ])  # fmt: skip
        errors[layer] = float(np.linalg.norm(ours - caffe) / np.linalg.norm(caffe))
    return errors
