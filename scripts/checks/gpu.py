"""Caffe on the GPU against the same binary on the CPU: every layer of Shallow and VGG-16, and their gradients.

Expected: layers within FORWARD of the largest value (float32 sums in another order, TF32 off), gradients within
BACKWARD in the median (a single one may differ more: rounding decides a pooling tie, parity_tests/test_gradients.py).
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import docker
import numpy as np

import build
import engine
from caffe_client import CaffeError, Live
from sample_networks import deploy_text, photograph_crops, random_caffemodel, with_batch

IMAGE = "caffe_ref:gpu"
FORWARD, BACKWARD = 1e-4, 1e-2
NETS = {"shallow": (8, 227, "fc1_m"), "vgg16": (4, 224, "fc8_m")}  # crops, their size, the output


def show(passed, text):
    print(f"{'ok  ' if passed else 'FAIL'} {text}", flush=True)
    return passed


def last_words(error):
    """The last line of the engine's or Caffe's own message."""
    return (getattr(error, "explanation", None) or str(error)).strip().splitlines()[-1]


def missing():
    """What to install where no container gets a GPU: the driver, or else what gives it to containers."""
    if shutil.which("nvidia-smi") is None:
        return "no NVIDIA driver here (no nvidia-smi): install one, 460 or newer, and nvidia-container-toolkit"
    return (
        "nvidia-smi is here: see that it lists a GPU, install nvidia-container-toolkit, then"
        " `sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`"
    )


def largest(errors):
    """(largest error, its key); a nan is the largest."""
    key = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
    return errors[key], key


def sees_gpu(gpu):
    """Does Caffe see a GPU? Its own words otherwise, and what to install."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            said = gpu.run(["caffe", "device_query", "-gpu", "0"], folder)
    except (docker.errors.APIError, CaffeError) as error:
        show(False, f"a GPU in the container: {last_words(error)}")
        print(f"     {missing()}")
        return False
    name = next((line.split(":")[-1].strip() for line in said.splitlines() if "Name:" in line), "unknown")
    return show(True, f"a GPU in the container: {name}")


def compare(arch, cpu, gpu, folder):
    """One net on both: every layer's output, every parameter's gradient."""
    number, side, output = NETS[arch]
    path = random_caffemodel(Path(folder, f"{arch}.caffemodel"), arch)
    files = {"deploy.prototxt": with_batch(deploy_text(arch), number), "w.caffemodel": path}
    arrays = {"data": photograph_crops(number, side), "ones": np.ones((number, 1), np.float32)}
    job = {"name": "net", "kind": "forward", "net": "deploy.prototxt", "weights": "w.caffemodel"}
    job.update(inputs={"data": "data"}, top_diffs={output: "ones"}, backward=True)
    job["return"] = ["tops", "param_diffs"]
    on_cpu, on_gpu = (who.ask(f"gpu_check/{arch}", [job], arrays, files) for who in (cpu, gpu))
    layers = {key: on_cpu.error(key, on_gpu.array(key)) for key in on_cpu if "/top/" in key}
    error, where = largest(layers)
    text = f"{arch}: {len(layers)} layers, largest error {error:.1e} (tolerance {FORWARD:.0e}) in {where}"
    passed = show(error <= FORWARD, text)
    medians = {}
    for key in on_cpu:
        if "/param_diff/" in key:
            a, b = on_cpu.array(key).astype(np.float64), on_gpu.array(key)
            medians[key] = np.median(np.abs(a - b)) / (np.abs(a).mean() or 1)
    error, where = largest(medians)
    text = f"{arch}: {len(medians)} gradients, largest median error {error:.1e} (tolerance {BACKWARD:.0e}) in {where}"
    return show(error <= BACKWARD, text) and passed


def compared(arch, cpu, gpu, folder):
    """compare(), where a run that Caffe ends is a check that failed."""
    try:
        return compare(arch, cpu, gpu, folder)
    except (docker.errors.APIError, CaffeError) as error:
        return show(False, f"{arch}: {last_words(error)}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="the CPU against itself, to see what is checked")
    options = parser.parse_args(argv)
    try:
        client, why = engine.answering(), f"none answers; {engine.how_to()}"
    except engine.NoEngine as error:
        client, why = None, str(error)
    if client is None:
        show(False, f"a Docker engine: {why}")
        return 1
    if not build.up_to_date(client, IMAGE, build.AUTO):
        state = "made from other files than these" if build.labels(client, IMAGE) else "not there"
        show(False, f"the image {IMAGE}: {state}; .venv/bin/python docker/build.py --gpu makes it")
        if not options.cpu:
            print(f"     and then: {missing()}")
        return 1
    cpu, gpu = Live(client, image=IMAGE), Live(client, image=IMAGE, gpu=not options.cpu)
    if not options.cpu and not sees_gpu(gpu):
        return 1
    with tempfile.TemporaryDirectory(prefix="rankiqa-gpu-") as folder:
        passed = [compared(arch, cpu, gpu, folder) for arch in NETS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
