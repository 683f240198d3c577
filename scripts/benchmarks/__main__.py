"""Run one benchmark and print {"ratios", "medians", "machine"}. Only ratios can be compared between machines."""

import argparse
import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

from docker.errors import DockerException

from rankiqa.cli.arguments import int_in_range
from rankiqa.cli.guard import guarded

ON_GPU = ("score", "train")
NAMES = ("convert", "score", "files", "train", "seeds", "loss", "fill", "distort", "import")


def machine(device):
    """Describe the processor, GPU and versions that the times depend on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    gpu = {}
    if device != "cpu":
        import torch

        gpu["gpu"] = f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return gpu | {"cpu": model, "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--rounds", type=int_in_range(1), default=5, help="number of measurements for each median (default 5)"
    )
    parser.add_argument("--device", default="cpu", help="for score and train: cpu (default), cuda, cuda:1 ..")
    options = parser.parse_args(argv)
    if options.device != "cpu" and options.name not in ON_GPU:
        parser.error(f"--device {options.device}: expected cpu with {options.name}; only {', '.join(ON_GPU)} use a GPU")
    try:
        if options.device == "cpu":
            ratios, medians = import_module(f"bench_{options.name}").measure(options.rounds)
        else:
            ratios, medians = import_module("on_gpu").measure(options.name, options.rounds, options.device)
    except (RuntimeError, ValueError, OSError, DockerException) as error:  # also errors of the engine and of Caffe
        print(f"bench: {str(error).strip() or type(error).__name__}", file=sys.stderr)
        return 1
    result = {"ratios": ratios, "medians": medians, "machine": machine(options.device)}
    if options.json:
        print(json.dumps(result))
        return 0
    for part, values in result.items():
        for name, value in values.items():
            print(f"{part:<8} {name:<24} {value:.3g}" if isinstance(value, float) else f"{part:<8} {name:<24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:], "bench"))
