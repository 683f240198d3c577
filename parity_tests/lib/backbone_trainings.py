"""Short ranking trainings of a tiny timm network on images of noise."""

from lib.noise_images import write_noise_list
from rankiqa.data.image_lists import read_list
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer

TINY = "timm:test_efficientnet"  # crops of 160
SIZE = {"list_groups": 2, "groups": 2, "levels": 2, "images": 1}
RANK = PRESETS["live-rank"].but(**SIZE, max_iter=6, snapshot=2, display=1, test_interval=4, base_lr=1e-3, stepsize=3)


def write_images(folder):
    """Write noise images and a list of them: two distortions, two levels and three images of each."""
    write_noise_list(folder, count=12, height=230, width=240)
    return folder


def trainer(images, recipe, out=None, preset=RANK, arch=TINY, **options):
    """Return a Trainer of the listed images."""
    lists = {split: read_list(images / "list.txt", images) for split in ("train", "test")}
    return Trainer.from_preset(preset, arch, **lists, seed=3, recipe=recipe, out=out, log=lambda line: None, **options)


def arguments(images, out, *more, preset="live-rank", arch=TINY):
    """Return the arguments of `rankiqa` for a training of two iterations."""
    settings = {**SIZE, "max_iter": 2, "snapshot": 0, "display": 1, "test_interval": 0}
    return ["train", preset, "--train", str(images / "list.txt"), "--root", str(images), "--out", str(out), "--arch",
            arch, *(f"--set={name}={value}" for name, value in settings.items()), *map(str, more)]  # fmt: skip
