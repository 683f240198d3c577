"""`scripts/bench score|train --device cuda`: the port in float32, TF32 and bfloat16, and Caffe on the same GPU.

Caffe is left out where its image is not there. Every time is taken with the GPU's queue empty before and after.
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
from rankiqa.data.lists import read_list
from rankiqa.models.modes import TF32, float32_products
from rankiqa.scoring.engines import TorchBfloat16Engine, TorchEngine
from rankiqa.scoring.score import CHUNK
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
    print(f"bench: {line}", file=sys.stderr)


def caffe_on_gpu():
    """Caffe on the first GPU, or None after a line that says why not."""
    try:
        client = engine.answering()
    except engine.NoEngine as error:
        say(f"without Caffe: {error}")
        return None
    if client is None or not build.labels(client, build.GPU):
        say(f"without Caffe: no Docker engine that has the image {build.GPU} (docker/build.py --gpu)")
        return None
    caffe = Live(client, image=build.GPU, gpu=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            caffe.run(["caffe", "device_query", "-gpu", "0"], folder)
    except Exception as error:  # the engine's or Caffe's own: no GPU gets into a container
        say(f"without Caffe: {str(error).strip().splitlines()[-1]}")
        return None
    return caffe


def seconds(work, device):
    """How long work() takes until the GPU is done."""

    def wait():
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def _over(times, slow, fast):
    return median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def score(rounds, device, caffe, arch="vgg16"):
    """Scoring: ({ratios, higher is better for the first}, {medians: seconds a crop, passes of ten; of an image of 30}).

    Args:
        rounds: measurements that the medians are of.
        device: where the port computes.
        caffe: Live on a GPU, or None.
        arch: the network.
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
            with torch.inference_mode(), float32_products(TF32):
                return model(crops.to(device, non_blocking=True)).squeeze(1)

        def images():
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
                    work()  # once before it counts
                times[name].append(seconds(work, device) / parts)
            for name, batch in (("caffe", 1), ("caffe_10_at_once", CHUNK)) if caffe else ():
                times[name].append(_caffe_seconds(caffe, arch, path, model, image, offsets, batch))
    ratios = {f"{kind}_over_port": _over(times, "port", f"port_{kind}") for kind in ("tf32", "bf16")}
    for name in ("port", "port_tf32", "port_bf16") if caffe else ():
        ratios[f"{name}_over_caffe"] = _over(times, "caffe", name)
        ratios[f"{name}_over_caffe_10_at_once"] = _over(times, "caffe_10_at_once", name)
    return ratios | errors, {f"{name}_s": median(values) for name, values in times.items()}


def _caffe_seconds(caffe, arch, path, model, image, offsets, batch):
    """Of a crop: a long series of passes less a short one, so that loading the net falls out."""
    job = {"name": "s", "kind": "score", "net": "deploy.prototxt", "weights": "w.caffemodel", "output": model.head,
           "crop": model.crop, "offsets": "o", "batch": batch, "images": [{"array": "i"}]}  # fmt: skip
    files = {"deploy.prototxt": deploy_text(arch), "w.caffemodel": path}
    many, times = np.tile(offsets, (20, 1)), []
    for part in (many, many[: len(many) // 2]):
        arrays = {"i": np.ascontiguousarray(image[:, :, ::-1]), "o": part[None]}  # Caffe takes BGR
        start = time.perf_counter()
        caffe.ask("bench", [job], arrays, files)
        times.append(time.perf_counter() - start)
    return (times[0] - times[1]) / (len(many) - len(many) // 2)


def train(rounds, device, caffe, archs=TRAINED, steps=STEPS):
    """Iterations of Rank live: ({ratios of times, lower is better for the first}, {medians: seconds, GPU memory}).

    Args:
        rounds, device, caffe: as `score`.
        archs: networks.
        steps: iterations that count, a round.
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
                    found = times.setdefault(f"{name}_{arch}", [])
                    found.append(_iteration_seconds(trainer, steps))
                    if trainer.device.type == "cuda":
                        medians[f"{name}_{arch}_bytes"] = torch.cuda.max_memory_allocated(device)
                        torch.cuda.reset_peak_memory_stats(device)
                    trainer.batches.stop()
                if caffe:
                    found = times.setdefault(f"caffe_{arch}", [])
                    found.append(_caffe_iteration(caffe, arch, preset, steps, folder))
    for arch in archs:
        for name in RECIPES:
            other = f"caffe_{arch}" if caffe else f"port_{arch}"
            if other != f"{name}_{arch}":
                against = "caffe" if caffe else "port"
                ratios[f"{name}_over_{against}_time_{arch}"] = _over(times, f"{name}_{arch}", other)
    return ratios, {f"{name}_s": median(values) for name, values in times.items()} | medians


def _iteration_seconds(trainer, steps):
    def iterate():
        trainer.forward_backward()
        trainer.optimizer.step()

    iterate()  # loads kernels, fills the memory
    return median(seconds(iterate, trainer.device) for _ in range(steps))


def _caffe_iteration(caffe, arch, preset, steps, folder):
    files = sample_training.image_files(folder)
    files |= sample_training.caffe_files(arch, preset, seed=0)
    job = {"name": "t", "kind": "solve", "solver": "rank_solver.prototxt", "steps": steps + 1, "return": ["cost"]}
    return float(np.median(caffe.ask("bench", [job], {}, files).array("t/seconds")[1:]))


def measure(name, rounds, device):
    """`score` or `train` with Caffe on the GPU where it is there.

    Raises:
        RuntimeError: For Caffe's or the engine's own errors.
        ValueError: Where there is no such GPU.
    """
    if not device.startswith("cuda"):
        raise ValueError(f"--device {device}: expected cpu, cuda or cuda:N")
    usable_device(device)
    try:
        return {"score": score, "train": train}[name](rounds, device, caffe_on_gpu())
    except CaffeError as error:
        raise RuntimeError(str(error).strip().splitlines()[-1]) from None
