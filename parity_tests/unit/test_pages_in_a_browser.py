"""Pages that commands write, in headless Chromium: they fetch nothing, raise no error and show their images.

Needs playwright and Debian's chromium (apt-get install chromium).
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_experiments import rows_of

from rankiqa.cli import main
from rankiqa.experiments import ablation, backbones, caffe_comparison, experiment_page, levels, mining
from rankiqa.experiments.budgets import SETTINGS
from rankiqa.experiments.experiment_page import Figure, Page, Table, image_key
from rankiqa.experiments.overlap import OVERLAP_COLUMNS, histogram_rows, overlap_rows

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)")
PHOTOGRAPHS = Path(__file__).parents[1] / "photographs"
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 380, "height": 800}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Return open(path, size) -> page; the test fails on a page's error or request to an address outside the file."""
    problems, contexts = [], []

    def open_page(path, size=WIDE):
        contexts.append(browser.new_context(viewport=size))
        opened_page = contexts[-1].new_page()
        opened_page.on("pageerror", lambda error: problems.append(str(error)))
        opened_page.on("request", lambda request: problems.append(request.url)
                       if not request.url.startswith(("file:", "data:", "blob:")) else None)  # fmt: skip
        opened_page.goto(Path(path).as_uri())
        return opened_page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def hovered(opened_page, figure, mark):
    """Move the pointer to a figure's first mark; return the text that the figure shows."""
    place = opened_page.locator(f"#{figure} {mark}").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    opened_page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    text = opened_page.locator(f"#{figure} .hoverlayer .hovertext").first
    text.wait_for()
    return text.text_content()


def printed_width(opened_page):
    """Return the width of the widest plot in print; check that widths are restored afterwards."""
    widths = "Math.max(...[...document.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect().width))"
    before = opened_page.evaluate(widths)
    opened_page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened_page.emulate_media(media="print")
    printed = opened_page.evaluate(widths)
    opened_page.emulate_media(media="screen")
    opened_page.evaluate("dispatchEvent(new Event('afterprint'))")
    opened_page.wait_for_function(f"{widths} === {before}")
    return printed


def click_a_mark(opened_page, figure):
    """Click the first mark of a figure, wait until the dialog shows its image, and return the dialog's text."""
    mark = opened_page.locator(f"#{figure} .scatterlayer .points path").first
    mark.wait_for()
    assert hovered(opened_page, figure, ".scatterlayer .points path")
    box = mark.bounding_box()
    opened_page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened_page.locator("dialog[open] img").wait_for()
    assert opened_page.evaluate("document.querySelector('dialog[open] img').naturalWidth") > 50
    return opened_page.locator("dialog[open] p").inner_text()


def fits(opened_page):
    """Tell whether the page is at most as wide as the window."""
    return opened_page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def made_up_page(folder):
    """Write a page with figures of `levels` and `mining` from made-up numbers."""
    random, photographs = np.random.RandomState(0), sorted(PHOTOGRAPHS.glob("*.jpg"))[:4]
    rows = [
        {"path": str(path), "photograph": path.stem, "type": "GB", "level": level, "score": level + random.rand()}
        for level in range(6) for path in photographs
    ]  # fmt: skip
    figures: list[Figure] = [levels._figure("GB", rows, histogram_rows(rows)), mining._papers()]
    verdicts = [
        experiment_page.Verdict(True, "it is so.", "a.csv"),
        experiment_page.Verdict(False, "it is not so.", "b.csv"),
    ]
    experiment_page.write(folder, Page(
        "A page", ["What was done."], verdicts, figures,
        [Table("Overlap.", "overlap.csv", OVERLAP_COLUMNS, overlap_rows(rows))],
        {image_key(row): (row["path"], row["photograph"]) for row in rows},
    ))  # fmt: skip
    return folder / experiment_page.PAGE


def test_pages_of_experiments(opened, tmp_path):
    path = made_up_page(tmp_path)
    for size in (WIDE, NARROW):
        shown = opened(path, size)
        assert click_a_mark(shown, "levels_GB") in {photograph.stem for photograph in PHOTOGRAPHS.glob("*.jpg")}
        shown.locator("dialog[open] button").click()
        assert shown.locator("#mining_paper .scatterlayer .trace").count() == 3
        assert fits(shown)
    assert shown.locator("p.missing").inner_text() == "Not confirmed by this run: it is not so. b.csv"
    assert printed_width(shown) == 340
    shown.emulate_media(media="print")
    assert not shown.locator("p.screen").is_visible() and shown.locator("#levels_GB svg").first.is_visible()


