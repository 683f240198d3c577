"""A small training (ranking, then fine-tuning) on real photographs, with the same set-up in Caffe and in the port.

The two share only the images, the lists and one seed.
"""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

import rankiqa
from rankiqa.training.presets import PRESETS
from sample_networks import ROOT, TASKS

PHOTOGRAPHS = ROOT / "parity_tests" / "photographs"
TYPES = ("JPEG", "GN", "GB", "JP2K")
SIZE = (288, 288)  # height and width of the region of a photograph that is used
SEED = 1701


def make_images(folder, train=12, test=4):
    """Write the images as BMP and the four lists; return {name of the list: its text}."""
    folder, texts = Path(folder), {}
    names = sorted(PHOTOGRAPHS.glob("*.jpg"))[: train + test]
    for split, chosen in (("train", names[:train]), ("test", names[train:])):
        by_level = {kind: [[] for _ in range(6)] for kind in TYPES}
        scored = []
        for n, path in enumerate(chosen):
            image = cv2.imread(str(path))
            top, left = ((side - part) // 2 for side, part in zip(image.shape[:2], SIZE, strict=True))
            image = image[top : top + SIZE[0], left : left + SIZE[1]]
            pristine = f"{split}{n:02}.bmp"
            cv2.imwrite(str(folder / pristine), image)
            for kind in TYPES:
                by_level[kind][5].append(pristine)
                for level in range(1, 6):
                    rng = np.random.default_rng([SEED, n, level])
                    changed = rankiqa.distort(image[..., ::-1], kind, level, rng)[..., ::-1]
                    name = f"{split}{n:02}_{kind}{level}.bmp"
                    cv2.imwrite(str(folder / name), changed)
                    by_level[kind][5 - level].append(name)  # the worst level first, as in upstream's list
                    rmse = np.sqrt(np.mean((changed.astype(np.float64) - image) ** 2))
                    scored.append(f"{name} {rmse:.2f}\n")  # used instead of DMOS
        ranked = [f"{name} {level}\n" for kind in TYPES for level in range(6) for name in by_level[kind][level]]
        texts[f"rank_{split}.txt"], texts[f"ft_{split}.txt"] = "".join(ranked), "".join(scored)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return texts


def image_files(folder):
    """Return {name: path} of the images and lists, for Caffe's folder."""
    return {path.name: path for path in sorted(Path(folder).iterdir()) if path.suffix in (".bmp", ".txt")}


def presets(arch, dataset, iterations, **changes):
    """Return {task: preset} of a training that is small enough for a test; `changes` are {task: settings}."""
    every = {"max_iter": iterations, "snapshot": 0, "test_interval": 100, "display": 20, "average_loss": 20}
    rank = PRESETS[f"{dataset}-rank"].but(**{**every, **changes.get("rank", {})})
    return {"rank": rank, "ft": PRESETS[f"{dataset}-ft"].but(**{**every, "test_iter": 2, **changes.get("ft", {})})}


def _nets(*arguments):
    """Run caffe_ref/nets.py and return its output."""
    command = [sys.executable, ROOT / "caffe_ref" / "nets.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def caffe_files(arch, preset, seed=SEED, test_net=True):
    """Return {name: text} of a preset's train net, deploy net and solver for Caffe.

    Args:
        arch: The network.
        preset: The preset.
        seed: The seed of the data layers and the solver.
        test_net: Whether the solver also runs the TEST net.
    """
    names, task = (arch, *TASKS[preset.net]), preset.task
    data = {"seed": seed, "cache_mb": 400}
    for phase in ("TRAIN", "TEST"):
        data[phase] = {"list": f"{task}_{phase.lower()}.txt"}
    fields = ("list_groups", "groups", "levels", "images") if task == "rank" else ("batch", "sort_by_label")
    data.update({name: getattr(preset, name) for name in fields})
    fields = ("base_lr", "gamma", "stepsize", "max_iter", "momentum", "weight_decay", "clip_gradients", "iter_size",
              "display", "average_loss", "test_interval", "snapshot")  # fmt: skip
    settings = preset.solver
    solver = {name: getattr(settings, name) for name in fields if getattr(settings, name) is not None}
    solver.update(net=f"{task}_net.prototxt", test_iter=[settings.test_iter], random_seed=seed, solver_mode="CPU",
                  snapshot_prefix=task)  # fmt: skip
    if not test_net:
        solver.update(test_iter=None, test_interval=None)
    return {
        f"{task}_net.prototxt": _nets("net", *names, "train", "--data", json.dumps(data)),
        f"{task}_deploy.prototxt": _nets("net", *names, "deploy"),
        f"{task}_solver.prototxt": _nets("solver", *names, "--set", json.dumps(solver)),
    }
