"""`rankiqa evaluate`: files of scores, which it also reads, comparisons of two evaluations, and the page."""

import csv
import html
import json
import re
from pathlib import Path

import pytest

from rankiqa.cli import main


def test_per_image_files_go_in_again(evaluate_json, evaluate, tmp_path):
    first = evaluate_json("--bootstrap", 30, "--per-image", tmp_path / "a.csv")
    second = evaluate_json("--bootstrap", 30, "--per-image", tmp_path / "a.json")
    for name in ("a.csv", "a.json"):
        again = evaluate_json("--bootstrap", 30, source=tmp_path / name, bare=True)
        for key in ("n", "srocc", "lcc", "krocc", "plcc_logistic", "rmse", "intervals", "by_type", "crops", "seed"):
            assert again[key] == first[key] == second[key], key
    status, _, err = evaluate(source=tmp_path / "a.csv")
    assert status == 2 and "scores of an evaluation" in err


def test_against_itself_and_another(evaluate_json, evaluate, tmp_path, rated_folder):
    evaluate_json("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    evaluate_json("--bootstrap", 0, "--seed", 5, "--per-image", tmp_path / "b.csv")
    same = evaluate_json("--bootstrap", 40, "--against", tmp_path / "a.csv")["against"]
    for name in ("srocc", "lcc", "krocc", "plcc_logistic", "rmse"):
        assert same[name]["difference"] == 0
        assert same[name]["interval"] == [0, 0] and not same[name]["interval_excludes_0"]
    first, second = (evaluate_json("--bootstrap", 0, source=tmp_path / f"{n}.csv", bare=True) for n in "ab")
    result = evaluate_json("--bootstrap", 40, "--against", tmp_path / "b.csv")["against"]
    assert result["n"] == 8
    difference = abs(first["srocc"]) - abs(second["srocc"])
    assert result["srocc"]["difference"] == pytest.approx(difference, abs=1e-12)
    # The second evaluation has the negated opinions as its scores, so it is perfect
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    for row in rows:
        row["score"] = -float(row["label"])
    write_rows(tmp_path / "c.csv", rows)
    better = evaluate_json("--bootstrap", 200, "--against", tmp_path / "c.csv")["against"]["srocc"]
    assert better["second"] == pytest.approx(1) and better["difference"] < 0
    assert better["interval"][1] <= 0


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def test_against_other_images(evaluate_json, evaluate, tmp_path):
    evaluate_json("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    write_rows(tmp_path / "b.csv", [*rows[:6], {**rows[6], "path": "other.jpg"}])
    status, _, err = evaluate("--against", tmp_path / "b.csv", "--bootstrap", 0)
    assert status == 2 and err.splitlines()[-1].startswith("rankiqa: expected the same images")
    assert "other.jpg" in err and "moose.jpg" in err and "hens.jpg" in err and "cat.jpg" not in err
    write_rows(tmp_path / "b.csv", [{**row, "label": float(row["label"]) + (i == 2)} for i, row in enumerate(rows)])
    _, _, err = evaluate("--against", tmp_path / "b.csv", "--bootstrap", 0)
    assert "same opinions" in err and "castle.jpg" in err and "bison" not in err


def test_the_page_is_whole(evaluate_json, tmp_path, rated_folder):
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    evaluate_json("--bootstrap", 20, "--page", tmp_path / "p.html")
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


def test_names_cannot_break_the_page(evaluate_json, tmp_path, rated_folder, evaluate):
    pytest.importorskip("plotly")
    odd_name = "</script><b>x&.jpg"
    folder = tmp_path / "t"
    (folder / Path(odd_name).parent).mkdir(parents=True)
    evaluate_json("--bootstrap", 0, "--per-image", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    rows[0]["path"], rows[0]["type"] = odd_name, "<i>type"
    write_rows(tmp_path / "a.csv", rows)
    evaluate_json("--bootstrap", 0, "--page", tmp_path / "p.html", source=tmp_path / "a.csv", bare=True)
    text = (tmp_path / "p.html").read_text()
    assert odd_name not in text and "<i>type" not in text
    assert html.escape("<i>type") in text
    assert json.loads(re.search(r"const images = (.*);\n", text).group(1))[0]["text"].startswith(odd_name)


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
