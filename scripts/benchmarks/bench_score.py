"""Scoring with VGG-16: the port against the original Caffe (a crop at a time as upstream does, and ten at once), and
against torchvision's VGG-16, on the same crops of one photograph, in one run. Higher is better for the port.
"""

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
from caffe_client import Live
from rankiqa.models import memory
from rankiqa.scoring.score import CHUNK, score_crops
from sample_networks import CROPS, converted, deploy_text, random_caffemodel

CROPS_TIMED = 10


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _caffe_seconds(caffe, path, model, image, offsets, batch):
    """Time of one image of `offsets` crops less that of one of a single crop: loading the net falls out."""
    job = {
        "name": "s",
        "kind": "score",
        "net": "deploy.prototxt",
        "weights": "w.caffemodel",
        "images": [{"array": "i"}],
    }
    job.update(output=model.head, crop=model.crop, offsets="o", batch=batch)
    files = {"deploy.prototxt": deploy_text("vgg16"), "w.caffemodel": path}
    times = []
    for part in (offsets, offsets[:batch]):
        arrays = {"i": np.ascontiguousarray(image[:, :, ::-1]), "o": part[None]}  # Caffe takes BGR
        times.append(_seconds(lambda arrays=arrays: caffe.ask("bench", [job], arrays, files)))
    return (times[0] - times[1]) / (len(offsets) - batch)


def measure(rounds):
    import torchvision

    memory.keep_freed()  # as `rankiqa score`
    with engine.engine() as client, tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        build.build(client)
        path = random_caffemodel(Path(folder, "vgg16.caffemodel"), "vgg16")
        model = converted(path)
        twin = torchvision.models.vgg16(num_classes=1).eval()
        image = rankiqa.read_image(sorted(CROPS.glob("*.png"))[0])
        offsets = rankiqa.crop_offsets(*image.shape[:2], model.crop, 3 * CROPS_TIMED, np.random.RandomState(0))
        crops = rankiqa.take_crops(image, offsets[:CROPS_TIMED], model.input_spec)
        times = {"port": [], "torchvision": [], "caffe": [], "caffe_10_at_once": []}
        for i in range(rounds):
            print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
            times["port"].append(_seconds(lambda: score_crops(model, image, offsets[:CROPS_TIMED])) / CROPS_TIMED)
            with torch.inference_mode():
                times["torchvision"].append(_seconds(lambda: twin(crops)) / CROPS_TIMED)
            caffe = Live(client)
            times["caffe"].append(_caffe_seconds(caffe, path, model, image, offsets[:CROPS_TIMED], 1))
            times["caffe_10_at_once"].append(_caffe_seconds(caffe, path, model, image, offsets, CHUNK))

    def over(name):
        return median(other / port for other, port in zip(times[name], times["port"], strict=True))

    ratios = {
        "port_over_caffe": over("caffe"),
        "port_over_caffe_10_at_once": over("caffe_10_at_once"),
        "port_over_torchvision": over("torchvision"),
    }
    return ratios, {f"{name}_s_per_crop": median(values) for name, values in times.items()}
