#!/usr/bin/env python3
"""Convert RankIQA's weights from Caffe to the PyTorch port, and back.

    convert.py MODEL.caffemodel --out W.safetensors [--onnx M.onnx]     weights for `import rankiqa`
    convert.py W.safetensors --to caffemodel --like live-ft --out M.caffemodel
    convert.py inspect MODEL [--json]                                   what a model file holds

MODEL: .caffemodel (V0, V1, V2) or Caffe's .h5. Exit status 2, and no file written, for anything that does not fit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

try:
    from caffemodel import CaffemodelError, read, write
    from caffemodel.files import kind_of, replacing
    from inspect_model import inspect, table
    from rankiqa.architectures import ARCHITECTURES
    from recognise import recognise
    from weights import read_safetensors, to_net, write_safetensors
except ModuleNotFoundError as missing:
    sys.exit(f"convert.py: {missing.name} is not installed here: run scripts/env, then .venv/bin/python {sys.argv[0]}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model file, or `inspect` followed by one")
    parser.add_argument("--out", type=Path, help=".safetensors, or a .pt/.pth state dict; with --to: the caffemodel")
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), help="the network to expect (else recognised)")
    parser.add_argument("--onnx", type=Path, metavar="M.onnx", help="write the network as ONNX too (or only)")
    parser.add_argument("--to", choices=("caffemodel",), help="the way back")
    parser.add_argument("--like", metavar="NET", help="live-rank, tid2013-rank, live-ft, tid2013-ft, or a model file")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    return parser


def _inspect(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="convert.py inspect", description="What a model file holds.")
    parser.add_argument("model", type=Path, help=".caffemodel, .solverstate, .safetensors, or Caffe's .h5 forms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    found = inspect(options.model)
    print(json.dumps(found) if options.json else table(found))
    return 0


def _keep_the_model(options: argparse.Namespace) -> None:
    for path in (options.out, options.onnx):
        if path and path.exists() and options.model.exists() and path.samefile(options.model):
            raise CaffemodelError(f"{path}: expected another file to write than the model to read")
    if options.out and options.onnx and options.out.absolute() == options.onnx.absolute():
        raise CaffemodelError(f"{options.out}: expected two files to write, got the same for --out and --onnx")


def _to_port(options: argparse.Namespace) -> dict:
    """caffemodel -> safetensors (or state dict) and ONNX; all of the files or none."""
    if kind_of(options.model) == "safetensors":
        raise CaffemodelError(f"{options.model}: expected a caffemodel, got a safetensors file (--to caffemodel?)")
    match = recognise(read(options.model), str(options.model), options.arch)
    target = options.out or options.onnx
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(replacing(target))
        onnx = stack.enter_context(replacing(options.onnx)) if options.onnx and options.out else out
        plain = out
        if target.suffix in (".pt", ".pth", ".onnx"):
            plain = out.with_suffix(".weights.tmp")
            stack.callback(plain.unlink, missing_ok=True)
        summary = write_safetensors(match, options.model, plain)
        if target.suffix in (".pt", ".pth"):
            _state_dict(plain, out)
        if options.onnx:
            from onnx_export import export

            export(match, onnx)
    return summary


def _state_dict(source: Path, target: Path) -> None:
    import torch  # late: everything else does without

    _, arrays = read_safetensors(source)
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, target)


def _to_caffe(options: argparse.Namespace) -> dict:
    net = to_net(options.model, options.like)
    write(net, options.out)
    return {"like": options.like, "layers": [layer.name for layer in net.layers if layer.blobs]}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files go
    try:
        if argv[:1] == ["inspect"]:
            return _inspect(argv[1:])
        parser = _parser()
        options = parser.parse_args(argv)
        if options.to and not (options.like and options.out):
            parser.error("--to caffemodel needs --like and --out")
        if not options.to and (options.like or not (options.out or options.onnx)):
            parser.error("--out or --onnx is needed, and --like only with --to caffemodel")
        _keep_the_model(options)
        summary = _to_caffe(options) if options.to else _to_port(options)
    except CaffemodelError as error:
        print(f"convert.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(summary))
    elif not options.to:
        print(f"{options.out or options.onnx}: {summary['arch']}, output {summary['head']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
