"""Check Caffe and the port on a machine with an NVIDIA GPU; this takes minutes.

Caffe on the GPU is compared with Caffe on the CPU (layers, gradients, a solver step; Shallow and VGG-16). The port on
the GPU, without TF32, is compared with Caffe on the GPU and with the port on the CPU. TF32, bfloat16 and torch.compile
are compared with float32. The original's own training script runs for two iterations. Exit status 0: everything passed;
1: a check failed, or something is missing.
"""

import argparse
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import caffe_checks
import docker
import torch
from check_rows import Row, Table
from port_checks import check_port
from questions import CROPS, LayersQuestion

import build
import engine
import sample_training
from caffe_client import CaffeError, Live
from rankiqa.cli.arguments import usable_device
from rankiqa.cli.guard import guarded
from rankiqa.data.atomic_files import check_target, replacing

IMAGE = "caffe_ref:gpu"
SMI_TIMEOUT = 30  # seconds; nvidia-smi hangs if the driver is broken
DRIVER = "a driver for CUDA 11.8 or newer (520.61)"


def missing():
    """Return what to install if containers get no GPU: the driver, or the toolkit that passes it to containers."""
    if shutil.which("nvidia-smi") is None:
        return f"no NVIDIA driver here (no nvidia-smi): install {DRIVER}, and nvidia-container-toolkit"
    return (
        "nvidia-smi is here: check that it lists a GPU, install nvidia-container-toolkit, then run"
        " `sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`"
    )


def devices():
    """Return a line of nvidia-smi for each GPU: name, driver, memory and, from driver 510 on, compute capability."""
    if shutil.which("nvidia-smi") is None:
        return []
    for fields in ("name,driver_version,memory.total,compute_cap", "name,driver_version,memory.total"):
        query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SMI_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            return []
        if done.returncode == 0:
            return done.stdout.strip().splitlines()
    return []


def no_gpu_for_torch():
    """Return why PyTorch has no GPU, or "" if it has one."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA: install another of its wheels"
    if not devices():
        return f"{missing()}; --cpu shows the checks"
    return f"PyTorch {torch.__version__} (CUDA {torch.version.cuda}) does not see it: its driver may be too old"


def check_device(table, device):
    """Add rows that describe the GPU; return whether PyTorch can use it."""
    for number, line in enumerate(devices()):
        table.add(Row("GPU and driver", f"number {number}", None, detail=line))
    if device == "cpu":
        return table.add(Row("device", "CPU", None, detail=f"{platform.processor() or platform.machine()}"))
    why = no_gpu_for_torch()
    if why:
        return table.add(Row("device", "a GPU for PyTorch", False, detail=why))
    try:
        device = usable_device(device)
    except ValueError as error:
        return table.add(Row("device", "a GPU for PyTorch", False, detail=str(error)))
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    detail = f"{name}, sm_{capability[0]}{capability[1]}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return table.add(Row("device", "a GPU for PyTorch", True, detail=detail))


def sees_gpu(table, gpu):
    """Return whether Caffe sees a GPU; otherwise add a row with Caffe's message and what to install."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            log = gpu.run(["caffe", "device_query", "-gpu", "0"], folder)
    except (docker.errors.APIError, CaffeError) as error:
        words = caffe_checks.last_words(error)
        table.add(Row("device", "a GPU in the container", False, detail=f"{words}; {missing()}"))
        return False
    name = next((line.split(":")[-1].strip() for line in log.splitlines() if "Name:" in line), "unknown")
    return table.add(Row("device", "a GPU in the container", True, detail=name))


