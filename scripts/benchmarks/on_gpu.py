"""`scripts/bench score|train --device cuda`: measure the port in float32, TF32 and bfloat16, and Caffe, on one GPU.

Caffe is measured only if its image exists. The GPU's queue is empty before and after each time measurement.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

import build
import engine
import rankiqa
import sample_training
from caffe_client import CaffeError, Live
from rankiqa.cli.arguments import usable_device
from rankiqa.data.image_lists import read_list
from rankiqa.models.modes import TF32, float32_products
from rankiqa.scoring.engines import TorchBfloat16Engine, TorchEngine
from rankiqa.scoring.image_score import CHUNK
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.trainer import Trainer
from sample_networks import converted, deploy_text, random_caffemodel

TRAINED = ("shallow", "vgg16")
WORKERS = min(4, len(os.sched_getaffinity(0)))
STEPS = 10  # counted iterations of a training
RECIPES = {"port": Recipe(), "port_tf32": Recipe(precision="tf32"),
           "port_bf16": Recipe(precision="bf16", channels_last=True)}  # fmt: skip


def say(line):
    """Print a line to stderr."""
    print(f"bench: {line}", file=sys.stderr)


def caffe_on_gpu():
    """Return Caffe on the first GPU, or print why that is impossible and return None."""
    try:
        client = engine.answering()
    except engine.NoEngine as error:
        say(f"without Caffe: {error}")
        return None
    if client is None or not build.labels(client, build.GPU):
        say(f"without Caffe: no Docker engine has the image {build.GPU} (docker/build.py --gpu)")
        return None
    caffe = Live(client, image=build.GPU, gpu=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            caffe.run(["caffe", "device_query", "-gpu", "0"], folder)
    except Exception as error:  # an error of the engine or Caffe: containers get no GPU
        say(f"without Caffe: {str(error).strip().splitlines()[-1]}")
        return None
    return caffe


def seconds(work, device):
    """Return the time of work() until the GPU has finished."""

    def wait():
        """Wait until the GPU has finished."""
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def _over(times, slow, fast):
    """Return the median ratio of two series of times."""
    return median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def score(rounds, device, caffe, arch="vgg16"):
    """Measure scoring.

    Args:
        rounds: The number of measurements for each median.
        device: The port's device.
        caffe: Live on a GPU, or None.
        arch: The network.

    Returns:
        ({A_over_B: ratio, higher is better for A}, {median: seconds per crop in passes of ten; "images": per image with
        30 crops}).
    """
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        path = random_caffemodel(Path(folder, f"{arch}.caffemodel"), arch)
        model = converted(path).to(device)
        photographs = sorted(sample_training.PHOTOGRAPHS.glob("*.jpg"))[:4]
        image = rankiqa.read_image(photographs[0])
        offsets = rankiqa.crop_offsets(*image.shape[:2], model.crop, 3 * CHUNK, np.random.RandomState(0))
        crops = rankiqa.take_crops(image, offsets[:CHUNK], model.input_spec)
        crops = crops.pin_memory() if torch.device(device).type == "cuda" else crops
        full, half = TorchEngine(model), TorchBfloat16Engine(model, say)

        def tf32():
            """Score the crops in TF32."""
            with torch.inference_mode(), float32_products(TF32):
                return model(crops.to(device, non_blocking=True)).squeeze(1)

        def images():
            """Score image files."""
            return list(rankiqa.score_many(model, photographs, workers=WORKERS, batch=4))

        works = {
            "port": (lambda: full.scores(crops), CHUNK),
            "port_tf32": (tf32, CHUNK),
            "port_bf16": (lambda: half.scores(crops), CHUNK),
            "images": (images, len(photographs)),
        }
        expected = full.scores(crops)
        spread = expected.max() - expected.min()
        errors = {
            f"error_{name}": float((works[name][0]() - expected).abs().max() / spread)
            for name in ("port_tf32", "port_bf16")
        }
        times = {name: [] for name in (*works, *(["caffe", "caffe_10_at_once"] if caffe else []))}
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, (work, parts) in works.items():
                if not number:
                    work()  # warm-up
                times[name].append(seconds(work, device) / parts)
            for name, batch in (("caffe", 1), ("caffe_10_at_once", CHUNK)) if caffe else ():
                times[name].append(_caffe_seconds(caffe, arch, path, model, image, offsets, batch))
    ratios = {f"{kind}_over_port": _over(times, "port", f"port_{kind}") for kind in ("tf32", "bf16")}
    for name in ("port", "port_tf32", "port_bf16") if caffe else ():
        ratios[f"{name}_over_caffe"] = _over(times, "caffe", name)
        ratios[f"{name}_over_caffe_10_at_once"] = _over(times, "caffe_10_at_once", name)
    return ratios | errors, {f"{name}_s": median(values) for name, values in times.items()}


def _caffe_seconds(caffe, arch, path, model, image, offsets, batch):
    """Return Caffe's seconds per crop: a long series of passes minus a short one, to cancel the time of loading."""
    job = {"name": "s", "kind": "score", "net": "deploy.prototxt", "weights": "w.caffemodel", "output": model.head,
           "crop": model.crop, "offsets": "o", "batch": batch, "images": [{"array": "i"}]}  # fmt: skip
    files = {"deploy.prototxt": deploy_text(arch), "w.caffemodel": path}
    many, times = np.tile(offsets, (20, 1)), []
    for part in (many, many[: len(many) // 2]):
        arrays = {"i": np.ascontiguousarray(image[:, :, ::-1]), "o": part[None]}  # Caffe expects BGR
        start = time.perf_counter()
        caffe.ask("bench", [job], arrays, files)
        times.append(time.perf_counter() - start)
    return (times[0] - times[1]) / (len(many) - len(many) // 2)


def train(rounds, device, caffe, archs=TRAINED, steps=STEPS):
    """Measure iterations of Rank live.

    Args:
        rounds: The number of measurements for each median.
        device: The port's device.
        caffe: Live on a GPU, or None.
        archs: The networks.
        steps: The number of iterations per round that are counted.

    Returns:
        ({A_over_B_time_ARCH: ratio, lower is better for A}, {median: seconds or bytes of GPU memory}).
    """
    preset = PRESETS["live-rank"].but(
        max_iter=steps + 1, test_interval=steps + 2, test_iter=1, display=0, snapshot=0, clip_gradients=10.0
    )
    times, medians, ratios = {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        sample_training.make_images(folder, train=3, test=2)
        train_list = read_list(Path(folder, "rank_train.txt"), folder)
        for number in range(rounds):
            for arch in archs:
                say(f"round {number + 1} of {rounds}, {arch}")
                for name, recipe in RECIPES.items():
                    trainer = Trainer.from_preset(
                        preset, arch, train=train_list, seed=0, cache_mb=400, workers=WORKERS, device=device,
                        recipe=recipe, log=lambda line: None,
                    )  # fmt: skip
                    times.setdefault(f"{name}_{arch}", []).append(_iteration_seconds(trainer, steps))
                    if trainer.device.type == "cuda":
                        medians[f"{name}_{arch}_bytes"] = torch.cuda.max_memory_allocated(device)
                        torch.cuda.reset_peak_memory_stats(device)
                    trainer.batches.stop()
                if caffe:
                    seconds_of_caffe = times.setdefault(f"caffe_{arch}", [])
                    seconds_of_caffe.append(_caffe_iteration(caffe, arch, preset, steps, folder))
    for arch in archs:
        for name in RECIPES:
            other = f"caffe_{arch}" if caffe else f"port_{arch}"
            if other != f"{name}_{arch}":
                against = "caffe" if caffe else "port"
                ratios[f"{name}_over_{against}_time_{arch}"] = _over(times, f"{name}_{arch}", other)
    return ratios, {f"{name}_s": median(values) for name, values in times.items()} | medians


def _iteration_seconds(trainer, steps):
    """Return the port's median seconds of an iteration."""

    def iterate():
        """Run one iteration."""
        trainer.forward_backward()
        trainer.optimizer.step()

    iterate()  # warm-up: loads kernels, allocates memory
    return median(seconds(iterate, trainer.device) for _ in range(steps))


def _caffe_iteration(caffe, arch, preset, steps, folder):
    """Return Caffe's median seconds of an iteration."""
    files = sample_training.image_files(folder)
    files |= sample_training.caffe_files(arch, preset, seed=0)
    job = {"name": "t", "kind": "solve", "solver": "rank_solver.prototxt", "steps": steps + 1, "return": ["cost"]}
    return float(np.median(caffe.ask("bench", [job], {}, files).array("t/seconds")[1:]))


def measure(name, rounds, device):
    """Run `score` or `train`, with Caffe on the GPU if it is available.

    Raises:
        RuntimeError: If Caffe fails.
        ValueError: If there is no such GPU.
    """
    if not device.startswith("cuda"):
        raise ValueError(f"--device {device}: expected cpu, cuda or cuda:N")
    usable_device(device)
    try:
        return {"score": score, "train": train}[name](rounds, device, caffe_on_gpu())
    except CaffeError as error:
        raise RuntimeError(str(error).strip().splitlines()[-1]) from None
