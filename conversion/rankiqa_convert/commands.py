"""The actions of `rankiqa convert`, with parsed options."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from pathlib import Path

from caffemodel import CaffemodelError, read, write
from caffemodel.files import content_type, replacing
from rankiqa.data.atomic_files import temporary_name
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa_convert import solver_states
from rankiqa_convert.converted_weights import read_safetensors, to_net, write_safetensors
from rankiqa_convert.file_digest import FileDigest
from rankiqa_convert.inspect_model import inspect, table
from rankiqa_convert.recognise import recognise, shared

_STATE_DICTS = (".pt", ".pth")
_FORMATS = {".safetensors", *_STATE_DICTS, ".caffemodel", ".solverstate", ".h5", ".hdf5", ".onnx", ".npz", ".npy",
            ".prototxt", ".ckpt", ".bin", ".pkl", ".mat"}  # fmt: skip


def show(options: argparse.Namespace) -> int:
    """Print the content of a model file and return the exit status."""
    description = inspect(options.model)
    print(json.dumps(description) if options.json else table(description))
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise CaffemodelError for an output that is also read or written otherwise, or named as another format."""
    if options.out and options.onnx and os.path.realpath(options.out) == os.path.realpath(options.onnx):
        raise CaffemodelError(f"{options.out}: expected two files to write, got the same for --out and --onnx")
    outputs = [path for path in (options.out, options.onnx) if path]
    if options.to == "solverstate":
        outputs.append(solver_states.model_beside(options.out))
    inputs = [path for path in (options.model, options.net, options.like) if path and os.path.exists(path)]
    for path in outputs:
        if os.path.exists(path) and any(path.samefile(read) for read in inputs):
            raise CaffemodelError(f"{path}: expected another file to write than those to read, got one of them")
    ways = {None: (".safetensors", *_STATE_DICTS), "caffemodel": (".caffemodel", ".h5"),
            "solverstate": (".solverstate", ".h5")}  # fmt: skip
    for path, wanted in ((options.out, ways[options.to]), (options.onnx, (".onnx",))):
        # A reader would take the file for another format. Upper case is refused, too: formats are chosen by exact names
        if path and path.suffix.lower() in _FORMATS and path.suffix not in wanted:
            also = "" if options.to or path == options.onnx else " (ONNX: --onnx)"
            raise CaffemodelError(f"{path}: expected a name that ends in {' or '.join(wanted)}{also}")


def to_port(options: argparse.Namespace, digest: FileDigest) -> dict:
    """Convert a caffemodel to safetensors (or a state dict) and ONNX. Either all files are written or none.

    Args:
        options: The options of the command line.
        digest: The digest of the model file, which is computed in parallel.

    Returns:
        The summary that --json prints.

    Raises:
        CaffemodelError: If the model cannot be read or is not a network of RankIQA, or a file cannot be written.
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
        if target.suffix in (*_STATE_DICTS, ".onnx"):
            plain = temporary_name(target.with_suffix(".weights"))
            stack.callback(plain.unlink, missing_ok=True)
        summary = write_safetensors(match, options.model, digest, plain)
        if target.suffix in _STATE_DICTS:
            _state_dict(plain, out)
        if options.onnx:
            from rankiqa_convert.table_to_onnx import export

            export(match, onnx)
    return summary


def shared_to_port(source: Path, like: str, arch: str, target: Path) -> None:
    """Write the layers that a caffemodel shares with one of the original's nets, as initial weights of a training.

    Args:
        source: The caffemodel.
        like: The original's net: live-rank ..
        arch: The network.
        target: The .safetensors to write.

    Raises:
        CaffemodelError: For the same reasons as in `recognise.shared`, or if `arch` is not one of the original's three.
    """
    if arch not in ARCHITECTURES:
        raise CaffemodelError(f"{source}: expected one of {', '.join(ARCHITECTURES)} to start from it, got {arch}")
    digest = FileDigest(source)
    write_safetensors(shared(read(source), str(source), like, arch), source, digest, target)


def _state_dict(source: Path, target: Path) -> None:
    """Convert a .safetensors to a PyTorch state dict."""
    import torch  # imported here because nothing else needs it

    _, arrays = read_safetensors(source)
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, target)


def to_caffe(options: argparse.Namespace) -> dict:
    """Convert safetensors to a caffemodel, or to a solver state and its caffemodel; return the summary for --json."""
    _check_outputs(options)
    if options.to == "solverstate":
        return solver_states.to_solverstate(options.model, options.like, options.out)
    net = to_net(options.model, options.like)
    write(net, options.out)
    return {"like": options.like, "layers": [layer.name for layer in net.layers if layer.blobs]}
