"""Compare Caffe on the GPU with Caffe on the CPU and with the port, and run the original's own training script."""

import re
import tempfile
from pathlib import Path

import docker
import numpy as np
from check_rows import Row
from comparisons import compare_layers, compare_trainings
from questions import TrainingQuestion

import sample_training
from caffe_client import CaffeError
from sample_networks import random_caffemodel

SCRIPT = "./src/RankIQA/live/train_vgg.sh"
UPSTREAM = "/opt/RankIQA"
SOLVER = "max_iter: 2 display: 1 average_loss: 1 test_iter: 1"


def last_words(error):
    """Return the last line of an error message of the engine or Caffe."""
    return (getattr(error, "explanation", None) or str(error)).strip().splitlines()[-1]


def guarded(table, check, case, work):
    """Return the result of work(); if the engine or Caffe fails, add a failed row and return None."""
    try:
        return work()
    except (docker.errors.APIError, CaffeError) as error:
        table.add(Row(check, case, False, detail=last_words(error)))
        return None


def check_layers(table, questions, cpu, gpu, name):
    """Compare layers and gradients of Caffe on the CPU and on the GPU; return {arch: the GPU's answer}."""
    answers = {}
    for question in questions:
        check, case = f"Caffe on {name} / on the CPU", f"{question.arch} layers"
        on_cpu = guarded(table, check, case, lambda question=question: question.caffe(cpu))
        on_gpu = guarded(table, check, case, lambda question=question: question.caffe(gpu))
        if on_cpu and on_gpu:
            compare_layers(table, check, question.arch, on_cpu, on_gpu)
            answers[question.arch] = on_gpu
    return answers


def check_training(table, archs, images, cpu, gpu, name):
    """Compare one solver step of Caffe on the CPU and on the GPU."""
    for arch in archs:
        check, question = f"Caffe on {name} / on the CPU", TrainingQuestion(arch, images, steps=1)
        on_cpu = guarded(table, check, f"{arch} solver step", lambda question=question: question.caffe(cpu))
        on_gpu = guarded(table, check, f"{arch} solver step", lambda question=question: question.caffe(gpu))
        if on_cpu and on_gpu:
            compare_trainings(table, check, arch, on_cpu, on_gpu)


def check_against_port(table, questions, caffes, ports, name, device):
    """Compare layers and gradients of the port on a device with Caffe on the GPU."""
    for question in questions:
        if question.arch in caffes and question.arch in ports:
            check = f"port on {device} / Caffe on {name}"
            compare_layers(table, check, question.arch, caffes[question.arch], ports[question.arch])


def check_trainings_against_port(table, archs, images, gpu, name, device, steps):
    """Compare losses and times of Rank live's iterations in the port on a device and in Caffe on the GPU."""
    for arch in archs:
        check, question = f"port on {device} / Caffe on {name}", TrainingQuestion(arch, images, steps)
        on_gpu = guarded(table, check, f"{arch} losses", lambda question=question: question.caffe(gpu, updates=False))
        if on_gpu:
            ours = question.port(device)
            compare_trainings(table, check, arch, on_gpu, ours, updates=False)
            # skip the first iteration, which also allocates memory and loads kernels
            times = [np.median(answer.array("t/seconds")[steps > 1 :]) for answer in (ours, on_gpu)]
            detail = f"{times[0]:.3g} s an iteration, Caffe {times[1]:.3g} s: {times[1] / times[0]:.1f} times as fast"
            table.add(Row(check, f"{arch} speed, float32", None, detail=detail))


def upstream_folder(folder):
    """Fill a folder like the original's root, with its src, two ranked lists and a network to start from."""
    folder = Path(folder)
    (folder / "src").symlink_to(f"{UPSTREAM}/src")  # inside the container
    (folder / "models" / "rank_live").mkdir(parents=True)
    (folder / "data").mkdir()
    sample_training.make_images(folder / "data", train=2, test=2)
    for split in ("train", "test"):
        lines = (folder / "data" / f"rank_{split}.txt").read_text().splitlines()
        (folder / "data" / f"live_{split}.txt").write_text("".join(f"./data/{line}\n" for line in lines))
    random_caffemodel(folder / "models" / "VGG_ILSVRC_16_layers.caffemodel", "vgg16")


def check_upstream(table, gpu, name):
    """Run two iterations of the original's own script, with the image's unchanged files; return whether it passed."""
    check, case = f"the original on {name}", SCRIPT.removeprefix("./src/")
    with tempfile.TemporaryDirectory(prefix="rankiqa-gpu-") as folder:
        upstream_folder(folder)
        log = guarded(table, check, case, lambda: gpu.run([SCRIPT], folder))
    if log is None:
        return False
    wanted = "Use GPU with device ID" if gpu.gpu else "running on the CPU"
    losses = dict(re.findall(r"Iteration (\d+).*, loss = (\S+)", log))
    finite = [np.isfinite(float(loss)) for loss in losses.values()]
    problem = ""
    if "Optimization Done." not in log:
        problem = "it did not end with `Optimization Done.`"
    elif not {"0", "1", "2"} <= set(losses) or not all(finite):
        problem = f"expected finite losses of iterations 0, 1 and 2, got {losses}"
    elif wanted not in log:
        problem = f"expected {wanted!r} in its log"
    return table.add(Row(check, case, not problem, detail=problem or f"losses {', '.join(losses.values())}"))
