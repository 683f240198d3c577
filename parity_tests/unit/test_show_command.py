"""`rankiqa show distortions`: every picture of the page is the distortion that its caption names."""

import base64
import importlib.util
import io
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rankiqa
from rankiqa.cli import main
from rankiqa.data.photographs import read_photograph
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets import contact_sheet
from rankiqa.ranked_sets.make_files import random_generator


class Page(HTMLParser):
    """Parse a page's rows: [(id, words of its head, [(picture, alt, caption)])]; elements must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.addresses = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "tr" and "id" in attributes:
            self.rows.append((attributes["id"], [], []))
        if tag == "img" and "figure" in self.open:
            self.rows[-1][2].append([picture(attributes["src"]), attributes["alt"], ""])
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "figcaption" in self.open:
            self.rows[-1][2][-1][2] += text
        elif "tbody" in self.open and "th" in self.open:
            self.rows[-1][1].append(text.strip())


NOT_MADE = () if importlib.util.find_spec("bm3d") else ("tid2013-ID",)


def picture(address):
    assert address.startswith("data:image/png;base64,")
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def show(*arguments):
    return main(["show", "distortions", *map(str, arguments)])


@pytest.fixture(scope="module")
def small(photograph, tmp_path_factory):
    """Return a photograph that is little larger than a picture of the page, since the type ID is slow."""
    path = tmp_path_factory.mktemp("small") / "cat.png"
    Image.open(photograph).crop((100, 50, 320, 210)).save(path)
    return path


@pytest.fixture(scope="module")
def page(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert show("--image", small, "--out", out, "--seed", 3) == (1 if NOT_MADE else 0)
    assert os.listdir(out.parent) == ["page.html"]
    return out.read_text(encoding="utf-8")


def test_a_row_a_type_a_column_a_level(page, small):
    rows = Page(page).rows
    assert [row[0] for row in rows] == [f"{name}-{kind}" for name in DATASETS for kind in DATASETS[name]]
    pristine = read_photograph(Path(small).read_bytes(), min_side=1)
    assert pristine.shape == (160, 220, 3)
    for identity, words, pictures in rows:
        dataset, _, kind = identity.partition("-")
        row = DATASETS[dataset][kind]
        assert words[0] == kind and row.title in words[1] and words[2] == row.parameter
        assert words[3] == {"upstream": "original", "listed": "listed", "ours": "ours", "wild": "wild"}[row.origin]
        if identity in NOT_MADE:
            assert not pictures
            continue
        assert len(pictures) == len(row.levels)
        for level, (shown, alt, caption) in enumerate(pictures, start=1):
            distorted = rankiqa.distort(pristine, kind, level, random_generator(3, "cat", kind, level), dataset)
            assert np.array_equal(shown, distorted[5:155, 10:210])  # the central part, without scaling
            assert f"level {level}" in alt
            value = row.levels[level - 1]
            assert caption.startswith(f"{value:g} · " if isinstance(value, (int, float)) else f"{value} · ")
            error = np.mean((distorted.astype(float) - pristine) ** 2)
            assert f"{10 * np.log10(255**2 / error):.1f} dB" in caption if error else "equal" in caption


def test_nothing_is_loaded_from_elsewhere(page):
    assert all(address.startswith("data:") for address in Page(page).addresses)
    assert re.findall(r"url\((.{22})", page) == ["data:image/png;base64,"]
    plain = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert len(plain) < 100_000 and "http" not in plain and "<script" not in plain and "@import" not in plain


def test_a_set_and_a_seed(small, tmp_path, page):
    for name in ("live", "tid2013", "wild"):
        show("--image", small, "--out", tmp_path / "a.html", "--set", name, "--seed", 3)
        text = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert [row[0] for row in Page(text).rows] == [f"{name}-{kind}" for kind in DATASETS[name]]
    show("--image", small, "--out", tmp_path / "b.html", "--set", "live", "--seed", 3)
    show("--image", small, "--out", tmp_path / "c.html", "--set", "live", "--seed", 4)
    again, other = (Page((tmp_path / name).read_text(encoding="utf-8")).rows for name in ("b.html", "c.html"))
    first = Page(page).rows
    for old, new, seeded in zip(first, again, other):
        same = [np.array_equal(a[0], b[0]) for a, b in zip(old[2], new[2])]
        changed = [not np.array_equal(a[0], b[0]) for a, b in zip(old[2], seeded[2])]
        assert all(same) and all(changed) == any(changed) == (old[0] == "live-GN")


def test_large_photographs_are_scaled_down_and_small_ones_shown_whole(tmp_path, photograph):
    large = np.array(Image.open(photograph).convert("RGB").resize((1200, 800)))
    assert contact_sheet.fit(large).shape == (341, 512, 3)
    assert contact_sheet.fit(large[:, :300]).shape == (512, 192, 3)
    assert contact_sheet.fit(large[:384, :512]) is not None
    assert np.array_equal(contact_sheet.fit(large[:384, :512]), large[:384, :512])
    Image.fromarray(large[:100, :120]).save(tmp_path / "small & <odd>.png")
    assert show("--image", tmp_path / "small & <odd>.png", "--out", tmp_path / "a.html", "--set", "live") == 0
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert Page(text).rows[0][2][0][0].shape == (100, 120, 3)
    assert text.count("Distortions of small &amp; &lt;odd&gt;.png") == 2 and "<odd>" not in text


def test_a_type_that_cannot_be_made_here(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    assert show("--image", small, "--out", tmp_path / "a.html", "--set", "tid2013") == 1
    rows = {row[0]: row[2] for row in Page((tmp_path / "a.html").read_text(encoding="utf-8")).rows}
    assert [name for name, pictures in rows.items() if len(pictures) != 4] == ["tid2013-ID"]
    assert capsys.readouterr().err.count("pip install 'rankiqa[denoise]'") == 4


def test_a_missing_package_is_named_with_its_extra(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert show("--image", small, "--out", tmp_path / "a.html", "--set", "live") == 2
    assert "jinja2 (pip install 'rankiqa[pages]')" in capsys.readouterr().err and not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    ("image", "out", "words"),
    [
        ("nowhere.png", "page.html", "nowhere.png: expected a photograph, got: No such file or directory"),
        ("notes.txt", "page.html", "notes.txt: expected an image, got another kind of file"),
        ("tiny.png", "page.html", "tiny.png: expected both sides at least 32 pixels, got 31 x 40 (H x W)"),
        ("good.png", "nowhere/page.html", "page.html: expected a file in a folder that exists, got no such folder"),
        ("good.png", "folder", "folder: expected a file to write, got a folder"),
        ("good.png", "good.png", "good.png: expected a file for the results, got an image"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, capsys, image, out, words):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (40, 31)).save(tmp_path / "tiny.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "good.png")
    before = sorted(os.listdir(tmp_path))
    assert show("--image", tmp_path / image, "--out", tmp_path / out, "--set", "live") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("rankiqa: ") and captured.err.endswith(words + "\n")
    assert len(captured.err.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == before
