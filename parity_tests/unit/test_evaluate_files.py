"""The files of `rankiqa evaluate`: lists and scores from other sources, and the files that it may write."""

import gzip
import json

import numpy as np
import pytest

from rankiqa.cli import main
from rankiqa.evaluation import against
from rankiqa.evaluation.agreement import Bootstrap
from rankiqa.evaluation.evaluation import Settings, evaluate
from rankiqa.evaluation.scored_images import ScoredImage, read, write


def scored_images(n=12, score=lambda k: np.sin(k) + k / 5, name="p{}.png"):
    """Return n scored images of two types and three references."""
    return [ScoredImage(name.format(k), float(k % 7), f"t{k % 2}", f"r{k % 3}", float(score(k))) for k in range(n)]


@pytest.fixture
def ends(capsys, tmp_path, monkeypatch):
    """ends(*words) -> (0, stdout) of the command, or its status and the last line on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = main(["evaluate", *map(str, words), "--bootstrap", "5"])
        captured = capsys.readouterr()
        assert "internal error" not in captured.err
        return status, captured.out if status == 0 else captured.err.strip().splitlines()[-1]

    return run


def test_a_csv_may_be_a_list(rated_folder, weights, tmp_path, ends):
    """A CSV file with a column `score` holds scores; any other table of two columns is a list, whatever its suffix."""
    lines = [line.split() for line in (rated_folder / "list.txt").read_text().splitlines()[:8]]
    words = ["--weights", weights, "--root", rated_folder, "--crops", 1, "--json"]
    results = []
    for name, header in (("l.csv", "image,mos\n"), ("m.csv", "path,label\n"), ("n.csv", ""), ("l.txt", "")):
        (tmp_path / name).write_text(header + "".join(f"{path},{label}\n" for path, label in lines))
        status, text = ends(name, *words)
        assert status == 0
        results.append({key: value for key, value in json.loads(text).items() if not key.startswith("list")})
    assert results[0] == results[1] == results[2] == results[3] and results[0]["n"] == 8
    write(tmp_path / "scores.csv", scored_images(), {"lower_is_better": None})
    for option in (
        ["--weights", weights],
        ["--types-from", "none"],
        ["--side", "test"],
        ["--root", "x"],
        ["--crops", 3],
    ):
        status, line = ends("scores.csv", *option)
        assert status == 2 and f"expected a list to score with {option[0]}, got scores of an evaluation" in line


def test_measures_that_one_of_two_evaluations_lacks(tmp_path, ends):
    """Scores that differ by rounding only have no LCC, and so no difference of LCCs."""
    first, second = scored_images(), scored_images(score=lambda k: 1e8 + (k % 3) * 2.0**-26)
    for pair in ((first, second), (second, first)):
        comparison = against.compare(*pair, Bootstrap(10))
        assert comparison["lcc"]["difference"] is None and comparison["lcc"]["interval"] is None
        assert comparison["srocc"]["difference"] is not None and len(comparison["srocc"]["interval"]) == 2
    write(tmp_path / "a.csv", first, {"lower_is_better": None})
    write(tmp_path / "b.csv", second, {"lower_is_better": None})
    status, text = ends("a.csv", "--against", "b.csv")
    assert status == 0 and "lcc minus lcc of b.csv: not defined" in text


def test_images_that_are_listed_more_than_once():
    summary = evaluate([*scored_images(), scored_images()[3]], Settings(bootstrap=Bootstrap(0))).summary
    assert summary["n"] == 13 and "listed more than once and counted each time: p3.png" in summary["remarks"]


def change(key, value):
    """Return a function that sets the entry at the path `key` of nested dicts and lists."""

    def apply(content):
        for name in key[:-1]:
            content = content[name]
        content[key[-1]] = value

    return apply


@pytest.mark.parametrize(
    "damage",
    [change(["images", 0, "score"], 10**400), change(["images", 0, "label"], 10**400),
     change(["images", 0, "path"], None),
     change(["images", 0, "type"], [1]), change(["images", 0, "reference"], {}), change(["images", 0, "error"], 5),
     change(["images"], {"a": 1}), change(["summary"], [1]), change(["summary"], "abc"),
     change(["summary", "crops"], [1]), change(["summary", "lower_is_better"], 5),
     change(["summary", "label_lower_is_better"], "x")],
)  # fmt: skip
def test_scores_that_are_not(damage, tmp_path, ends):
    write(tmp_path / "a.json", scored_images(), {"lower_is_better": True})
    assert ends("a.json", "--page", "a.html")[0] == 0 and read("a.json")[0] == scored_images()
    content = json.loads((tmp_path / "a.json").read_text())
    damage(content)
    (tmp_path / "a.json").write_text(json.dumps(content))
    status, line = ends("a.json", "--page", "b.html")
    assert status == 2 and line.startswith("rankiqa: a.json") and not (tmp_path / "b.html").exists()


@pytest.mark.parametrize(
    "lines", [[], 5, {"all": []}, {"all": {"types": 5}}, {"all": {"types": "ab"}}, {"all": {"references": {"a": 1}}}]
)
@pytest.mark.parametrize("path", ["k.txt", 5, None])
def test_summaries_of_lists_that_are_not(lines, path, tmp_path, ends, weights):
    (tmp_path / "k.txt").write_text("a.png 1\nb.png 2\n")
    (tmp_path / "k_lists.json").write_text(
        json.dumps({"files": {"all": {"path": path}}, "lines": lines, "direction": []})
    )
    status, line = ends("k_lists.json", "--weights", weights)
    assert status == 2 and "expected a NAME_lists.json" in line


def test_results_do_not_replace_what_is_read(tmp_path, ends, rated_folder, weights):
    write(tmp_path / "a.csv", scored_images(), {"lower_is_better": None})
    write(tmp_path / "b.csv", scored_images(), {"lower_is_better": None})
    picture = tmp_path / "p.png"
    picture.write_bytes(b"picture")
    before = (tmp_path / "a.csv").read_bytes(), (tmp_path / "b.csv").read_bytes(), weights.read_bytes()
    for words in (["a.csv", "--per-image", "a.csv"], ["a.csv", "--page", "./a.csv"], ["a.csv", "--page", "p.png"],
                  ["a.csv", "--against", "b.csv", "--per-image", "b.csv"], ["a.csv", "--page", "/dev/null"],
                  ["a.csv", "--page", "c.csv", "--per-image", "c.csv"],
                  [rated_folder / "list.txt", "--weights", weights, "--page", weights]):  # fmt: skip
        status, line = ends(*words)
        assert status == 2 and "expected" in line
    assert before == ((tmp_path / "a.csv").read_bytes(), (tmp_path / "b.csv").read_bytes(), weights.read_bytes())
    assert picture.read_bytes() == b"picture" and not (tmp_path / "c.csv").exists()


def test_a_type_called_all(tmp_path, ends):
    """A type named `all` does not replace the row of all images, in the text or on the page."""
    images = [ScoredImage(f"{k}", float(k % 7), "all" if k % 2 else "x", "", float(np.sin(k))) for k in range(12)]
    write(tmp_path / "a.csv", images, {"lower_is_better": None})
    status, text = ends("a.csv", "--page", "a.html")
    assert status == 0 and [line.split()[:2] for line in text.splitlines()[1:4]] == [
        ["all", "12"],
        ["all", "6"],
        ["x", "6"],
    ]
    page = (tmp_path / "a.html").read_text()
    assert page.count("<td>all</td>") == 2 and "None crops" not in page


def test_a_packed_list_is_named(tmp_path, ends):
    (tmp_path / "l.txt").write_bytes(gzip.compress(b"a.png 1\nb.png 2\n"))
    status, line = ends("l.txt")
    assert status == 2 and "got a gzip file" in line
