"""The pages that commands write, opened and clicked in headless Chromium: nothing fetched, no error, images shown.

Needs playwright and Debian's chromium (apt-get install chromium).
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rankiqa.cli import main
from rankiqa.experiments import levels, mining, page
from rankiqa.experiments.page import Figure, Page, Table

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
    """open(path, size): the page, which fails the test for an error or an address outside of the file."""
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


def click_a_mark(opened_page, figure):
    """Click the first mark of a figure, and wait until the dialog shows its image."""
    mark = opened_page.locator(f"#{figure} .scatterlayer .points path").first
    mark.wait_for()
    box = mark.bounding_box()
    opened_page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened_page.locator(f"#{figure} .hoverlayer .hovertext").first.wait_for()
    opened_page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened_page.locator("dialog[open] img").wait_for()
    assert opened_page.evaluate("document.querySelector('dialog[open] img').naturalWidth") > 50
    return opened_page.locator("dialog[open] p").inner_text()


def fits(opened_page):
    """Whether the page is no wider than the window."""
    return opened_page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def made_up_page(folder):
    """The figures of levels and mining drawn of made-up numbers."""
    random, photographs = np.random.RandomState(0), sorted(PHOTOGRAPHS.glob("*.jpg"))[:4]
    rows = [
        {"path": str(path), "photograph": path.stem, "type": "GB", "level": level, "score": level + random.rand()}
        for level in range(6) for path in photographs
    ]  # fmt: skip
    figures: list[Figure] = [levels._figure("GB", rows), mining._papers()]
    verdicts = [page.Verdict(True, "it is so.", "a.csv"), page.Verdict(False, "it is not so.", "b.csv")]
    page.write(folder, Page(
        "A page", ["What was done."], verdicts, figures,
        [Table("Overlap.", "overlap.csv", levels.OVERLAP_COLUMNS, levels.overlap_rows(rows))],
        {str(path): (str(path), path.stem) for path in photographs},
    ))  # fmt: skip
    return folder / page.PAGE


def test_pages_of_experiments(opened, tmp_path):
    path = made_up_page(tmp_path)
    for size in (WIDE, NARROW):
        shown = opened(path, size)
        assert click_a_mark(shown, "levels_GB") in {photograph.stem for photograph in PHOTOGRAPHS.glob("*.jpg")}
        shown.locator("dialog[open] button").click()
        assert shown.locator("#mining_paper .scatterlayer .trace").count() == 3
        assert fits(shown)
    assert shown.locator("p.missing").inner_text() == "Not shown by this run: it is not so. b.csv"
    shown.emulate_media(media="print")
    assert not shown.locator("p.screen").is_visible() and shown.locator("#levels_GB svg").first.is_visible()


def test_pages_of_score_and_evaluate(opened, tmp_path, weights, rated_folder):
    line = ["evaluate", rated_folder / "list.txt", "--root", rated_folder, "--weights", weights, "--crops", 1]
    assert main([*map(str, line), "--page", str(tmp_path / "e.html"), "--bootstrap", "0"]) == 0
    assert "opinion" in click_a_mark(opened(tmp_path / "e.html"), "all")
    line = ["score", rated_folder / "GB" / "GB1", "--weights", weights, "--crops", 1, "--page", tmp_path / "s.html"]
    assert main([*map(str, line), "--out", str(tmp_path / "s.csv")]) == 0
    shown = opened(tmp_path / "s.html", NARROW)
    assert fits(shown)
    shown.locator("figure button").first.click()
    shown.locator("dialog[open] img").wait_for()
    assert shown.evaluate("document.querySelector('dialog[open] img').naturalWidth") > 50


def test_report_of_reproduce(opened):
    """The report of the last scripts/reproduce, where there is one."""
    reports = sorted((PHOTOGRAPHS.parents[1] / "results" / "reproduce").glob("report.html"))
    if not reports:
        pytest.skip("no results/reproduce/report.html: scripts/reproduce writes it")
    shown = opened(reports[0])
    verdict = json.loads(reports[0].with_name("report.json").read_text())["verdict"]
    assert verdict in shown.locator("body").inner_text() and shown.locator(".plotly svg").count() > 0
