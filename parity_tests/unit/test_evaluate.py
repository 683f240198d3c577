"""`rankiqa evaluate`: its measures against scipy on `rankiqa.score`, splits, text, and what it refuses."""

import csv
import json

import numpy as np
import pytest
from rated_photographs import LABELS, TYPES
from scipy import stats

import rankiqa
from rankiqa.cli import main
from rankiqa.evaluation import scored_images
from rankiqa.evaluation.agreement import measure
from rankiqa.evaluation.rated_images import RatedImage
from rankiqa.models.score_meaning import MEANINGS


@pytest.fixture(scope="module")
def scores(rated_folder, weights):
    """The result of rankiqa.score with 3 crops for each image of the rated photographs, in the order of the list."""
    model = rankiqa.load(weights)
    paths = [line.split()[0] for line in (rated_folder / "list.txt").read_text().splitlines()]
    return [rankiqa.score(model, rankiqa.read_image(rated_folder / path), crops=3) for path in paths]


def test_the_measures_are_those_of_single_scores(evaluate_json, scores, tmp_path):
    result = evaluate_json("--bootstrap", 50, "--per-image", tmp_path / "a.json")
    values = [score.score for score in scores]
    rows = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [row["score"] for row in rows] == values
    assert [row["median"] for row in rows] == [score.median for score in scores]
    assert (result["n"], result["crops"], result["seed"]) == (8, 3, 0)
    assert result["srocc"] == stats.spearmanr(values, LABELS)[0]
    assert result["lcc"] == stats.pearsonr(values, LABELS)[0]
    assert result["krocc"] == stats.kendalltau(values, LABELS)[0]
    fit = rankiqa.fit_logistic(values, LABELS)
    assert (result["plcc_logistic"], result["rmse"]) == (fit.plcc, fit.rmse)
    assert result["logistic"] == {"parameters": 4, "function": fit.name, "values": list(fit.parameters)}
    assert set(result["by_type"]) == {"GB", "GN"}
    for i, kind in enumerate(TYPES):
        row = result["by_type"][kind]
        assert row["n"] == 4 and row["srocc"] == stats.spearmanr(values[i::2], LABELS[i::2])[0]
        assert row["plcc_logistic"] is None and "more than 4 values" in row["remarks"][0]
    medians = [score.median for score in scores]
    assert result["of_medians"] == {
        "srocc": stats.spearmanr(medians, LABELS)[0],
        "lcc": stats.pearsonr(medians, LABELS)[0],
    }
    assert result["lower_is_better"] is None and "direction" in result["remarks"][-1]
    for name in ("srocc", "lcc", "krocc", "plcc_logistic", "rmse"):
        low, high = result["intervals"][name]
        assert low <= high
    assert result["bootstrap"] == {"resamples": 50, "by": "image", "confidence": 0.95, "seed": 0}


def test_many_images_score_bit_for_bit_as_one(rated_folder, weights):
    """Reading threads and neighbours of other sizes change no score; 30 crops each."""
    model = rankiqa.load(weights)
    images = [RatedImage(str(path), 0.0) for path in sorted(rated_folder.glob("*/*/*.jpg"))[:3]]
    alone = [rankiqa.score(model, rankiqa.read_image(image.path)) for image in images]
    for workers, order in ((1, [0, 1, 2]), (3, [2, 0, 1, 2])):
        rows = list(scored_images.score_images(model, [images[i] for i in order], workers=workers))
        assert [(row.score, row.median) for row in rows] == [(alone[i].score, alone[i].median) for i in order]


def test_text_and_five_parameters(evaluate, evaluate_json):
    status, out, _ = evaluate("--bootstrap", 20, "--logistic", 5, "--splits", 3)
    assert status == 0
    assert out.splitlines()[0].split() == ["n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse"]
    assert "Sheikh" in out and "splits by image" in out and "95% interval" in out
    assert len(evaluate_json("--bootstrap", 0, "--logistic", 5)["logistic"]["values"]) == 5


def test_a_network_that_runs_against_the_opinions_is_told_apart(evaluate, rated_folder, tmp_path, write):
    def result_of(weights, **keywords):
        options = ["--json", "--weights", weights, "--root", rated_folder, "--crops", 3, "--bootstrap", 0]
        return json.loads(evaluate(*options, bare=True, **keywords)[1])

    live = write(tmp_path / "w.safetensors", arch="shallow", **MEANINGS["live-ft"].metadata())
    tid2013 = write(tmp_path / "v.safetensors", arch="shallow", **MEANINGS["tid2013-ft"].metadata())
    result = result_of(live)
    assert result["lower_is_better"] is True and result["remarks"] == []
    side = {"path": str(rated_folder / "list.txt"), "lines": 8, "sha256": ""}
    text = json.dumps({"files": {"test": side}, "direction": "higher is better"})
    lists = tmp_path / "x_lists.json"
    lists.write_text(text)
    both = [result_of(weights, source=lists) for weights in (live, tid2013)]
    assert [row["label_lower_is_better"] for row in both] == [False, False]
    against = [any("have an unexpected sign against" in remark for remark in row["remarks"]) for row in both]
    assert sorted(against) == [False, True]  # equal scores, but the files state opposite directions
    assert against[0] == (both[0]["srocc"] > 0)


