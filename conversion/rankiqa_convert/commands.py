"""What convert.py does once its arguments are read."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

from caffemodel import CaffemodelError, read, write
from caffemodel.files import content_type, replacing
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa_convert import solver_states
from rankiqa_convert.file_digest import FileDigest
from rankiqa_convert.inspect_model import inspect, table
from rankiqa_convert.recognise import recognise, shared
from rankiqa_convert.weights import read_safetensors, to_net, write_safetensors


def show(options: argparse.Namespace) -> int:
    """Print what a model file holds; returns the exit status."""
    description = inspect(options.model)
    print(json.dumps(description) if options.json else table(description))
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    for path in (options.out, options.onnx):
        if path and path.exists() and options.model.exists() and path.samefile(options.model):
            raise CaffemodelError(f"{path}: expected another file to write than the model to read")
    ways = [(".safetensors", ".pt", ".pth"), (".caffemodel", ".h5")]
    if options.to == "solverstate":
        ways[1] = (".solverstate", ".h5")
    wanted, others = reversed(ways) if options.to else ways
    if options.out and options.out.suffix in (*others, ".onnx", ".npz", ".prototxt"):
        raise CaffemodelError(f"{options.out}: expected a name that ends in {' or '.join(wanted)} (ONNX: --onnx)")
    if options.out and options.onnx and options.out.absolute() == options.onnx.absolute():
        raise CaffemodelError(f"{options.out}: expected two files to write, got the same for --out and --onnx")


def to_port(options: argparse.Namespace, digest: FileDigest) -> dict:
    """Convert a caffemodel to safetensors (or a state dict) and ONNX; all of the files are written, or none.

    Args:
        options: Of the command line.
        digest: Of the model file, which is computed beside the conversion.

    Returns:
        What --json prints.

    Raises:
        CaffemodelError: For files that cannot be read, are no network of RankIQA, or cannot be written.
    """
    _check_outputs(options)
    if content_type(options.model) == "safetensors":
        raise CaffemodelError(f"{options.model}: expected a caffemodel, got a safetensors file (--to caffemodel?)")
    if solver_states.is_state(options.model):
        if options.onnx or options.start or options.out is None or options.out.suffix != ".safetensors":
            raise CaffemodelError(f"{options.model}: expected one --out .safetensors for a solver state")
        return solver_states.to_snapshot(options.model, options.out, options.arch, options.net, options.trained_on)
    if options.start and options.onnx:
        raise CaffemodelError("--onnx: expected a whole network, got --for, which may take a part of one")
    net, path, more = read(options.model), str(options.model), {"prototxt": options.net, "claimed": options.trained_on}
    if options.start:
        match = shared(net, path, options.start, options.arch, **more)
    else:
        match = recognise(net, path, options.arch, **more)
    target = options.out or options.onnx
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(replacing(target))
        onnx = stack.enter_context(replacing(options.onnx)) if options.onnx and options.out else out
        plain = out
        if target.suffix in (".pt", ".pth", ".onnx"):
            plain = out.with_suffix(".weights.tmp")
            stack.callback(plain.unlink, missing_ok=True)
        summary = write_safetensors(match, options.model, digest, plain)
        if target.suffix in (".pt", ".pth"):
            _state_dict(plain, out)
        if options.onnx:
            from rankiqa_convert.onnx_export import export

            export(match, onnx)
    return summary


def shared_to_port(source: Path, like: str, arch: str, target: Path) -> None:
    """Write the layers that a caffemodel shares with a net of the original: what a training starts from.

    Args:
        source: The caffemodel.
        like: The net of the original: live-rank ..
        arch: The network.
        target: The .safetensors to write.

    Raises:
        CaffemodelError: As `recognise.shared`, and for another network than the original's three.
    """
    if arch not in ARCHITECTURES:
        raise CaffemodelError(f"{source}: expected one of {', '.join(ARCHITECTURES)} to start from it, got {arch}")
    digest = FileDigest(source)
    write_safetensors(shared(read(source), str(source), like, arch), source, digest, target)


def _state_dict(source: Path, target: Path) -> None:
    import torch  # late: everything else does without

    _, arrays = read_safetensors(source)
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, target)


def to_caffe(options: argparse.Namespace) -> dict:
    """safetensors -> caffemodel, or a solver's state and its caffemodel. Returns what --json prints."""
    _check_outputs(options)
    if options.to == "solverstate":
        return solver_states.to_solverstate(options.model, options.like, options.out)
    net = to_net(options.model, options.like)
    write(net, options.out)
    return {"like": options.like, "layers": [layer.name for layer in net.layers if layer.blobs]}