def test_experiments_and_their_index(opened, levels_folder, tmp_path):
    """The index leads to a page of an experiment; a mark of each figure shows its value and its image."""
    out = tmp_path / "levels"
    shutil.copytree(levels_folder / "levels", out, ignore=shutil.ignore_patterns("ranked"))
    paths = [row["path"] for row in rows_of(out / "scores.csv")]
    assert len({Path(path).stem for path in paths}) == 1
    assert main(["experiment", "index", "--out", str(tmp_path)]) == 0
    shown = opened(tmp_path / "index.html", NARROW)
    assert fits(shown)
    shown.locator("h2 a").click()
    for kind in ("JPEG", "GN", "GB", "JP2K"):
        assert f"{Path(paths[0]).stem}, {kind} level 0: " in click_a_mark(shown, f"levels_{kind}")
        shown.locator("dialog[open] button").click()
    assert shown.locator("p.shown, p.missing").count() == 4 and fits(shown)


def test_figures_of_the_other_experiments(opened, tmp_path):
    """With made-up numbers: curves of `mining` show the worst image, other figures show their values."""
    path = sorted(PHOTOGRAPHS.glob("*.jpg"))[0]
    curve = [{"iteration": k, "loss": 3.5 - k, "worst": path.stem} for k in range(3)]
    chosen = mining.methods(SETTINGS["small"].rank_preset(iterations=2), 2)
    varied = [
        {"varied": "levels", "value": n, "paper_lcc": 0.7}
        | {"srocc": 0.5, "srocc_low": 0.25, "srocc_high": 0.75, "lcc": 0.5, "lcc_low": None, "lcc_high": None}
        for n in ("2", "3")
    ]  # fmt: skip
    bars = [
        {
            "network": "shallow",
            "training": training,
            "srocc_mean": 0.5,
            "srocc_std": 0.1,
            "paper_vgg16_tid2013_srocc": 0.6,
        }
        for training in (backbones.FT, backbones.RANK, backbones.BOTH)
    ]
    scored = [
        {"path": str(path), "type": "GB", "level": k, "photograph": "p", "caffe": k, "port": k + 0.5} for k in (1, 2)
    ]
    figures = [
        mining._figure(chosen, {method.name: curve for method in chosen}, "iteration", "iterations"),
        ablation._figure(varied, "levels", 0), backbones._figure(bars), caffe_comparison._points(scored),
    ]  # fmt: skip
    experiment_page.write(
        tmp_path,
        Page("A page", [], [], figures, [], {key: (str(path), key) for key in (path.stem, f"caffe GB {path}")}),
    )
    shown = opened(tmp_path / experiment_page.PAGE)
    assert click_a_mark(shown, "mining_iteration") == path.stem
    shown.locator("dialog[open] button").click()
    assert click_a_mark(shown, "caffe_scores") == f"caffe GB {path}"
    shown.locator("dialog[open] button").click()
    assert "p, GB level 1Caffe 1.000, port 1.500" in hovered(shown, "caffe_scores", ".points path")
    assert "0.5" in hovered(shown, "ablation_0", ".points path")
    assert "shallow, fine-tuning onlySROCC 0.500" in hovered(shown, "backbones", ".barlayer .point path")


def test_pages_of_score_and_evaluate(opened, tmp_path, weights, rated_folder):
    line = ["evaluate", rated_folder / "list.txt", "--root", rated_folder, "--weights", weights, "--crops", 1]
    assert main([*map(str, line), "--page", str(tmp_path / "e.html"), "--bootstrap", "0"]) == 0
    shown = opened(tmp_path / "e.html")
    assert "opinion" in click_a_mark(shown, "all")
    shown.locator("dialog[open] button").click()
    assert printed_width(shown) == 690
    assert fits(opened(tmp_path / "e.html", NARROW))
    line = ["score", rated_folder / "GB" / "GB1", "--weights", weights, "--crops", 1, "--page", tmp_path / "s.html"]
    assert main([*map(str, line), "--out", str(tmp_path / "s.csv")]) == 0
    shown = opened(tmp_path / "s.html", NARROW)
    assert fits(shown)
    shown.locator("figure button").first.click()
    shown.locator("dialog[open] img").wait_for()
    assert shown.evaluate("document.querySelector('dialog[open] img').naturalWidth") > 50


def test_report_of_reproduce(opened):
    """Check the report of the last scripts/reproduce, if there is one."""
    reports = sorted((PHOTOGRAPHS.parents[1] / "results" / "reproduce").glob("report.html"))
    if not reports:
        pytest.skip("no results/reproduce/report.html: scripts/reproduce writes it")
    shown = opened(reports[0])
    verdict = json.loads(reports[0].with_name("report.json").read_text())["verdict"]
    assert verdict in shown.locator("body").inner_text() and shown.locator(".plotly svg").count() > 0
