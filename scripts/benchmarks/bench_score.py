"""Measure scoring with VGG-16 on a photograph of TID2013's size in Caffe, the port's engines and torchvision.

In a ratio A_over_B, higher is better for A: it is the time of B over the time of A.

Times are per crop, in passes of ten crops as in `rankiqa score` (Caffe: one crop, as upstream does, and ten). The dense
time is that of an image and is compared with thirty crops. OpenVINO is measured in bfloat16 only on a CPU that supports
it. The agreement of the scores is measured on VGG-16's crops, and with the network that scripts/reproduce trained on
distorted photographs.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

import build
import engine
import rankiqa
from caffe_client import Live
from rankiqa.distortions import LIVE
from rankiqa.models import memory
from rankiqa.scoring.blocked_layout import FIRST
from rankiqa.scoring.engines import TorchEngine, engine_named
from rankiqa.scoring.image_score import CHUNK
from sample_networks import converted, deploy_text, random_caffemodel

PARITY = Path(__file__).resolve().parents[2] / "parity_tests"
PHOTOGRAPHS = sorted((PARITY / "photographs").glob("*.jpg"))
TRAINED = PARITY / "recorded" / "reproduce" / "rank.caffemodel"  # Shallow, trained in Caffe by scripts/reproduce
HEIGHT, WIDTH = 384, 512
CROPS = 30
RANKED = 6  # photographs, each at five levels of LIVE's types


def _seconds(work):
    """Return the time of work()."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _caffe_seconds(caffe, path, model, image, offsets, batch):
    """Return Caffe's seconds per crop: all crops minus a single pass, which cancels the time of loading the net."""
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
        arrays = {"i": np.ascontiguousarray(image[:, :, ::-1]), "o": part[None]}  # Caffe expects BGR
        times.append(_seconds(lambda arrays=arrays: caffe.ask("bench", [job], arrays, files)))
    return (times[0] - times[1]) / (len(offsets) - batch)


def _photograph(path):
    """Return a photograph at TID2013's size, uint8 (384, 512, 3), RGB."""
    image = rankiqa.read_image(path)
    return np.ascontiguousarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


def _say(line):
    """Print a line to stderr."""
    print(f"bench: {line}", file=sys.stderr)


def _engines(model):
    """Return {name: engine} of all engines that this machine can run."""
    engines = {"port": TorchEngine(model)}
    others = {
        "port_bf16": ("torch", "bf16"),
        "winograd": ("winograd", "fp32"),
        "onnxruntime": ("onnxruntime", "fp32"),
        "openvino": ("openvino", "fp32"),
        "openvino_bf16": ("openvino", "bf16"),
    }
    for name, (kind, precision) in others.items():
        try:
            engines[name] = engine_named(kind, model, precision=precision, say=_say)
        except ValueError as error:  # a missing package, or no bfloat16
            _say(f"{name} is left out: {error}")
    return engines


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    with engine.engine() as client, tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        os.environ["RANKIQA_CACHE"] = folder
        build.build(client)
        path = random_caffemodel(Path(folder, "vgg16.caffemodel"), "vgg16")
        times, errors = _times(rounds, client, path, converted(path))
        agreement = _agreement(Path(folder))

    def over(fast, slow, scale=1.0):
        """Return the median ratio of the time of `slow` to that of `fast`."""
        return median(scale * b / a for a, b in zip(times[fast], times[slow], strict=True))

    fp32 = [name for name in ("port", "winograd", "onnxruntime", "openvino") if name in times]
    bf16 = [name for name in ("port_bf16", "openvino_bf16") if name in times]
    fastest, fastest_bf16 = (min(names, key=lambda name: median(times[name])) for names in (fp32, bf16))
    ratios = {
        "port_over_caffe": over("port", "caffe"),
        "port_over_caffe_10_at_once": over("port", "caffe_10_at_once"),
        "port_over_torchvision": over("port", "torchvision"),
        "port_over_plain_layers": over("port", "plain_layers"),
        "port_over_channels_last": over("port", "channels_last"),
        "dense_over_port": over("dense_image", "port", CROPS),
        "bf16_over_port": over("port_bf16", "port"),
        **({"winograd_over_port": over("winograd", "port")} if "winograd" in times else {}),
        "fastest_over_caffe": over(fastest, "caffe"),
        "fastest_bf16_over_caffe": over(fastest_bf16, "caffe"),
        "fastest": fastest,
        "fastest_bf16": fastest_bf16,
    }
    if "openvino" in times:
        ratios["port_over_openvino"] = over("port", "openvino")
    return ratios | errors | agreement, {f"{name}_s": median(values) for name, values in times.items()}