def test_an_image_that_cannot_be_scored(evaluate, rated_folder, tmp_path):
    text = (rated_folder / "list.txt").read_text() + "GB/GB1/none.jpg 3\n"
    (tmp_path / "l.txt").write_text(text)
    status, out, _ = evaluate("--json", "--bootstrap", 0, source=tmp_path / "l.txt")
    result = json.loads(out)
    assert (status, result["n"]) == (1, 8)
    assert result["errors"] == [
        {"path": str(rated_folder / "GB/GB1/none.jpg"), "error": "expected an image, got no such file"}
    ]
    assert any("1 of 9 images" in remark for remark in result["remarks"])


def test_splits_by_reference(evaluate_json, rated_folder, tmp_path, scores):
    references = "aabbccde"
    names = [line.split()[0] for line in (rated_folder / "list.txt").read_text().splitlines()]
    (tmp_path / "t.csv").write_text(
        "path,type,reference\n" + "".join(f"{n},x,{r}\n" for n, r in zip(names, references, strict=True))
    )
    result = evaluate_json("--types-from", tmp_path / "t.csv", "--splits", 10, "--seed", 7, "--bootstrap", 20)["splits"]
    evaluate_json("--bootstrap", 0, "--seed", 7, "--per-image", tmp_path / "s.csv")
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    values = np.array([float(row["score"]) for row in rows])
    expected = []
    for k in range(10):
        test = {sorted(set(references))[i] for i in np.random.RandomState(7 + k).permutation(5)[4:]}
        chosen = np.array([r in test for r in references])
        expected.append(measure(values[chosen], np.array(LABELS)[chosen]).values["srocc"])
    assert result["srocc"]["values"] == expected
    defined = [value for value in expected if value is not None]
    assert 0 < len(defined) < 10  # a test side of one image has no correlation
    assert result["srocc"]["mean"] == pytest.approx(np.mean(defined))
    assert result["srocc"]["std"] == pytest.approx(np.std(defined))
    assert result["srocc"]["median"] == pytest.approx(np.median(defined))
    assert (result["by"], result["count"]) == ("reference", 10)


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "expected a LIST"),
        (["LIST", "--weights", "W", "--each"], "expected --preset"),
        (["LIST", "--weights", "none.safetensors"], "no such file"),
        (["none.txt", "--weights", "W"], "expected a list"),
        (["none.json", "--weights", "W"], "expected a NAME_lists.json"),
        (["none.csv"], "none.csv"),
        (["LIST", "--weights", "W", "--per-image", "x.txt"], "ends in .csv or .json"),
        (["LIST", "--weights", "W", "--page", "no/folder/x.html"], "no such folder"),
        (["LIST", "--weights", "W", "--against", "none.csv"], "none.csv"),
        (["LIST", "--weights", "W", "--confidence", "1.5"], "confidence: expected"),
        (["LIST", "--weights", "W", "--types-from", "("], "regular expression"),
        (["LIST", "--weights", "W", "--side", "test"], "NAME_lists.json"),
        (["LIST", "--weights", "W", "--device", "nowhere"], "nowhere"),
    ],
)
def test_refuses(options, message, rated_folder, weights, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = {"LIST": str(rated_folder / "list.txt"), "W": str(weights)}
    assert main(["evaluate", *(words.get(word, word) for word in options)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_real_images_of_live(tmp_path, capsys, real, weights):
    """50 images of LIVE: a random network's measures are finite and equal those of single scores."""
    rows = list(csv.DictReader((real / "live" / "scores.csv").open()))
    (tmp_path / "l.txt").write_text("".join(f"{row['image']} {row['dmos_realigned']}\n" for row in rows))
    words = [tmp_path / "l.txt", "--root", real / "live", "--weights", weights, "--json", "--crops", 5, "--splits", 10]
    words += ["--types-from", real / "live" / "scores.csv", "--bootstrap", 100, "--per-image", tmp_path / "a.csv"]
    assert main(["evaluate", *map(str, words)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == len(rows) == 50
    assert {kind: row["n"] for kind, row in result["by_type"].items()} == {
        "gblur": 17,
        "jpeg": 14,
        "pristine": 4,
        "wn": 15,
    }
    assert result["splits"]["by"] == result["bootstrap"]["by"] == "reference"
    model = rankiqa.load(weights)
    scores = [rankiqa.score(model, rankiqa.read_image(real / "live" / row["image"]), crops=5).score for row in rows]
    assert [row.score for row in scored_images.read(tmp_path / "a.csv")[0]] == scores
    assert result["srocc"] == stats.spearmanr(scores, [float(row["dmos_realigned"]) for row in rows])[0]
    low, high = result["intervals"]["srocc"]
    assert low < result["srocc"] < high
