"""Image files of noise, with a list of them, for trainings that only have to run."""

import numpy as np
from PIL import Image


def write_noise_list(folder, count, height, width):
    """Write 0.bmp, 1.bmp, .. of uniform noise, and list.txt, which gives image n the label n."""
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.bmp")
    (folder / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(count)))
