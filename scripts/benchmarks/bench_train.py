"""Compare time and peak memory of an iteration of Rank live (48 images) in the port and in the original Caffe.

Each engine trains in its own process; reading and cropping images counts, the first iteration does not.
`products` is the port with `--caffe-products`, `winograd` the port with `--winograd`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import build
import engine
import sample_training
from caffe_client import Live
from rankiqa.training.presets import PRESETS

STEPS = {"shallow": 6, "alexnet": 4, "vgg16": 2}  # iterations per round that are counted
WAYS = ("port", "products", "winograd")


def _preset(steps):
    """Return the preset of the measured training."""
    return PRESETS["live-rank"].but(max_iter=steps, test_interval=100, display=0, snapshot=0, clip_gradients=10.0)


def _port_process(arch, steps, folder, way):
    """Train and print the seconds of each iteration and this process's peak memory as JSON; runs in a new process."""
    from rankiqa import CaffeBlas
    from rankiqa.data.image_lists import read_list
    from rankiqa.models import memory
    from rankiqa.training.recipe import Recipe
    from rankiqa.training.trainer import Trainer

    memory.keep_freed()  # as `rankiqa train` does
    lists = {split: read_list(Path(folder, f"rank_{split}.txt"), folder) for split in ("train", "test")}
    trainer = Trainer.from_preset(
        _preset(steps), arch, **lists, seed=0, cache_mb=400, products=CaffeBlas() if way == "products" else None,
        recipe=Recipe(winograd=way == "winograd"), log=lambda line: None,
    )  # fmt: skip
    trainer.test()  # as Caffe does before the first iteration; its TEST net counts in the peak
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        trainer.forward_backward()
        trainer.optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def _port(arch, steps, folder, way):
    """Return (seconds of each iteration, peak memory) of the port, measured in a new process."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; import bench_train; "
               f"bench_train._port_process({arch!r}, {steps}, {str(folder)!r}, {way!r})"]  # fmt: skip
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"} if way == "products" else None  # like `rankiqa train`
    measured = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    measured = json.loads(measured.splitlines()[-1])
    return measured["seconds"][1:], measured["peak"]


def _caffe(client, arch, steps, folder):
    """Return (seconds of each iteration, peak memory) of Caffe."""
    files = {path.name: path for path in Path(folder).iterdir()}
    files.update(sample_training.caffe_files(arch, _preset(steps), seed=0))
    job = {"name": "t", "kind": "solve", "solver": "rank_solver.prototxt", "steps": steps, "return": ["cost"]}
    answer = Live(client).ask("bench", [job], {}, files)
    return answer.array("t/seconds")[1:].tolist(), int(answer.array("t/peak_bytes"))


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    seconds, peaks = {}, {}
    ratios = {way: {arch: [] for arch in STEPS} for way in WAYS}
    with engine.engine() as client, tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        build.build(client)
        sample_training.make_images(folder, train=3, test=2)
        for i in range(rounds):
            for arch, steps in STEPS.items():
                print(f"bench: round {i + 1} of {rounds}, {arch}", file=sys.stderr)
                measured = {"caffe": _caffe(client, arch, steps + 1, folder)}
                measured |= {way: _port(arch, steps + 1, folder, way) for way in WAYS}
                for who, (times, peak) in measured.items():
                    seconds.setdefault(f"{who}_{arch}", []).extend(times)
                    peaks.setdefault(f"{who}_{arch}", []).append(peak)
                for who, values in ratios.items():
                    values[arch].append(median(measured[who][0]) / median(measured["caffe"][0]))
    by_name = {}
    for who, by_arch in ratios.items():
        by_name |= {f"{who}_over_caffe_time_{arch}": median(values) for arch, values in by_arch.items()}
        for arch in STEPS:
            by_name[f"{who}_over_caffe_memory_{arch}"] = median(peaks[f"{who}_{arch}"]) / median(peaks[f"caffe_{arch}"])
    medians = {f"{name}_s": median(values) for name, values in seconds.items()}
    return by_name, medians | {f"{name}_peak_bytes": median(values) for name, values in peaks.items()}
