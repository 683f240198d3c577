"""Small data sets of our photographs in upstream's layouts, and initial weights.

Every image is a crop of a photograph with sides of SIDE pixels; its distortion grows with the level. A side of 225
leaves one place for a crop of 224 (upstream never draws the last offset), so that crops do not depend on random draws.
"""

import shutil
from pathlib import Path

import cv2
import numpy as np

from caffemodel.schema import FAST
from caffemodel.upgrade import V1_TYPES
from sample_networks import random_arrays, random_caffemodel

PHOTOGRAPHS = sorted((Path(__file__).resolve().parent.parent / "photographs").glob("*.jpg"))
SIDE = 225
LIVE_FOLDERS = {"gblur": 174, "wn": 174, "jpeg": 233, "jp2k": 227, "fastfading": 174}  # counts as in LIVE2_labels.mat
RANK_LIVE = ("JPEG", "GN", "GB", "JP2K")
RANK_TID = (
    "JPEG", "GN", "GB", "JP2K", "GNC", "MSL", "MSH", "CCL", "CCH",
    "IN", "ID", "BW", "NEPN", "QN", "CA", "CS", "MGN", "CQD",
)  # fmt: skip


def photograph(number, side=SIDE):
    """Return the central square of the n-th photograph (they repeat), uint8 BGR (side, side, 3)."""
    image = cv2.imread(str(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]))
    scale = side / min(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.ascontiguousarray(image[max(top, 0) :, max(left, 0) :][:side, :side])


def degraded(image, level, seed):
    """Add blur and noise that grow with the level; level 0 is unchanged."""
    if level == 0:
        return image
    blurred = cv2.GaussianBlur(image, (0, 0), 0.6 * level)
    noise = np.random.default_rng(seed).normal(0, 6 * level, image.shape)
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def rank_live(data, images, side=SIDE):
    """Write data/rank_live: pristine_images and <T>/<T><level>, levels 1 to 5."""
    for n in range(images):
        pristine = photograph(n, side)
        save(data / "rank_live" / "pristine_images" / f"{n:05}.bmp", pristine)
        for kind in RANK_LIVE:
            for level in range(1, 6):
                path = data / "rank_live" / kind / f"{kind}{level}" / f"{n:05}.bmp"
                save(path, degraded(pristine, level, [n, level]))


def rank_tid2013(data, images, side=SIDE):
    """Write data/rank_tid2013: pristine_images and 18 types with four levels."""
    for n in range(images):
        pristine = photograph(n, side)
        save(data / "rank_tid2013" / "pristine_images" / f"{n:05}.bmp", pristine)
        for kind in RANK_TID:
            for level in range(1, 5):
                path = data / "rank_tid2013" / kind / f"{kind}{level}" / f"{n:05}.bmp"
                save(path, degraded(pristine, level, [n, level]))


def tid2013(data, side=SIDE):
    """Write data/tid2013: 25 references, 24 types, level 1, and mos_with_names.txt with names in mixed case."""
    lines = []
    for reference in range(1, 26):
        image = photograph(reference, side)
        for kind in range(1, 25):
            name = f"{'I' if reference % 2 else 'i'}{reference:02}_{kind:02}_1.{'BMP' if kind % 5 == 0 else 'bmp'}"
            level = 1 + (reference + kind) % 5
            save(data / "tid2013" / "distorted_images" / name, degraded(image, level, [reference, kind]))
            lines.append(f"{7 - level - kind / 100:.5f} {name}\n")
    (data / "tid2013" / "mos_with_names.txt").write_text("".join(lines))


def live(data, side=SIDE, padded=True):
    """Write data/live: five folders with as many images as LIVE2_labels.mat has labels, and info.txt.

    padded: use names as after rename_image_names (img007.bmp); otherwise LIVE's own (img7.bmp, and a Thumbs.db).
    """
    references = (data / "ref.txt").read_text().split()
    for folder, number in LIVE_FOLDERS.items():
        lines = []
        for n in range(1, number + 1):
            name = f"img{n}.bmp"
            stored = f"img{n:03}.bmp" if padded else name
            save(data / "live" / folder / stored, degraded(photograph(n, side), n % 5, [n]))
            lines.append(f"{references[n % len(references)]} {name} {n / 10:.4f}\n")
        (data / "live" / folder / "info.txt").write_text("".join(lines))
        if not padded:
            (data / "live" / folder / "Thumbs.db").write_bytes(b"")


def imagenet_vgg16(path):
    """Write a stand-in for VGG_ILSVRC_16_layers.caffemodel: V1, an input field, fc8 of 1000, prob, random weights."""
    kinds = {kind: number for number, kind in V1_TYPES.items()}
    message = FAST["NetParameter"](name="VGG_ILSVRC_16_layers", input=["data"])
    arrays = random_arrays("vgg16")
    arrays["fc8"] = [np.zeros((1000, 4096), np.float32), np.zeros(1000, np.float32)]
    del arrays["fc8_m"]
    bottom = "data"
    for name, (weight, bias) in arrays.items():
        kind = "InnerProduct" if name.startswith("fc") else "Convolution"
        layer = message.layers.add(name=name, type=kinds[kind], bottom=[bottom], top=[name])
        for values in (weight, bias):
            shape = (1,) * (4 - values.ndim) + values.shape
            blob = layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
            blob.data = values.astype("<f4").tobytes()
        bottom = name
    message.layers.add(name="prob", type=kinds["Softmax"], bottom=["fc8"], top=["prob"])
    Path(path).write_bytes(message.SerializeToString())


def weights(models):
    """Write the initial weights of the four train scripts."""
    models.mkdir(parents=True, exist_ok=True)
    imagenet_vgg16(models / "VGG_ILSVRC_16_layers.caffemodel")
    for folder, iteration in (("rank_live_20", 20000), ("rank_tid2013", 50000)):
        (models / folder).mkdir(exist_ok=True)
        random_caffemodel(models / folder / f"my_siamese_iter_{iteration}.caffemodel", "vgg16", "live-rank")


def layout(root, checkout):
    """Make root/{data,models,results} with upstream's own data files; return root/data."""
    shutil.copytree(Path(checkout) / "data", root / "data", dirs_exist_ok=True)
    (root / "models").mkdir(exist_ok=True)
    (root / "results").mkdir(exist_ok=True)
    return root / "data"
