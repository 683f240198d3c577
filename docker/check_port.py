"""Check the image rankiqa while it is built: from a caffemodel to a score, and from photographs to a trained model.

If a command fails, the build fails, so there is never an image whose parts do not work together.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

import rankiqa
from rankiqa.cli import main
from sample_networks import random_caffemodel

COMMANDS = """
convert w.caffemodel --trained-on live-rank --out w.safetensors
score photos --weights w.safetensors --crops 2 --json
distort --set live --images photos --out ranked --types GB JPEG --levels 1 2 --workers 2
lists rank-live ranked --types GB JPEG --levels 2 --out lists --split none
train live-rank --arch shallow --train lists/live_all.txt --root . --out run --set list_groups=2 --set groups=2 \
--set levels=3 --set images=1 --set max_iter=1
score photos --weights run/live-rank_iter_1.safetensors --crops 1
"""


def check(folder):
    """Run all commands in a folder; raise SystemExit at the first that fails."""
    random_caffemodel(folder / "w.caffemodel", "shallow")
    (folder / "photos").mkdir()
    for n in range(2):
        image = np.random.default_rng(n).integers(0, 256, (300, 320, 3), np.uint8)
        cv2.imwrite(str(folder / "photos" / f"{n}.png"), cv2.GaussianBlur(image, (0, 0), 2))
    for line in COMMANDS.strip().splitlines():
        if status := main(line.split()):
            raise SystemExit(f"rankiqa {line}: exit status {status}")
    for arch in ("alexnet", "vgg16"):  # grouped and plain convolutions, LRN
        model = rankiqa.build(arch)
        with torch.inference_mode():
            model.eval()(torch.zeros(2, 3, model.crop, model.crop))


if __name__ == "__main__":
    import os

    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        check(Path(temporary))
