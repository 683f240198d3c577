"""Parts of an evaluation: distortion types, intervals, lists of `rankiqa lists`, and upstream's six evaluations."""

import json
import shutil

import datasets_on_disk
import numpy as np
import pytest
from rated_photographs import LABELS
from scipy import stats

import rankiqa
from rankiqa.cli import main
from rankiqa.evaluation import upstream_evaluations
from rankiqa.evaluation.agreement import Bootstrap, intervals, resamples
from rankiqa.evaluation.distortion_types import origins
from rankiqa.evaluation.rated_images import read as read_rated

# Types and references


def test_types():
    paths = ["d/i04_11_1.bmp", "d/I25_02_5.BMP"]
    assert origins(paths) == origins(paths, "tid2013") == [("11", "04"), ("02", "25")]
    assert origins(["l/gblur/img1.bmp", "l/wn/img1.bmp"]) == [("gblur", ""), ("wn", "")]
    assert origins(["r/GB/GB3/a.bmp", "r/pristine_images/a.bmp"]) == [("GB", ""), ("pristine_images", "")]
    assert origins(["r/JP2K/JP2K1/a.jp2", "r/GN/GN1/a.bmp"]) == [("JP2K", ""), ("GN", "")]
    assert origins(["one/a.bmp", "one/b.bmp"]) == [("", "")] * 2
    assert origins(paths, "none") == [("", "")] * 2
    assert origins(["a_blur_3.png"], r"(?P<reference>\w+?)_(?P<type>[a-z]+)_\d") == [("blur", "a")]


