"""Short fine-tuning trainings of Shallow on images of noise, and what they leave behind."""

import torch
from safetensors.torch import load_file

from lib.noise_images import write_noise_list
from rankiqa.cli import main
from rankiqa.data.image_lists import read_list
from rankiqa.training import snapshots
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer

SETTINGS = {"batch": 2, "max_iter": 8, "snapshot": 4, "display": 1, "test_interval": 3, "test_iter": 1, "base_lr": 1e-9,
            "stepsize": 4, "iter_size": 2}  # fmt: skip
PRESET = PRESETS["live-ft"].but(**SETTINGS)
IMAGES = 9


def write_images(folder):
    """Write IMAGES images of noise and a list of them for fine-tuning."""
    folder.mkdir()
    write_noise_list(folder, count=IMAGES, height=240, width=240)
    return folder


def arguments(images, out, *more, **changes):
    """Return the arguments of `rankiqa` for a training; keywords change settings of the preset."""
    settings = [f"--set={name}={value}" for name, value in {**SETTINGS, **changes}.items()]
    return ["train", "live-ft", "--train", str(images / "list.txt"), "--test", str(images / "list.txt"), "--root",
            str(images), "--out", str(out), "--seed", "3", "--arch", "shallow", *settings, *map(str, more)]  # fmt: skip


def trainer(images, out=None, workers=0, log=None):
    """Return a Trainer of the listed images; by default it logs nothing."""
    lines = read_list(images / "list.txt", images)
    log = log or (lambda line: None)
    return Trainer.from_preset(PRESET, "shallow", train=lines, test=lines, seed=3, out=out, workers=workers, log=log)


def last_snapshot(out):
    """Return the path of the latest snapshot in a folder, or None."""
    return snapshots.latest(out, "live-ft")


def same_end(out, other):
    """Tell whether the last snapshots of two folders have one name and equal tensors."""
    ours, theirs = load_file(last_snapshot(out)), load_file(last_snapshot(other))
    return last_snapshot(out).name == last_snapshot(other).name and all(
        torch.equal(ours[key], theirs[key]) for key in theirs
    )


def error_line(capsys, arguments, status=2):
    """Run a command that must end with this status and print one error line; return that line."""
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rankiqa: ")]
    assert len(lines) == 1, lines
    return lines[0]
