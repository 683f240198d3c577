"""The original's evaluation and ours agree on real images of LIVE with the same weights."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.scoring.image_score import score_crops
from sample_networks import ROOT, converted, random_caffemodel

REAL = Path(os.environ.get("RANKIQA_REAL") or ROOT.parent / "shared" / "real")
EVERY = 12  # use every 12th image of LIVE: 30 crops of VGG-16 take Caffe 15 s per image
SEED = 7
ERRORS = 5  # allowed difference of scores with crops at other places, in standard errors of the mean over crops


@pytest.mark.real
@pytest.mark.slow
def test_ft_eval_all_live(run, tmp_path):
    """With the script's own crops results agree to the last written digit; `rankiqa evaluate` draws other crops."""
    if not (REAL / "live").is_dir():
        pytest.skip(f"no {REAL}/live: RANKIQA_REAL names the folder of real images")
    with open(REAL / "live" / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::EVERY]
    (tmp_path / "results").mkdir()
    lines = []
    for row in rows:
        target = tmp_path / "data" / "live" / row["image"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / "live" / row["image"], target)
        lines.append(f"data/live/{row['image']} {row['dmos_authors']}\n")
    listed = tmp_path / "data" / "ft_live_test.txt"
    listed.write_text("".join(lines))
    path = tmp_path / "models" / "ft_live" / "my_siamese_iter_50000.caffemodel"
    path.parent.mkdir(parents=True)
    random_caffemodel(path, "vgg16", "live-ft")
    result = run(tmp_path, "python", "src/eval/FT_eval_all_live.py", timeout=7200, CAFFE_SEED=SEED)
    assert result.status == 0, str(result)
    written = {key: float(np.loadtxt(tmp_path / "results" / "live" / f"FT_all_{key}.txt")) for key in ("srocc", "lcc")}

    model, random = converted(path), np.random.RandomState(SEED)  # one stream for all images
    scores, spread, labels = [], [], [float(row["dmos_authors"]) for row in rows]
    for row in rows:
        image = rankiqa.read_image(REAL / "live" / row["image"])
        offsets = rankiqa.crop_offsets(*image.shape[:2], model.crop, 30, random)
        values = score_crops(model, image, offsets).astype(np.float64)
        scores.append(float(values.mean()))
        spread.append(float(values.std() * np.sqrt(2 / len(values))))
    expected = {"srocc": rankiqa.srocc(scores, labels), "lcc": rankiqa.lcc(scores, labels)}
    assert written == pytest.approx(expected, abs=0.0015)

    weights = tmp_path / "w.safetensors"
    assert main(["convert", str(path), "--trained-on", "live-ft", "--out", str(weights)]) == 0
    words = [listed, "--root", tmp_path, "--weights", weights, "--bootstrap", 0, "--types-from", "none"]
    assert main(["evaluate", *map(str, words), "--per-image", str(tmp_path / "ours.csv")]) == 0
    with open(tmp_path / "ours.csv", encoding="utf-8") as file:
        ours = [float(row["score"]) for row in csv.DictReader(file)]
    for score, expected_score, error in zip(ours, scores, spread, strict=True):
        assert score != expected_score and abs(score - expected_score) <= ERRORS * error
