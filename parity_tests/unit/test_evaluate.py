"""`rankiqa evaluate`: its measures against scipy on `rankiqa.score`, splits, files, the page, and what it refuses."""

import csv
import html
import json
import re
from pathlib import Path

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
    """[rankiqa.score of each image, one by one, 3 crops]."""
    model = rankiqa.load(weights)
    paths = [line.split()[0] for line in (rated_folder / "list.txt").read_text().splitlines()]
    return [rankiqa.score(model, rankiqa.read_image(rated_folder / path), crops=3) for path in paths]


@pytest.fixture
def run(capsys, rated_folder, weights):
    """run(*options) -> (status, stdout, stderr) of `rankiqa evaluate LIST --weights W --root R --crops 3 ..`."""

    def start(*options, of=None, bare=False):
        words = [of or rated_folder / "list.txt", *options]
        if not bare:
            words += ["--weights", weights, "--root", rated_folder, "--crops", 3]
        status = main(["evaluate", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return start


@pytest.fixture
def found(run):
    """found(*options) -> the JSON."""

    def start(*options, **keywords):
        status, out, _ = run("--json", *options, **keywords)
        assert status == 0
        return json.loads(out)

    return start


def test_the_measures_are_those_of_single_scores(found, scores, tmp_path):
    result = found("--bootstrap", 50, "--per-image", tmp_path / "a.json")
    values = [score.score for score in scores]
    rows = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [row["score"] for row in rows] == values  # bit for bit
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
    """30 crops, threads that read, and neighbours of another size."""
    model = rankiqa.load(weights)
    images = [RatedImage(str(path), 0.0) for path in sorted(rated_folder.glob("*/*/*.jpg"))[:3]]
    alone = [rankiqa.score(model, rankiqa.read_image(image.path)) for image in images]
    for workers, order in ((1, [0, 1, 2]), (3, [2, 0, 1, 2])):
        many = list(scored_images.score_images(model, [images[i] for i in order], workers=workers))
        assert [(row.score, row.median) for row in many] == [(alone[i].score, alone[i].median) for i in order]


def test_text_and_five_parameters(run, found):
    status, out, _ = run("--bootstrap", 20, "--logistic", 5, "--splits", 3)
    assert status == 0
    assert out.splitlines()[0].split() == ["n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse"]
    assert "Sheikh" in out and "splits by image" in out and "95% interval" in out
    assert len(found("--bootstrap", 0, "--logistic", 5)["logistic"]["values"]) == 5


def test_a_network_that_runs_against_the_opinions_is_told_apart(run, rated_folder, tmp_path, write, weights):
    values = {"arch": "shallow"}
    path = write(tmp_path / "w.safetensors", **values, **MEANINGS["live-ft"].metadata())
    result = json.loads(
        run("--json", "--weights", path, "--root", rated_folder, "--crops", 3, "--bootstrap", 0, bare=True)[1]
    )
    assert result["lower_is_better"] is True and result["remarks"] == []
    side = {"path": str(rated_folder / "list.txt"), "lines": 8, "sha256": ""}
    text = json.dumps({"files": {"test": side}, "direction": "higher is better"})
    lists = tmp_path / "x_lists.json"
    lists.write_text(text)
    both = [
        json.loads(
            run("--json", "--weights", w, "--root", rated_folder, "--crops", 3, "--bootstrap", 0, of=lists, bare=True)[
                1
            ]
        )
        for w in (path, write(tmp_path / "v.safetensors", **values, **MEANINGS["tid2013-ft"].metadata()))
    ]
    assert [row["label_lower_is_better"] for row in both] == [False, False]
    against = [any("have an unexpected sign against" in remark for remark in row["remarks"]) for row in both]
    assert sorted(against) == [False, True]  # the same scores, one file says the other direction
    assert against[0] == (both[0]["srocc"] > 0)


def test_an_image_that_cannot_be_scored(run, rated_folder, tmp_path):
    text = (rated_folder / "list.txt").read_text() + "GB/GB1/none.jpg 3\n"
    (tmp_path / "l.txt").write_text(text)
    status, out, _ = run("--json", "--bootstrap", 0, of=tmp_path / "l.txt")
    result = json.loads(out)
    assert (status, result["n"]) == (1, 8)
    assert result["errors"] == [
        {"path": str(rated_folder / "GB/GB1/none.jpg"), "error": "expected an image, got no such file"}
    ]
    assert any("1 of 9 images" in remark for remark in result["remarks"])


# Intervals and splits


def test_splits_by_reference(found, rated_folder, tmp_path, scores):
    references = "aabbccde"
    names = [line.split()[0] for line in (rated_folder / "list.txt").read_text().splitlines()]
    (tmp_path / "t.csv").write_text(
        "path,type,reference\n" + "".join(f"{n},x,{r}\n" for n, r in zip(names, references, strict=True))
    )
    result = found("--types-from", tmp_path / "t.csv", "--splits", 10, "--seed", 7, "--bootstrap", 20)["splits"]
    model_scores = found("--bootstrap", 0, "--seed", 7, "--per-image", tmp_path / "s.csv") and None
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    values = np.array([float(row["score"]) for row in rows])
    assert model_scores is None
    expected = []
    for k in range(10):
        test = {sorted(set(references))[i] for i in np.random.RandomState(7 + k).permutation(5)[4:]}
        side = np.array([r in test for r in references])
        expected.append(measure(values[side], np.array(LABELS)[side]).values["srocc"])
    assert result["srocc"]["values"] == expected
    known = [value for value in expected if value is not None]
    assert 0 < len(known) < 10  # a test side of one image has no correlation
    assert result["srocc"]["mean"] == pytest.approx(np.mean(known))
    assert result["srocc"]["std"] == pytest.approx(np.std(known))
    assert result["srocc"]["median"] == pytest.approx(np.median(known))
    assert (result["by"], result["count"]) == ("reference", 10)


# Files


def test_per_image_files_go_in_again(found, run, tmp_path):
    first = found("--bootstrap", 30, "--per-image", tmp_path / "a.csv")
    second = found("--bootstrap", 30, "--per-image", tmp_path / "a.json")
    for name in ("a.csv", "a.json"):
        again = found("--bootstrap", 30, of=tmp_path / name, bare=True)
        for key in ("n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse", "intervals", "by_type", "crops", "seed"):
            assert again[key] == first[key] == second[key], key
    status, _, err = run(of=tmp_path / "a.csv")
    assert status == 2 and "scores of an evaluation" in err


def test_against_itself_and_another(found, run, tmp_path, rated_folder):
    found("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    found("--bootstrap", 0, "--seed", 5, "--per-image", tmp_path / "b.csv")
    same = found("--bootstrap", 40, "--against", tmp_path / "a.csv")["against"]
    for name in ("srocc", "lcc", "krocc", "plcc_logistic", "rmse"):
        assert same[name]["difference"] == 0
        assert same[name]["interval"] == [0, 0] and not same[name]["interval_excludes_0"]
    one, other = (found("--bootstrap", 0, of=tmp_path / f"{n}.csv", bare=True) for n in "ab")
    result = found("--bootstrap", 40, "--against", tmp_path / "b.csv")["against"]
    assert result["n"] == 8
    difference = abs(one["srocc"]) - abs(other["srocc"])
    assert result["srocc"]["difference"] == pytest.approx(difference, abs=1e-12)
    # A better evaluation: the opinions themselves, as scores that run the other way
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    for row in rows:
        row["score"] = -float(row["label"])
    write_rows(tmp_path / "c.csv", rows)
    better = found("--bootstrap", 200, "--against", tmp_path / "c.csv")["against"]["srocc"]
    assert better["second"] == pytest.approx(1) and better["difference"] < 0
    assert better["interval"][1] <= 0


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def test_against_other_images(found, run, tmp_path):
    found("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    write_rows(tmp_path / "b.csv", [*rows[:6], {**rows[6], "path": "other.jpg"}])
    status, _, err = run("--against", tmp_path / "b.csv", "--bootstrap", 0)
    assert status == 2 and err.splitlines()[-1].startswith("rankiqa: expected the same images")
    assert "other.jpg" in err and "moose.jpg" in err and "hens.jpg" in err and "cat.jpg" not in err
    write_rows(tmp_path / "b.csv", [{**row, "label": float(row["label"]) + (i == 2)} for i, row in enumerate(rows)])
    _, _, err = run("--against", tmp_path / "b.csv", "--bootstrap", 0)
    assert "same opinions" in err and "castle.jpg" in err and "bison" not in err


def test_the_page_is_whole(found, tmp_path, rated_folder):
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    found("--bootstrap", 20, "--page", tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    figures = json.loads(re.search(r"for \(const figure of (.*)\) \{\n", text).group(1))
    images = json.loads(re.search(r"const images = (.*);\n", text).group(1))
    assert [figure["id"] for figure in figures] == ["all", "type0", "type1"]
    assert len(images) == 8 and all(image["thumbnail"].startswith("data:image/jpeg;base64,") for image in images)
    assert sorted(i for trace in figures[0]["data"] for i in trace.get("customdata", [])) == list(range(8))
    curve = figures[0]["data"][-1]
    assert curve["mode"] == "lines" and len(curve["x"]) == len(curve["y"])
    body = text.replace(re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1), "")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", body)


def test_names_cannot_break_the_page(found, tmp_path, rated_folder, run):
    pytest.importorskip("plotly")
    odd = "</script><b>x&.jpg"
    folder = tmp_path / "t"
    (folder / Path(odd).parent).mkdir(parents=True)
    found("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    rows[0]["path"], rows[0]["type"] = odd, "<i>type"
    write_rows(tmp_path / "a.csv", rows)
    found("--bootstrap", 0, "--page", tmp_path / "p.html", of=tmp_path / "a.csv", bare=True)
    text = (tmp_path / "p.html").read_text()
    assert odd not in text and "<i>type" not in text
    assert html.escape("<i>type") in text
    assert json.loads(re.search(r"const images = (.*);\n", text).group(1))[0]["text"].startswith(odd)


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


OTHER_FILES = [
    "",
    "{}",
    "[1]",
    '{"images": 3}',
    '{"format": "rankiqa evaluation"}',
    '{"format": "rankiqa evaluation", "summary": {}, "images": [{"path": 1}]}',
    "path,label\na,x\n",
    "path,label,score\na,x,1\n",
    "path,label,score\na,1,nan\n",
    "path,label,score\na,1,\n",
]


@pytest.mark.parametrize("text", OTHER_FILES)
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_other_files_as_scores(text, suffix, tmp_path, capsys):
    (tmp_path / f"a{suffix}").write_text(text)
    assert main(["evaluate", str(tmp_path / f"a{suffix}")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1


@pytest.mark.real
def test_real_images_of_live(tmp_path, capsys, real, weights):
    """50 images of LIVE: a random network's measures are computed, finite, and those of single scores."""
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