def both_caffes(table, options):
    """Return (Caffe on the CPU, Caffe on the GPU, whether the image has the original's files).

    If something is missing, add a row that says what, and return None.
    """
    try:
        client, why = engine.answering(), f"none answers; {engine.how_to()}"
    except engine.NoEngine as error:
        client, why = None, str(error)
    hint = "--port-only checks without Caffe"
    if client is None:
        table.add(Row("device", "a Docker engine", False, detail=f"{why}; {hint}"))
        return None
    try:
        known = build.labels(client, options.image)
    except docker.errors.APIError as error:  # an invalid name of an image
        detail = f"{caffe_checks.last_words(error)}; {hint}"
        table.add(Row("device", f"the image {options.image}", False, detail=detail))
        return None
    if not known or (options.image == IMAGE and not build.up_to_date(client, IMAGE, build.AUTO)):
        state = "built from other versions of the files" if known else "no such image of build.py exists"
        detail = f"{state}; .venv/bin/python docker/build.py --gpu builds it; {hint}"
        table.add(Row("device", f"the image {options.image}", False, detail=detail))
        return None
    cpu = Live(client, image=options.image, environment={"CAFFE_SOLVER": caffe_checks.SOLVER})
    gpu = Live(client, image=options.image, environment=cpu.environment, gpu=not options.cpu)
    if not options.cpu and not sees_gpu(table, gpu):
        return None
    inside = known.get(build.UPSTREAM, "none") != "none"
    return cpu, gpu, inside


def run_checks(table, options, folder):
    """Run all checks, those with the fewest requirements first."""
    device = "cpu" if options.cpu else options.device
    can_run = check_device(table, device)
    caffes = None if options.port_only else both_caffes(table, options)
    if not can_run and caffes is None:
        return
    sample_training.make_images(folder, train=2, test=2)
    quick = options.cpu  # on the CPU, train only the first of --nets: VGG-16 takes a minute per iteration
    questions = [LayersQuestion(arch, folder, few=quick) for arch in options.nets]
    ports = check_port(table, questions, folder, device, quick, options.compile) if can_run else {}
    if caffes is None:
        return
    cpu, gpu, inside = caffes
    name = "the CPU" if options.cpu else "the GPU"
    archs = options.nets[: 1 if quick else None]
    answers = caffe_checks.check_layers(table, questions, cpu, gpu, name)
    caffe_checks.check_against_port(table, questions, answers, ports, name, device)
    del answers, ports
    caffe_checks.check_training(table, archs, folder, cpu, gpu, name)
    if can_run:
        steps = options.iterations
        caffe_checks.check_trainings_against_port(table, archs, folder, gpu, name, device, steps)
    if inside:
        caffe_checks.check_upstream(table, gpu, name)
    else:
        table.add(
            Row(f"the original on {name}", caffe_checks.SCRIPT, None, detail="not in this image: build.py --from")
        )


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="compare the CPU with itself, to show the checks")
    parser.add_argument("--port-only", action="store_true", help="check without Caffe, which needs Docker")
    parser.add_argument("--device", default="cuda", help="the port's: cuda (default), cuda:1 ..; Caffe uses cuda:0")
    parser.add_argument("--nets", nargs="+", choices=list(CROPS), default=list(CROPS), metavar="NET",
                        help="shallow, vgg16 (default: both)")  # fmt: skip
    parser.add_argument("--iterations", type=int, default=20, metavar="N",
                        help="of the training in which the port is compared with Caffe (default 20)")  # fmt: skip
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="do not check torch.compile")
    parser.add_argument("--image", default=IMAGE, help=f"Caffe's image (default {IMAGE}, which must be up to date)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table as JSON")
    options = parser.parse_args(argv)
    if options.iterations < 1:
        parser.error(f"--iterations: expected 1 or more, got {options.iterations}")
    if not re.fullmatch(r"cuda(:\d+)?", options.device):
        parser.error(f"--device: expected cuda or cuda:N, got {options.device!r}; --cpu uses the CPU")
    try:
        if options.json:
            check_target(options.json)  # before comparing for minutes
    except ValueError as error:
        parser.error(f"--json {error}")
    table, start = Table(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rankiqa-gpu-") as folder:
        run_checks(table, options, folder)
    seconds = round(time.monotonic() - start, 1)
    if options.json:
        more = {"device": "cpu" if options.cpu else options.device, "gpus": devices(), "seconds": seconds}
        with replacing(options.json) as temporary:
            temporary.write_text(table.json(torch=torch.__version__, cuda=torch.version.cuda, **more))
    print(f"gpu_check: {'all right' if table.passed else 'NOT right'} after {seconds:.0f} s", file=sys.stderr)
    return 0 if table.passed else 1


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:], "gpu_check"))
