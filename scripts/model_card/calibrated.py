"""scripts/card_calibrated IMAGENET: fine-tune the ranked model, and ImageNet's weights, on LIVE In the Wild.

This checks the paper's third claim on a data set that was not used for ranking. The splits are random, by image, with
80% for training. In both cases the output layer starts at zero, and labels are standardised, which changes no
correlation. Completed runs are not repeated: runs.csv in the work folder has a row for each. These weights are not
shipped.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
import opinions
import torch
from card_tables import REAL, WORK, read_rows, write

import rankiqa
from rankiqa.data.image_lists import ImageList
from rankiqa.metrics import lcc, srocc
from rankiqa.models import memory, weights
from rankiqa.models.efficientnet import NAME
from rankiqa.models.scorer import Scorer
from rankiqa.models.weights import SHIPPED
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.trainer import Trainer

RANKED, IMAGENET = "ranked, then fine-tuned", "ImageNet, then fine-tuned"
DIFFERENCE = "difference of the two on the same split"
MEASURES = ("srocc", "lcc")
RUN_COLUMNS = ("start", "split", "weights_sha256", "iterations", "srocc", "lcc")
COLUMNS = ("start", "splits", "srocc_mean", "srocc_std", "lcc_mean", "lcc_std")
RECIPE = Recipe(optimizer="adamw", schedule="onecycle", freeze_batch_norm=True)
SETTINGS = {"base_lr": 5e-4, "weight_decay": 1e-4, "clip_gradients": 1.0, "batch": 24, "display": 0, "snapshot": 0}


def fine_tuned(start: Path, images: list[opinions.Opinion], iterations: int, seed: int) -> Scorer:
    """Fine-tune a network on images with opinion scores and return it."""
    labels = np.array([image.label for image in images])
    labels = (labels - labels.mean()) / labels.std()
    paths = tuple(image.path for image in images)
    text = "".join(f"{path} {label}\n" for path, label in zip(paths, labels, strict=True))
    chosen = ImageList("LIVE In the Wild", paths, labels, hashlib.sha256(text.encode()).hexdigest())
    preset = PRESETS["tid2013-ft"].but(max_iter=iterations, **SETTINGS)
    trainer = Trainer.from_preset(preset, NAME, train=chosen, seed=seed, weights=start, recipe=RECIPE, workers=1)
    output = trainer.model.get_submodule(trainer.model.head)
    for parameter in output.parameters():
        torch.nn.init.zeros_(parameter)
    return trainer.run().eval()


def digest(start: Path) -> str:
    """Return the SHA-256 of a run's initial weights; for a weights file, only of its tensors, without metadata."""
    if start.suffix == ".safetensors":
        return weights.digest(rankiqa.load(start))
    return hashlib.sha256(start.read_bytes()).hexdigest()


def measured(model: Scorer, images: list[opinions.Opinion], crops: int) -> dict[str, str]:
    """Return SROCC and LCC on images."""
    rows = list(rankiqa.score_many(model, [image.path for image in images], crops=crops))
    scores, labels = [row["score"] for row in rows], [image.label for image in images]
    return {"srocc": f"{srocc(scores, labels):.4f}", "lcc": f"{lcc(scores, labels):.4f}"}


def main(argv: list[str] | None = None) -> int:
    """Run the missing trainings, write calibrated.csv and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/card_calibrated", description=__doc__.splitlines()[0])
    parser.add_argument("imagenet", type=Path, help="EfficientNet-Lite0's ImageNet weights (.pth)")
    parser.add_argument("--clive", type=Path, default=REAL / "clive", help="LIVE In the Wild: Images/, Data/")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="(default: the package's model)")
    parser.add_argument("--splits", type=int, default=8, help="number of splits (default 8)")
    parser.add_argument("--iterations", type=int, default=60, help="of each fine-tuning (default 60)")
    parser.add_argument("--crops", type=int, default=5, help="of each test image (default 5)")
    parser.add_argument("--out", type=Path, default=SHIPPED.parent, help="folder for calibrated.csv")
    parser.add_argument("--work", type=Path, default=WORK / "calibrated", help="folder for intermediate results")
    options = parser.parse_args(argv)
    memory.keep_freed()
    try:
        if options.splits < 2:
            raise ValueError(f"--splits: expected 2 or more, got {options.splits}")
        for folder in (options.work, options.out):
            folder.mkdir(parents=True, exist_ok=True)
        images = [image for image in opinions.clive(options.clive) if " all " in image.set]
        runs, file = read_rows(options.work / "runs.csv"), options.work / "runs.csv"
        for split in range(options.splits):
            order = np.random.RandomState(split).permutation(len(images))
            sides = np.split(order, [int(len(images) * 0.8)])
            train, test = ([images[i] for i in side] for side in sides)
            for name, start in ((RANKED, options.weights), (IMAGENET, options.imagenet)):
                key = {"start": name, "split": str(split), "iterations": str(options.iterations),
                       "weights_sha256": digest(start)}  # fmt: skip
                if any(key.items() <= run.items() for run in runs):
                    continue
                row = {**key, **measured(fine_tuned(start, train, options.iterations, split), test, options.crops)}
                print(f"{name}, split {split}: SROCC {row['srocc']}, LCC {row['lcc']}", file=sys.stderr)
                runs.append(row)
                write(file, RUN_COLUMNS, runs)
        write(options.out / "calibrated.csv", COLUMNS, _summary(runs, options))
    except (ValueError, OSError, FloatingPointError, csv.Error) as error:
        print(f"card_calibrated: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("card_calibrated: stopped", file=sys.stderr)
        return 130
    print(options.out / "calibrated.csv")
    return 0


def _summary(runs: list[dict[str, str]], options: argparse.Namespace) -> list[dict]:
    """Return the rows of calibrated.csv: mean and standard deviation over the splits, and those of the differences."""
    rows, values = [], []
    for name, start in ((RANKED, options.weights), (IMAGENET, options.imagenet)):
        key = {"start": name, "iterations": str(options.iterations), "weights_sha256": digest(start)}
        chosen = {int(run["split"]): run for run in runs if key.items() <= run.items()}
        splits = range(options.splits)
        values.append(np.array([[float(chosen[split][measure]) for measure in MEASURES] for split in splits]))
        rows.append(_row(name, values[-1]))
    return [*rows, _row(DIFFERENCE, values[0] - values[1])]


def _row(name: str, values: np.ndarray) -> dict:
    """Return a row of calibrated.csv from the values (splits, 2) of SROCC and LCC."""
    row: dict = {"start": name, "splits": len(values)}
    for k, measure in enumerate(MEASURES):
        row |= {f"{measure}_mean": f"{values[:, k].mean():.4f}", f"{measure}_std": f"{values[:, k].std(ddof=1):.4f}"}
    return row


if __name__ == "__main__":
    sys.exit(main())