def _times(rounds, client, path, model):
    """Return ({name: seconds of each round}, {error_NAME: largest difference from the port's scores / their range})."""
    import torchvision

    memory.keep_freed()  # as `rankiqa score` does
    twin = torchvision.models.vgg16(num_classes=1).eval()
    channels_last = converted(path).to(memory_format=torch.channels_last)
    image = _photograph(PHOTOGRAPHS[0])
    offsets = rankiqa.crop_offsets(*image.shape[:2], model.crop, CROPS, np.random.RandomState(0))
    crops = rankiqa.take_crops(image, offsets[:CHUNK], model.input_spec)
    engines = _engines(model)
    for _ in range(FIRST + 1):  # then the convolutions use oneDNN's layout, if its bits are the same
        reference = engines["port"].scores(crops)
    errors = {
        f"error_{name}": float((other.scores(crops) - reference).abs().max() / (reference.max() - reference.min()))
        for name, other in engines.items()
    }
    works = {name: (lambda other=other: other.scores(crops), CHUNK) for name, other in engines.items()}
    works["plain_layers"] = (lambda: model(crops), CHUNK)
    works["channels_last"] = (lambda: channels_last(crops.to(memory_format=torch.channels_last)), CHUNK)
    works["torchvision"] = (lambda: twin(crops), CHUNK)
    works["dense_image"] = (lambda: engines["port"].dense(image), 1)
    times = {name: [] for name in (*works, "caffe", "caffe_10_at_once")}
    with torch.inference_mode():
        for i in range(rounds):
            print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
            for name, (work, parts) in works.items():
                if not i:
                    work()  # warm-up
                times[name].append(_seconds(work) / parts)
            caffe = Live(client)
            times["caffe"].append(_caffe_seconds(caffe, path, model, image, offsets, 1))
            times["caffe_10_at_once"].append(_caffe_seconds(caffe, path, model, image, offsets, CHUNK))
    return times, errors


def _agreement(folder):
    """Measure with a trained Shallow, on photographs at five levels of LIVE's types, how well kinds of scores agree.

    Returns:
        The SROCC of dense scores with those of crops and of bfloat16 with float32 (ten crops), and for each kind the
        share of pairs of levels that it orders correctly.
    """
    path = Path(folder, "rank.caffemodel")
    path.write_bytes(TRAINED.read_bytes())
    model = converted(path)
    fp32, bf16 = TorchEngine(model), engine_named("torch", model, precision="bf16", say=lambda _: None)
    scores = {name: [] for name in ("crops", "dense", "ten_crops", "bf16")}
    for number, photograph in enumerate(PHOTOGRAPHS[:RANKED]):
        image = _photograph(photograph)
        offsets = rankiqa.crop_offsets(HEIGHT, WIDTH, model.crop, CROPS, np.random.RandomState(0))
        for kind in LIVE:
            for level in range(1, 6):
                distorted = rankiqa.distort(image, kind, level, np.random.default_rng([0, number, level]))
                first, *rest = (
                    rankiqa.take_crops(distorted, offsets[i : i + CHUNK], model.input_spec)
                    for i in range(0, CROPS, CHUNK)
                )
                outputs = [fp32.scores(crops) for crops in (first, *rest)]
                scores["crops"].append(float(torch.cat(outputs).mean()))
                scores["ten_crops"].append(float(outputs[0].mean()))
                scores["bf16"].append(float(bf16.scores(first).mean()))
                scores["dense"].append(fp32.dense(distorted).score)
    accuracy = {name: _ranked_rightly(np.reshape(values, (-1, 5))) for name, values in scores.items()}
    return {
        "srocc_dense_to_crops": float(rankiqa.srocc(scores["crops"], scores["dense"])),
        "srocc_bf16_to_fp32": float(rankiqa.srocc(scores["ten_crops"], scores["bf16"])),
        **{f"ranking_accuracy_{name}": value for name, value in accuracy.items()},
    }


def _ranked_rightly(levels):
    """Return the share of pairs of levels (of one photograph and type) in order, for the better of both directions."""
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    rising = np.mean([[row[j] > row[i] for i, j in pairs] for row in levels])
    return float(max(rising, 1 - rising))
