"""`rankiqa score --page` and `--map`: the page of pictures and the score maps."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.data.image_sources import ImageSource
from rankiqa.data.thumbnails import data_uri
from rankiqa.scoring import score_page
from rankiqa.scoring.dense import DenseScore, score_dense
from rankiqa.scoring.score_map import BAR, MARGIN, draw, map_name

NAMES = ("cat", "bison", "brook", "castle", "coffee")


class _Figures(HTMLParser):
    """Parse a page: scores, names and pictures in the page's order, and every address."""

    def __init__(self, text):
        super().__init__()
        self.scores, self.names, self.pictures, self.addresses = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[name] for name in ("src", "href", "action", "data") if name in attributes]
        if tag == "figure":
            self.scores.append(float(attributes["data-score"]))
        if tag == "button" and "title" in attributes:
            self.names.append(Path(attributes["title"]).name)
        if tag == "img" and attributes.get("src", "").startswith("data:"):
            self.pictures.append(attributes["src"])


@pytest.fixture(scope="module")
def page(tmp_path_factory, weights):
    """Return (path, folder) of a page of five photographs and a bad file whose name is HTML."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "images").mkdir()
    for name in NAMES:
        shutil.copy(Path(__file__).parents[1] / "photographs" / f"{name}.jpg", folder / "images")
    (folder / "images" / "<b>.png").write_bytes(b"")
    path = folder / "page.html"
    line = ["score", str(folder / "images"), "--weights", str(weights), "--crops", "2", "--page", str(path)]
    assert main([*line, "--out", str(folder / "o.csv")]) == 1
    return path, folder


def test_page(page):
    """Without a stated direction the highest score comes first; each has its picture; no address is external."""
    text = page[0].read_text()
    figures = _Figures(text)
    assert figures.scores == sorted(figures.scores, reverse=True) and len(figures.scores) == 5
    assert sorted(figures.names) == [f"{name}.jpg" for name in sorted(NAMES)]
    assert len(figures.pictures) == 5
    assert {address[:10] for address in figures.addresses} == {"data:image", "#errors"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r'"data:[^"]*"', "", text))
    assert "&lt;b&gt;.png: expected an image, got an empty file" in text and "<b>.png" not in text


def test_direction_and_size(page, tmp_path, monkeypatch):
    rows = [{"path": f"{k}.png", "score": float(k)} for k in range(30)]
    for lower_is_better, worst in [(True, 29), (None, 29), (False, 0)]:
        score_page.write(tmp_path / "p.html", rows, [], title="t", lower_is_better=lower_is_better)
        figures = _Figures((tmp_path / "p.html").read_text())
        assert figures.scores[0] == worst and len(figures.scores) == 30
    monkeypatch.setattr(score_page, "MOST", 10)
    score_page.write(tmp_path / "p.html", rows, [], title="t", lower_is_better=True)
    assert _Figures((tmp_path / "p.html").read_text()).scores == [29, 28, 27, 26, 25, 4, 3, 2, 1, 0]
    assert "20 images between the worst and the best are left out" in (tmp_path / "p.html").read_text()
    image = np.random.default_rng(0).integers(0, 256, (1000, 1500, 3), np.uint8)  # noise gives the largest files
    for images, side in score_page.SIDES:
        assert score_page.side_for(images) == side
        assert images * len(score_page.data_uri(image, side)) < 250e6
    assert score_page.side_for(10**6) == score_page.SIDES[-1][1]


def test_images_of_one_name(tmp_path):
    """Members of an archive may share a name: each row shows its own picture."""
    sources, uris = [], []
    for colour in (0, 128, 255):
        pixels = np.full((8, 8, 3), colour, np.uint8)
        cv2.imwrite(str(tmp_path / f"{colour}.png"), pixels)
        sources.append(ImageSource("a.tar/x.png", str(tmp_path / f"{colour}.png")))
        uris.append(data_uri(pixels, 480))
    rows = [{"path": "a.tar/x.png", "score": score} for score in (2.0, 3.0, 1.0)]
    score_page.write(tmp_path / "p.html", rows, sources, title="t", lower_is_better=True)
    figures = _Figures((tmp_path / "p.html").read_text())
    assert figures.scores == [3.0, 2.0, 1.0]
    assert figures.pictures == [uris[1], uris[0], uris[2]] and len(set(uris)) == 3


def test_page_in_a_browser(page):
    """The filter hides pictures, a click enlarges one, and the page fetches nothing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    browser_file = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_file is None:
        pytest.skip("no Chromium")
    scores = _Figures(page[0].read_text()).scores
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        tab, wrong, asked = browser.new_page(), [], []
        tab.on("pageerror", lambda error: wrong.append(error))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page[0].as_uri())
        assert tab.locator("figure:visible").count() == 5
        tab.fill("#from", str(scores[3]))
        tab.fill("#to", str(scores[1]))
        assert tab.locator("figure:visible").count() == 3
        assert tab.locator("#shown").inner_text() == "3 shown"
        tab.locator("figure:visible button").first.click()
        assert tab.locator("dialog[open] img").evaluate("image => image.naturalWidth") > 200
        assert str(scores[1]) in tab.locator("dialog[open] p").inner_text()
        tab.locator("dialog[open] button").click()
        tab.click("button[type=reset]")
        tab.wait_for_function("document.querySelectorAll('figure[hidden]').length === 0")
        browser.close()
    assert wrong == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_map_by_hand():
    """A worse score is brighter, at the centre of its crop."""
    image = np.full((100, 140, 3), 128, np.uint8)
    scores = np.zeros((3, 5), np.float32)
    scores[1, 3] = 10
    dense = DenseScore(0.0, scores, 20, 60)
    for lower_is_better, brightest in [(True, np.argmax), (None, np.argmax), (False, np.argmin)]:
        drawn = draw(image, dense, lower_is_better)
        assert drawn.dtype == np.uint8 and drawn.shape[0] == 100 and drawn.shape[1] > 140 + BAR + 2 * MARGIN
        light = drawn[:, :140].astype(int).sum(2)
        assert np.unravel_index(brightest(light), light.shape) in [(50, 90), (49, 89), (49, 90), (50, 89)]
    whole = draw(image, dense, True, (-1000, 1000))[:, :140].astype(int)
    assert np.ptp(whole.sum(2)) < 20  # within a wide range the scores are about equal


def test_maps_of_a_run(photograph, weights, tmp_path, capsys):
    for mode in ("crops", "dense"):
        folder = tmp_path / mode
        line = ["score", str(photograph), "--weights", str(weights), "--crops", "2", "--mode", mode, "--agreement", "0"]
        assert main([*line, "--map", str(folder)]) == 0
        (file,) = folder.iterdir()
        assert file.name == map_name(str(photograph))
        expected = draw(
            rankiqa.read_image(photograph), score_dense(rankiqa.load(weights), rankiqa.read_image(photograph)), None
        )
        drawn = cv2.imread(str(file))[:, :, ::-1]
        assert drawn.shape == expected.shape and np.abs(drawn.astype(int) - expected).max() <= 2
    assert map_name("a/x.png") != map_name("b/x.png")
    for words, message in [
        (["--map-range", "1", "2"], "--map-range: expected --map DIR"),
        (["--map", str(tmp_path / "m"), "--map-range", "2", "1"], "expected finite numbers, LOW below HIGH"),
        (["--map", str(tmp_path / "m"), "--engine", "openvino"], "expected the engine torch"),
    ]:
        assert main(["score", str(photograph), "--weights", str(weights), *words]) == 2
        assert message in capsys.readouterr().err
