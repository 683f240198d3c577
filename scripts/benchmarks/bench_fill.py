"""Compare the time of filling VGG-16 and AlexNet with random weights in the port (vectorised) and in Caffe."""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import build
import engine
from caffe_client import Live
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.network import fill
from sample_networks import deploy_text

# Caffe fills weights when it creates a net, so subtract the time of a net that is filled with zeros
TIMER = """import json, sys, time, caffe
caffe.set_mode_cpu()
def made(path):
    start = time.perf_counter()
    caffe.Net(path, caffe.TEST)
    return time.perf_counter() - start
made(sys.argv[2])
print(json.dumps([made(sys.argv[1]), made(sys.argv[2])]))
"""


def _zeros(text):
    """Return a prototxt with constant fillers."""
    return "\n".join(
        line.replace('"xavier"', '"constant"').replace('"gaussian"', '"constant"')
        for line in text.splitlines()
        if "std:" not in line
    )


def _caffe(client, arch):
    """Return the seconds that Caffe takes to fill a network."""
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        text = deploy_text(arch)
        for name, content in (("net.prototxt", text), ("zeros.prototxt", _zeros(text)), ("timer.py", TIMER)):
            Path(folder, name).write_text(content)
        log = Live(client).run(["python3", "timer.py", "net.prototxt", "zeros.prototxt"], folder)
    (line,) = (line for line in log.splitlines() if line.startswith("["))
    filled, zeros = (float(value) for value in line.strip("[]").split(","))
    return filled - zeros


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    times = {f"{who}_{arch}": [] for arch in ("vgg16", "alexnet") for who in ("caffe", "port")}
    with engine.engine() as client:
        build.build(client)
        for i in range(rounds):
            print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
            for arch in ("vgg16", "alexnet"):
                start = time.perf_counter()
                fill(ARCHITECTURES[arch], CaffeRandom(i))
                times[f"port_{arch}"].append(time.perf_counter() - start)
                times[f"caffe_{arch}"].append(_caffe(client, arch))
    ratios = {
        f"port_over_caffe_time_{arch}": median(
            port / caffe for port, caffe in zip(times[f"port_{arch}"], times[f"caffe_{arch}"], strict=True)
        )
        for arch in ("vgg16", "alexnet")
    }
    return ratios, {f"{name}_s": median(values) for name, values in times.items()}
