"""Convert RankIQA's weights from Caffe to the PyTorch port, or back.

    rankiqa convert MODEL.caffemodel --out W.safetensors [--onnx M.onnx]
        convert weights for the port
    rankiqa convert VGG_ILSVRC_16_layers.caffemodel --for live-rank --out W.safetensors
        take initial weights for a training
    rankiqa convert W.safetensors --to caffemodel --like live-ft --out M.caffemodel
        convert from the port to Caffe
    rankiqa convert P.solverstate --out S.safetensors
        convert a training in Caffe, to resume it in the port
    rankiqa convert S.safetensors --to solverstate --like live-rank --out P.solverstate
        convert a training in the port, to resume it in Caffe (also writes P.caffemodel)
    rankiqa convert inspect MODEL [--json]
        show the content of a model file

MODEL: .caffemodel (V0, V1, V2) or Caffe's .h5. If anything does not fit, no file is written and the exit status is 2.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import signal
import sys
from pathlib import Path

from rankiqa.models.architectures import ARCHITECTURES
from rankiqa_convert.file_digest import FileDigest
from rankiqa_convert.printable import printable


def _convert_options(argv: list[str], prog: str) -> argparse.Namespace:
    """Parse and check the options of a conversion."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model file, or `inspect` followed by one")
    parser.add_argument("--out", type=Path, help=".safetensors, or a .pt/.pth state dict; with --to: the caffemodel")
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), help="the expected network (default: recognised)")
    parser.add_argument("--onnx", type=Path, metavar="M.onnx", help="also (or only) write the network as ONNX")
    parser.add_argument("--for", dest="start", metavar="NET", help="take the layers that the file shares by name with "
                        "live-rank, tid2013-rank, live-ft or tid2013-ft, as initial weights of a training")  # fmt: skip
    parser.add_argument("--net", type=Path, metavar="DEPLOY.prototxt", help="a network description that must compute "
                        "the same; for Caffe's .h5, which has no layer list, or any other file")  # fmt: skip
    parser.add_argument("--trained-on", metavar="NET", help="live-rank, tid2013-rank, live-ft or tid2013-ft: the "
                        "meaning of the score, if the file does not state it (the rank nets of both data sets have "
                        "the same layers)")  # fmt: skip
    parser.add_argument("--to", choices=("caffemodel", "solverstate"), help="convert from the port to Caffe")
    parser.add_argument("--like", metavar="NET", help="live-rank, tid2013-rank, live-ft, tid2013-ft, or a "
                        "model file: the net to write")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    options = parser.parse_args(argv)
    if options.to and not (options.like and options.out):
        parser.error(f"--to {options.to} needs --like and --out")
    if not options.to and (options.like or not (options.out or options.onnx)):
        parser.error("--out or --onnx is needed, and --like works only with --to")
    if options.to and (options.start or options.net or options.trained_on or options.arch or options.onnx):
        parser.error("--arch, --onnx, --for, --net and --trained-on work only without --to")
    return options


def _inspect_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of `inspect`."""
    parser = argparse.ArgumentParser(prog=f"{prog} inspect", description="Show the content of a model file.")
    parser.add_argument("model", type=Path, help=".caffemodel, .solverstate, .safetensors, or Caffe's .h5 forms")
    parser.add_argument("--json", action="store_true")
    return parser


def notes(summary: dict) -> list[str]:
    """Return notes for the user about a successful conversion: what was not checked and what is not known."""
    lines = []
    if summary["structure"] == "not stated":
        lines.append(
            "it states no structure (order and settings of the layers), so it was not checked; "
            "--net DEPLOY.prototxt checks it"
        )
    if summary["meaning"] is None:
        from rankiqa_convert.trained_on import unknown_reason

        lines.append(unknown_reason(summary["fc"]))
    return lines


def main(argv: list[str] | None = None, prog: str = "rankiqa convert") -> int:
    """Run the command line.

    Args:
        argv: The arguments; None: those of the process.
        prog: The command's name in its messages.

    Returns:
        The exit status: 0; 2 for an error; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may hold any characters
    with contextlib.suppress(ValueError):  # signals can only be set in the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files are removed
    inspecting = argv[:1] == ["inspect"]
    options = _inspect_parser(prog).parse_args(argv[1:]) if inspecting else _convert_options(argv, prog)
    digest = FileDigest(options.model) if not (inspecting or options.to) else None
    from rankiqa_convert import commands  # imported here so that its libraries load while the model is hashed

    try:
        if inspecting:
            return commands.show(options)
        summary = commands.to_port(options, digest) if digest else commands.to_caffe(options)
    except ValueError as error:  # CaffemodelError, or a missing extra
        print(f"{prog}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if not options.to:
        for note in notes(summary):
            print(f"{prog}: {printable(str(options.model))}: {note}", file=sys.stderr)
    if options.json:
        print(json.dumps(summary))
    elif not options.to:
        layers = f", layers {', '.join(layer['name'] for layer in summary['layers'])}" if options.start else ""
        print(f"{options.out or options.onnx}: {summary['arch']}, output {summary['head']}{layers}", file=sys.stderr)
    return 0