def test_types_from_a_table(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("image,type,reference\ngblur/img1.bmp,blur,boats\nwn/img1.bmp,noise,monarch\n")
    assert origins(["/x/wn/img1.bmp", "gblur/img1.bmp"], str(table)) == [("noise", "monarch"), ("blur", "boats")]
    with pytest.raises(ValueError, match=r"row for each image, got none for xgblur/img1\.bmp"):
        origins(["xgblur/img1.bmp", "wn/img1.bmp"], str(table))
    table.write_text("image,kind\na,b\n")
    with pytest.raises(ValueError, match="expected the columns path"):
        origins(["a"], str(table))


@pytest.mark.parametrize(
    "source, message", [("[", "regular expression"), ("x", r"\(\?P<type>"), ("tid2013", "i04_11_1")]
)
def test_types_refuse(source, message):
    with pytest.raises(ValueError, match=message):
        origins(["a/b.bmp"], source)


# Intervals


def test_intervals_cover_and_are_repeatable():
    rng = np.random.RandomState(3)
    truth, covered = 0.8, 0
    for trial in range(30):
        a = rng.standard_normal(80)
        b = truth * a + np.sqrt(1 - truth**2) * rng.standard_normal(80)
        low, high = intervals(a, b, [""] * 80, Bootstrap(100, trial))["lcc"]
        covered += low <= truth <= high
    assert 25 <= covered <= 30  # 95% of 30 is 28.5; percentile intervals cover a little less
    first, again, other = (intervals(a, b, [""] * 80, Bootstrap(100, seed)) for seed in (1, 1, 2))
    assert first == again != other
    wider, narrower = (intervals(a, b, [""] * 80, Bootstrap(200, 0, confidence))["srocc"] for confidence in (0.99, 0.5))
    assert wider[0] < narrower[0] < narrower[1] < wider[1]


def test_resamples_take_whole_references():
    references = ["a", "a", "b", "c", "c", "c"]
    for index in resamples(references, Bootstrap(20, 4)):
        drawn = [references[i] for i in index]
        assert drawn.count("a") % 2 == 0 and drawn.count("c") % 3 == 0
        assert drawn.count("a") // 2 + drawn.count("b") + drawn.count("c") // 3 == 3


# Lists of `rankiqa lists`


def test_a_lists_json(rated_folder, tmp_path, weights, capsys):
    lines = (rated_folder / "list.txt").read_text().splitlines()
    (tmp_path / "x_test.txt").write_text("\n".join(lines[:6]) + "\n")
    (tmp_path / "x_train.txt").write_text("\n".join(lines[6:]) + "\n")
    files = {side: {"path": f"/gone/x_{side}.txt"} for side in ("train", "test")}
    lines = {side: {"types": ["t"] * n, "references": list("aabbcc"[:n])} for side, n in (("train", 2), ("test", 6))}
    summary = tmp_path / "x_lists.json"
    summary.write_text(json.dumps({"files": files, "lines": lines, "direction": "lower is better"}))
    for path in (summary, tmp_path / "x_test.txt"):  # a list beside its JSON has the same columns
        rated = read_rated(path, rated_folder)
        assert (rated.side, rated.lower_is_better, len(rated.images)) == ("test", True, 6)
        assert [image.reference for image in rated.images] == list("aabbcc")
    assert read_rated(summary, rated_folder, "train").side == "train"
    assert read_rated(summary, rated_folder, types="folder").images[0].type == "GB"
    words = [summary, "--root", rated_folder, "--weights", weights, "--json", "--crops", 2, "--bootstrap", 20]
    assert main(["evaluate", *map(str, words)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bootstrap"]["by"] == "reference" and result["label_lower_is_better"] is True
    with pytest.raises(ValueError, match="a side of train, test"):
        read_rated(summary, rated_folder, "validation")
    with pytest.raises(ValueError, match="with sides"):
        read_rated(rated_folder / "list.txt", rated_folder, "test")
    lines["test"]["types"] = ["t"] * 5
    summary.write_text(json.dumps({"files": files, "lines": lines}))
    with pytest.raises(ValueError, match="for each of 6 lines"):
        read_rated(summary, rated_folder)


def test_lists_of_tid2013_say_types_and_references(tmp_path, capsys):
    folder = datasets_on_disk.tid2013(tmp_path / "tid")
    assert main(["lists", "ft-tid2013", str(folder), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    rated = read_rated(tmp_path / "ft_tid2013_lists.json")
    assert len(rated.images) == 600 and rated.lower_is_better is False
    for image in rated.images:
        reference, kind, _ = image.path.rsplit("/", 1)[1][1:].split("_")
        assert (image.type, int(image.reference)) == (kind, int(reference))


# Upstream's evaluations


def test_presets_are_upstreams_six():
    """The presets' lists and result files are those of upstream's evaluation scripts."""
    files = {
        (preset.dataset, preset.each, preset.net): (preset.list, f"results/{preset.dataset}/{preset.tag}_srocc.txt")
        for preset in upstream_evaluations.PRESETS
    }
    live, tid = "data/ft_live_test.txt", "data/ft_tid2013_test.txt"
    assert files == {
        ("live", False, "ft"): (live, "results/live/FT_all_srocc.txt"),
        ("live", False, "rank"): (live, "results/live/FT_all_srocc.txt"),
        ("tid2013", False, "ft"): (tid, "results/tid2013/FT_all_srocc.txt"),
        ("tid2013", False, "rank"): (tid, "results/tid2013/Rank_all_srocc.txt"),
        ("tid2013", True, "ft"): (tid, "results/tid2013/FT_each_srocc.txt"),
        ("tid2013", True, "rank"): (tid, "results/tid2013/Rank_each_srocc.txt"),
    }


@pytest.fixture
def tid(tmp_path, rated_folder, monkeypatch):
    """The types of eight images in tmp_path (four of 1, three of 24, one of 2); the list is where upstream has it.

    tmp_path becomes the current folder.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    types = [1, 24, 1, 24, 1, 24, 1, 2]
    lines = []
    for i, (kind, label) in enumerate(zip(types, LABELS, strict=True)):
        name = f"i{i + 1:02}_{kind:02}_1.bmp"
        shutil.copy(sorted(rated_folder.glob("*/*/*.jpg"))[i], tmp_path / name)
        lines.append(f"./{name} {label}\n")
    (tmp_path / "data/ft_tid2013_test.txt").write_text("".join(lines))
    return types


def test_result_files_to_the_letter(tid, tmp_path, capsys, weights, write):
    options = ["--preset", "tid2013", "--rank", "--json", "--bootstrap", 0, "--crops", 2, "--weights"]
    status = main(["evaluate", "--each", *map(str, options), str(weights)])
    result = json.loads(capsys.readouterr().out)
    assert status == 0
    model = rankiqa.load(weights)
    scores = np.array(
        [rankiqa.score(model, rankiqa.read_image(p), crops=2).score for p in sorted(tmp_path.glob("*.bmp"))]
    )
    expected = {"srocc": "", "lcc": ""}
    for kind in range(1, 25):
        chosen = np.array(tid) == kind
        for name, correlation in (("srocc", stats.spearmanr), ("lcc", stats.pearsonr)):
            value = correlation(scores[chosen], np.array(LABELS)[chosen])[0] if chosen.sum() > 1 else float("nan")
            expected[name] += "%6.3f\n" % value  # noqa: UP031
    for name, text in expected.items():
        assert (tmp_path / f"results/tid2013/Rank_each_{name}.txt").read_text() == text
        assert len(text) == 24 * 7
    assert result["preset"]["files"] == ["results/tid2013/Rank_each_srocc.txt", "results/tid2013/Rank_each_lcc.txt"]
    assert set(result["by_type"]) == {"01", "02", "24"}
    status = main(["evaluate", *map(str, options), str(weights)])
    capsys.readouterr()
    text = (tmp_path / "results/tid2013/Rank_all_srocc.txt").read_text()
    assert text == f"{stats.spearmanr(scores, LABELS)[0]:6.3f}\n"


def test_a_preset_refuses_another_head_and_combination(tid, tmp_path, capsys, weights):
    assert main(["evaluate", "--preset", "tid2013", "--ft", "--weights", str(weights)]) == 2
    assert "expected weights whose output layer is fc1, got fc1_m" in capsys.readouterr().err
    assert main(["evaluate", "--preset", "live", "--each", "--weights", str(weights)]) == 2
    assert "upstream has no such evaluation" in capsys.readouterr().err
    assert main(["evaluate", "--preset", "live", "--weights", str(weights)]) == 2
    assert "data/ft_live_test.txt" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_resample_that_no_curve_fits_is_left_out():
    """Six images: some resamples repeat two values or hold points that no logistic curve fits."""
    scores = np.array([22.6, 17.8, 24.6, 20.7, 19.4, 23.8])
    labels = np.arange(20.0, 80.0, 10.0)
    fit = rankiqa.metrics.fit_logistic(scores, labels, 5)
    for seed in range(5):
        bounds = intervals(scores, labels, [""] * 6, Bootstrap(200, seed, 0.95), fit)
        assert np.isfinite([*bounds["srocc"], *bounds["plcc_logistic"]]).all()
