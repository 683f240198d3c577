"""Estimate the cost of scoring a million images and of the paper's training, from rates measured on this machine.

    scripts/cost [--save RATES.json]                          on the CPU
    scripts/cost --device cuda --with RATES.json ..           on a GPU, together with rates that were saved elsewhere

Measured are `rankiqa.score_many` with VGG-16 and 30 crops on image files, and iterations of the paper's two trainings
on image files. Reading and cropping count; the first image or iteration does not. The times for other numbers of cores
or GPUs are estimated in proportion. This is correct for scoring, whose parts are independent (--shard, --ray), and a
lower bound for training.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

import rankiqa
import sample_training
from rankiqa.cli.arguments import int_in_range, usable_device
from rankiqa.cli.guard import guarded
from rankiqa.data.atomic_files import check_target, replacing
from rankiqa.data.image_lists import read_list
from rankiqa.models import memory
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer

IMAGES = 1_000_000
TRAININGS = {"rank": "live-rank-paper", "ft": "live-ft-paper"}
COLUMNS = (("cpu", 2, "2 cores"), ("cpu", 16, "16 cores"), ("cuda", 1, "1 GPU"), ("cuda", 8, "8 GPUs"))


def _synchronise(device):
    """Wait until a GPU has finished."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _score_seconds(device, images):
    """Return the seconds of each image."""
    model = rankiqa.build("vgg16").to(device)
    paths = sorted(sample_training.PHOTOGRAPHS.glob("*.jpg"))[: images + 1]
    rows, times = iter(rankiqa.score_many(model, paths)), []
    for _ in paths:
        start = time.perf_counter()
        row = next(rows)
        if "error" in row:
            raise RuntimeError(f"{row['path']}: {row['error']}")
        times.append(time.perf_counter() - start)
    return times[1:]


def _training_seconds(device, folder, steps):
    """Return {"rank", "ft": seconds of each iteration}."""
    seconds = {}
    for task, name in TRAININGS.items():
        preset = PRESETS[name].but(max_iter=steps + 1, test_interval=0, display=0, snapshot=0)
        train = read_list(folder / f"{task}_train.txt", folder)
        trainer = Trainer.from_preset(
            preset, "vgg16", train=train, seed=0, cache_mb=400, device=device, log=lambda line: None
        )
        seconds[task] = []
        for _ in range(steps + 1):
            start = time.perf_counter()
            trainer.forward_backward()
            trainer.optimizer.step()
            _synchronise(device)
            seconds[task].append(time.perf_counter() - start)
        del seconds[task][0]
    return seconds


def measured(device, rounds):
    """Measure the rates of a device.

    Returns:
        {"device", "units", "machine", "score_s", "rank_s", "ft_s"}; units are CPU cores, or 1 for a GPU.
    """
    memory.keep_freed()  # as the commands do
    print("cost: scoring", file=sys.stderr)
    score = _score_seconds(device, 2 * rounds)
    with tempfile.TemporaryDirectory(prefix="rankiqa-cost-") as folder:
        sample_training.make_images(folder, train=3, test=1)
        print("cost: training", file=sys.stderr)
        training = _training_seconds(device, Path(folder), rounds)
    cpu = device.startswith("cpu")
    rates = {"device": "cpu" if cpu else "cuda", "units": len(os.sched_getaffinity(0)) if cpu else 1}
    rates["machine"] = _cpu_name() if cpu else torch.cuda.get_device_name(device)
    return rates | {"score_s": median(score)} | {f"{task}_s": median(times) for task, times in training.items()}


def _cpu_name():
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "unknown")


def _text(seconds):
    """Return a duration as text, in hours or days."""
    hours = seconds / 3600
    return f"{hours / 24:.3g} days" if hours >= 48 else f"{hours:.3g} h"


def table(rates):
    """Return the lines of a Markdown table.

    Args:
        rates: {"cpu", "cuda": rates}; a device may be missing.
    """
    iterations = {task: PRESETS[name].solver.max_iter for task, name in TRAININGS.items()}
    rows = [
        ("a million images scored (VGG-16, 30 crops)", "score_s", IMAGES),
        (f"the paper's ranking, {iterations['rank']:,} iterations of 48 images", "rank_s", iterations["rank"]),
        (f"the paper's fine-tuning, {iterations['ft']:,} iterations of 30 images", "ft_s", iterations["ft"]),
    ]
    lines = ["| | " + " | ".join(name for *_, name in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for title, key, count in rows:
        cells = []
        for device, units, _ in COLUMNS:
            known = rates.get(device)
            cells.append(_text(known[key] * count * known["units"] / units) if known else "not measured")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _line(known):
    """Describe the rates of a device and the machine that they were measured on."""
    return (
        f"Measured on {known['machine']} ({known['units']} {'cores' if known['device'] == 'cpu' else 'GPU'}): "
        f"{known['score_s']:.3g} s an image, {known['rank_s']:.3g} s and {known['ft_s']:.3g} s an iteration."
    )


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="cost", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 ..")
    parser.add_argument("--rounds", type=int_in_range(1), default=3, help="iterations for each median (default 3)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the rates as JSON")
    parser.add_argument("--with", dest="others", type=Path, nargs="+", default=[], metavar="FILE", help="saved rates")
    options = parser.parse_args(argv)
    try:
        if not options.device.startswith(("cpu", "cuda")):
            raise ValueError(f"--device {options.device}: expected cpu, cuda or cuda:N")
        usable_device(options.device)
    except ValueError as error:
        print(f"cost: {error}", file=sys.stderr)
        return 2
    try:
        rates = [json.loads(path.read_text()) for path in options.others]
        by_device = {known["device"]: known for known in rates}
        table(by_device)  # check the saved rates before measuring for minutes
        for known in rates:
            _line(known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"cost: --with: expected rates that --save wrote, got: {error}", file=sys.stderr)
        return 2
    try:
        if options.save:
            check_target(options.save)
    except ValueError as error:
        print(f"cost: --save {error}", file=sys.stderr)
        return 2
    here = measured(options.device, options.rounds)
    by_device[here["device"]] = here
    if options.save:
        with replacing(options.save) as temporary:
            temporary.write_text(json.dumps(here) + "\n")
    print("\n".join(table(by_device)))
    for known in by_device.values():
        print(f"\n{_line(known)}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:], "cost"))
