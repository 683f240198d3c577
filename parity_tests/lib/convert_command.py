"""Helpers of the tests of convert.py: small caffemodels with random weights, and the command."""

import numpy as np

import caffemodel
from caffemodel.schema import FAST
from rankiqa.models.architectures import ARCHITECTURES, known_nets
from rankiqa_convert import cli as convert
from rankiqa_convert.expected_layers import deploy_net


def arrays_of(arch="shallow", like="live-rank"):
    """Return {layer: [weight, bias]} of a known net: fixed random float32 values."""
    rng = np.random.default_rng(0)
    table = ARCHITECTURES[arch].parameter_shapes(known_nets(ARCHITECTURES[arch])[like])
    return {name: [rng.standard_normal(shape, np.float32) / 20 for shape in shapes] for name, shapes in table.items()}


def model(path, arrays, extra=()):
    """Write a V2 caffemodel of layers with weights, then the layers of extra, and return its path."""
    layers = [(name, "Convolution" if name.startswith("conv") else "InnerProduct", a) for name, a in arrays.items()]
    caffemodel.write(caffemodel.from_arrays("net", [*layers, *extra]), path)
    return path


def old_model(path, arrays):
    """Write a V1 caffemodel with four-number shapes and return its path."""
    message = FAST["NetParameter"](name="old")
    for name, pair in arrays.items():
        layer = message.layers.add(name=name, type=4 if name.startswith("conv") else 14)
        for a in pair:
            blob = layer.blobs.add(data=a.tobytes())
            blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - a.ndim) + a.shape
    path.write_bytes(message.SerializeToString())
    return path


def whole_model(path, arch="shallow", like="live-rank", change=None):
    """Write a caffemodel with weights and every layer of the deploy net, and return its path.

    change(layers by name, message) edits the net before it is written.
    """
    fc = known_nets(ARCHITECTURES[arch])[like]
    blobs = {name: [caffemodel.array_blob(a) for a in pair] for name, pair in arrays_of(arch, like).items()}
    net = deploy_net("net", ARCHITECTURES[arch], fc, blobs)
    if change:
        change({layer.name: layer for layer in net.message.layer}, net.message)
    caffemodel.write(net, path)
    return path


def small_solver_state(folder):
    """Write a solver state of Shallow with its model beside it, and return its path."""
    path = folder / "s.solverstate"
    model(folder / "s.caffemodel", arrays_of())
    history = [caffemodel.array_blob(a) for pair in arrays_of().values() for a in pair]
    caffemodel.write_solverstate(caffemodel.SolverState(7, "s.caffemodel", 1, history), path)
    return path


def run(capsys, *args):
    """Run convert.py and return (exit status, stdout, stderr)."""
    try:
        status = convert.main([str(arg) for arg in args])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def refused(capsys, tmp_path, path, *args, out="W.safetensors"):
    """Run convert.py, check that it fails and changes no file, and return its only line on stderr."""
    (tmp_path / out).write_text("old")
    before = sorted(tmp_path.rglob("*"))
    status, text, error = run(capsys, path, *args, "--out", tmp_path / out)
    assert (status, text, error.count("\n")) == (2, "", 1) and error.startswith("rankiqa convert: ")
    assert (tmp_path / out).read_text() == "old" and sorted(tmp_path.rglob("*")) == before
    return error
