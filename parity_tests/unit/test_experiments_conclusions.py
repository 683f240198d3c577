"""The small experiments show the paper's claims: fewer images forwarded, and separate levels on unseen images."""

import csv
from dataclasses import replace

import pytest
from tiny_experiments import PHOTOGRAPHS

import rankiqa
from rankiqa.experiments import levels, mining, ranked_data
from rankiqa.experiments.budgets import SETTINGS
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.training import snapshots


@pytest.mark.slow
def test_efficient_method_and_levels(tmp_path, monkeypatch):
    """A seventh of the preset small: 12 photographs and 20 iterations of the two compared methods."""
    settings = replace(SETTINGS["small"], iterations=20, every=5, photographs=12)
    data = ranked_data.make(tmp_path, PHOTOGRAPHS, settings, 0, lambda files: None)
    all_methods = mining.methods
    monkeypatch.setattr(mining, "methods", lambda preset, pool: all_methods(preset, pool)[:2])
    page = mining.run(Experiment(tmp_path, settings, data, 0, None, None, lambda line: None))
    with open(tmp_path / "curves.csv", newline="") as file:
        rows = [{**row, "loss": float(row["loss"]), "images": int(row["images_forwarded"])}
                for row in csv.DictReader(file)]  # fmt: skip
    curves = {name: [row for row in rows if row["method"] == name] for name in ("efficient", "random")}
    final, all_images = curves["random"][-1]["loss"], curves["random"][-1]["images"]
    reached = [row["images"] for row in curves["efficient"] if row["loss"] <= final]
    assert reached and reached[0] < all_images, curves
    assert page.verdicts[0][0]

    model = rankiqa.load(snapshots.latest(tmp_path / "runs" / "efficient", "live-rank"))
    held_out = HeldOut(data.list_of("unseen", data.split()[1]), seed=1)
    table = [
        {"type": kind, "level": int(level), "score": float(score)}
        for kind, level, score in zip(
            held_out.types, held_out.images.labels, held_out.scores(model), strict=True
        )
    ]  # fmt: skip
    overlaps = levels.overlap_rows(table)
    assert levels.ordered_share("GN", overlaps) >= levels.APART, overlaps
