"""An experiment's training in the original Caffe and in the port: the same results, and how they are compared."""

import shutil
import sys
from pathlib import Path

import pytest
from tiny_experiments import rows_of

from caffe_client import Live
from lib.tolerances import EXACT
from rankiqa.experiments import caffe_comparison
from rankiqa.experiments.csv_tables import write_csv

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts" / "caffe_experiments"))
import with_caffe


def test_same_as_the_original(levels_folder, tmp_path, caffe, parity):
    """With one seed and clipped gradients, losses equal Caffe's with its matrix products and differ with PyTorch's."""
    if not isinstance(caffe, Live):
        pytest.skip("needs live Caffe")
    for name in ("lists", "runs", "ranked", "experiment.json"):
        source = levels_folder / "levels" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    live = Live(caffe.client, environment={"OPENBLAS_NUM_THREADS": str(with_caffe.THREADS)}, image=caffe.image)
    with_caffe.compare(live, with_caffe.Run.of(tmp_path))
    curve, scores = rows_of(tmp_path / caffe_comparison.CURVE), rows_of(tmp_path / caffe_comparison.SCORES)
    assert [row["iteration"] for row in curve] == ["0", "2"] and len(scores) == 24
    assert {row["same_pixels"] for row in scores} == {"True"}
    comparison = caffe_comparison.compared(tmp_path)
    assert comparison.verdicts[0].shown
    port, products = rows_of(tmp_path / caffe_comparison.APART)
    case = "experiment levels, gradients clipped: held-out loss"
    parity.check("same-blas", case, float(products["loss_max_difference"]), EXACT)
    parity.must_fail("same-blas", f"wrong: {case}, PyTorch's products", float(port["loss_max_difference"]), EXACT)


def made_up(folder, port, products):
    """Write the CSV files of a comparison and return it.

    Caffe's losses are 4 and 2; level k scores k in Caffe and port[k] in the port.
    """
    steps = zip((0, 10), (4.0, 2.0), (4.0, 2.25), products, strict=True)
    write_csv(folder / caffe_comparison.CURVE, caffe_comparison.CURVE_COLUMNS,
              [dict(zip(caffe_comparison.CURVE_COLUMNS, step, strict=True)) for step in steps])  # fmt: skip
    rows = [
        {"path": f"{kind}{level}", "type": kind, "level": level, "photograph": "p", "same_pixels": level < 5,
         "caffe": level, "port": port[level], "port_caffe_products": "" if products[0] == "" else level}
        for kind in ("JPEG", "GN", "GB", "JP2K") for level in range(6)
    ]  # fmt: skip
    write_csv(folder / caffe_comparison.SCORES, caffe_comparison.SCORE_COLUMNS, rows)
    return caffe_comparison.compared(folder)


def test_how_far_apart(tmp_path):
    assert caffe_comparison.compared(tmp_path) == caffe_comparison.Comparison()
    comparison = made_up(tmp_path, (0, 0, 2, 3, 4, 7), (4.0, 2.001))
    (verdict,) = comparison.verdicts
    assert verdict.shown and "port with Caffe's matrix products: 0.001 apart at most" in verdict.text
    assert "Of the 24 held-out images, both read 20 as the same pixels" in comparison.summary[0]
    port, products = rows_of(tmp_path / caffe_comparison.APART)
    assert [float(port[name]) for name in caffe_comparison.APART_COLUMNS[1:]] == [0.25, 0.125, 2, 5]
    assert float(products["score_max_difference"]) == 0
    row = rows_of(tmp_path / caffe_comparison.OVERLAP)[0]
    assert (row["engine"], row["type"]) == ("port", "JPEG")
    values = [float(row[name]) for name in caffe_comparison.OVERLAP_COLUMNS[2:]]
    assert values == pytest.approx([0, 0.2, 0.2, 1, 0.9])  # levels 0 and 1 coincide
    assert not made_up(tmp_path, range(6), (4.0, 2.003)).verdicts[0].shown
    without = made_up(tmp_path, range(6), ("", ""))
    assert not without.verdicts[0].shown and "curve of the port: 0.25 apart" in without.verdicts[0].text
    assert len(rows_of(tmp_path / caffe_comparison.APART)) == 1
