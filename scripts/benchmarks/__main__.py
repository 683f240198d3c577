"""`scripts/bench NAME [--json]`: {"ratios", "medians", "machine"} of one benchmark. Ratios travel, seconds don't."""

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
    """What it ran on, as far as it matters to a time."""
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
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--rounds", type=int_in_range(1), default=5, help="measurements that the medians are of (default 5)"
    )
    parser.add_argument("--device", default="cpu", help="of score and train: cpu (default), cuda, cuda:1 ..")
    options = parser.parse_args(argv)
    if options.device != "cpu" and options.name not in ON_GPU:
        parser.error(f"--device {options.device}: expected cpu with {options.name}; {', '.join(ON_GPU)} take a GPU")
    try:
        if options.device == "cpu":
            ratios, medians = import_module(f"bench_{options.name}").measure(options.rounds)
        else:
            ratios, medians = import_module("on_gpu").measure(options.name, options.rounds, options.device)
    except (RuntimeError, ValueError, OSError, DockerException) as error:  # no engine, its or Caffe's own words, no GPU
        print(f"bench: {str(error).strip() or type(error).__name__}", file=sys.stderr)
        return 1
    result = {"ratios": ratios, "medians": medians, "machine": machine(options.device)}
    if options.json:
        print(json.dumps(result))
        return 0
    for kind, values in result.items():
        for name, value in values.items():
            print(f"{kind:<8} {name:<24} {value:.3g}" if isinstance(value, float) else f"{kind:<8} {name:<24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:], "bench"))
