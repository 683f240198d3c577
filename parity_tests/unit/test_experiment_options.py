"""`rankiqa experiment` with unusable photographs, opinions or weights: one line of error, no files; its figures."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from tiny_experiments import PHOTOGRAPHS, command

import rankiqa
from rankiqa.cli import main
from rankiqa.experiments import ablation, backbones, chosen_photographs, grid, measures, mining, ranked_data
from rankiqa.experiments.budgets import SETTINGS
from rankiqa.experiments.measures import Opinions


@pytest.fixture
def given(tmp_path):
    """A folder whose photographs_given holds four photographs."""
    command(tmp_path)
    return tmp_path


def refused(folder, capsys, *more, experiment="levels"):
    """Run the command, check that it fails before it writes anything, and return its line on stderr."""
    assert main(command(folder, experiment, 1, *map(str, more))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and not (folder / experiment).exists()
    return lines[0]


def test_photographs_that_cannot_be_used(given, capsys):
    photographs = given / "photographs_given"
    shutil.copy(photographs / "cat.jpg", photographs / "copy.jpg")
    assert "expected different photographs, got cat.jpg and copy.jpg with the same content" in refused(given, capsys)
    (photographs / "copy.jpg").unlink()
    cv2.imwrite(str(photographs / "cat.png"), np.zeros((300, 300, 3), np.uint8))
    assert "expected one photograph cat, got cat.jpg and cat.png" in refused(given, capsys)
    (photographs / "cat.png").rename(photographs / "black.png")
    (photographs / "small.png").write_bytes(cv2.imencode(".png", np.zeros((300, 227, 3), np.uint8))[1].tobytes())
    content = (photographs / "dogs.jpg").read_bytes()
    (photographs / "torn.jpg").write_bytes(content[: len(content) // 2])
    line = refused(given, capsys)
    assert "2 of 7 photographs cannot be used: small.png: expected both sides at least 228 pixels" in line
    assert "torn.jpg: " in line
    not_utf8 = os.fsdecode(bytes(photographs) + b"/\xff.jpg")
    shutil.copy(photographs / "cat.jpg", not_utf8)
    assert "expected names in UTF-8, the encoding of the lists, got '\\udcff.jpg'" in refused(given, capsys)
    os.unlink(not_utf8)
    (photographs / "link.png").symlink_to("nowhere")
    assert "link.png: expected a photograph, got: No such file" in refused(given, capsys)


def test_every_kind_of_photograph(tmp_path):
    """Grey, 16-bit and alpha images, with names in any language, become 8-bit colour in all lists."""
    random, folder = np.random.RandomState(0), tmp_path / "photographs"
    folder.mkdir()
    kinds = {"grau ü": (np.uint8, 1), "日本": (np.uint16, 3), "alpha.b": (np.uint8, 4), "цвет": (np.uint8, 3)}
    for name, (dtype, channels) in kinds.items():
        pixels = random.randint(np.iinfo(dtype).max, size=(229, 240, channels)).astype(dtype)
        (folder / f"{name}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    settings, out = SETTINGS["small"], tmp_path / "with space"
    chosen_photographs.check(folder, chosen_photographs.choose(folder, settings))
    data = ranked_data.make(out, folder, settings, 0, lambda files: None)
    train, held = data.split()
    assert sorted([*train, *held]) == ["alpha_b", "grau_ü", "цвет", "日本"] and not set(train) & set(held)
    for number, names in enumerate((train, held)):
        images = data.list_of(f"list{number}", names)
        assert len(images.paths) == 4 * 6 * len(names)
        for path in images.paths:
            assert rankiqa.read_image(path).shape == (229, 240, 3)


def test_other_photographs_of_the_same_names_and_sizes_are_another_experiment(given, capsys):
    """Uncompressed images of one size have files of one size, so only their content differs."""
    folder = given / "photographs_given"
    shutil.rmtree(folder)
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.bmp"), np.full((230, 230, 3), number, np.uint8))
    names = chosen_photographs.choose(folder, SETTINGS["small"])
    before = chosen_photographs.digest(folder, names)
    (folder / "notes.txt").write_text("not a photograph")
    assert chosen_photographs.digest(folder, names) == before
    cv2.imwrite(str(folder / "3.bmp"), np.full((230, 230, 3), 9, np.uint8))
    assert chosen_photographs.digest(folder, names) != before
    ranked_data.claim(given / "levels", "levels", SETTINGS["small"], photographs=before)
    with pytest.raises(ValueError, match=r"photographs: expected .4 photographs, sha256 .* as in this run, got"):
        ranked_data.claim(
            given / "levels", "levels", SETTINGS["small"], photographs=chosen_photographs.digest(folder, names)
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat.jpg 1\nnot_there.jpg 2\n", "1 of 2 listed images cannot be used: .*not_there.jpg"),
        ("cat.jpg nan\ndogs.jpg 2\n", "line 1: expected a (finite )?number"),
        ("cat.jpg 1\n", "expected at least 2 images with different opinions, got 1 image, all with the opinion 1"),
        ("cat.jpg 3\ndogs.jpg 3\n", "expected at least 2 images with different opinions, got 2 images"),
        ("", "expected"),
    ],
)
def test_opinions_that_cannot_be_used(given, capsys, text, words):
    """The error comes before the training, which may take an hour."""
    (given / "opinions.txt").write_text(text)
    with pytest.raises(ValueError, match=words):
        Opinions.of(str(given / "opinions.txt"), str(given / "photographs_given"), 1, 0)
    root = given / "photographs_given"
    assert "opinions.txt" in refused(given, capsys, "--opinions", given / "opinions.txt", "--root", root)


def test_opinions_of_another_root_are_measured_anew(tmp_path, model):
    """Two folders have different images of the same names, and one list is used for both."""
    (tmp_path / "list.txt").write_text("".join(f"{k}.jpg {k}\n" for k in range(3)))
    for folder, names in (("a", ("cat", "coffee", "dogs")), ("b", ("hens", "fig", "fort"))):
        (tmp_path / folder).mkdir()
        for k, name in enumerate(names):
            shutil.copy(PHOTOGRAPHS / f"{name}.jpg", tmp_path / folder / f"{k}.jpg")
    opinions = [Opinions.of(str(tmp_path / "list.txt"), str(tmp_path / folder), 1, 0) for folder in "ab"]
    first, second = (measures.opinion_rows("run", model, each, tmp_path) for each in opinions)
    assert first[0]["lcc"] != second[0]["lcc"]
    assert measures.opinion_rows("run", model, opinions[0], tmp_path) == first
    assert len(list(tmp_path.glob("opinions_*.json"))) == 2


def test_initial_weights_that_cannot_be_used(given, weights, capsys):
    assert "none.safetensors" in refused(given, capsys, "--init", given / "none.safetensors")
    (given / "text.safetensors").write_text("text")
    assert "text.safetensors" in refused(given, capsys, "--init", given / "text.safetensors")


def test_iterations_are_those_of_every_training(given, monkeypatch):
    """--iterations also applies to the short trainings of ablation and backbones."""
    seen = []
    monkeypatch.setattr(ablation, "run", lambda experiment: seen.append(experiment.settings) or pytest.fail("enough"))
    monkeypatch.setattr(ranked_data, "make", lambda *_: None)
    with pytest.raises(pytest.fail.Exception):
        main(command(given, "ablation", 77))
    assert (seen[0].short, seen[0].iterations) == (77, 77)


def test_what_would_come_again_is_not_said_to_go_on(given, monkeypatch, capsys):
    def diverged(*_):
        raise FloatingPointError("loss is nan")

    monkeypatch.setattr(ranked_data, "make", diverged)
    assert main(command(given)) == 1
    assert capsys.readouterr().err.endswith("rankiqa: loss is nan\n")
    claim = json.loads((given / "levels" / ranked_data.CLAIM).read_text())
    assert claim["photographs"].startswith("4 photographs, sha256 ")


def test_nothing_is_shown_by_a_run_that_learnt_nothing():
    """Rising losses, undefined correlations or a single split show no claim of the paper."""

    def curve(*losses):
        return [{"loss": loss, "images_forwarded": 24 * k} for k, loss in enumerate(losses)]

    shown, text, _ = mining.verdict(curve(5, 6), curve(5, 7))
    assert not shown and text.endswith("random pairs did not lower it, it was 5.000 before training.")
    rows = [
        {"varied": "levels", "srocc": None, "srocc_high": None},
        {"varied": "levels", "srocc": 0.5, "srocc_high": 0.6},
    ]
    shown, text, _ = ablation._verdict(rows, "levels", "more is better")
    assert not shown and text == "more is better: SROCC 0.500 against not defined (has no interval)."
    summary = [
        {"network": "n", "training": training, "srocc_mean": mean, "srocc_std": None}
        for training, mean in ((backbones.FT, 0.1), (backbones.RANK, 0.2), (backbones.BOTH, 0.9))
    ]
    shown, text, _ = backbones._verdict(summary, "n")
    assert not shown and "SROCC 0.900 (of one split) against 0.100 (of one split)" in text
    assert grid.mean_and_spread([0.5, None, 0.7]) == (pytest.approx(0.6), pytest.approx(0.02**0.5))
    assert grid.mean_and_spread([None]) == (None, None) and grid.mean_and_spread([0.5]) == (0.5, None)


def test_error_bars_reach_ends_at_zero():
    """An interval from -0.2 to 0 is drawn up to 0; an interval without its value has no negative bar."""
    row = {"varied": "levels", "value": "2", "paper_lcc": 0.7, "srocc": -0.1, "srocc_low": -0.2, "srocc_high": 0.0}
    row |= {"lcc": 0.5, "lcc_low": 0.55, "lcc_high": None}
    srocc, lcc, _ = ablation._figure([row], "levels", 0).data
    assert srocc["error_y"]["array"] == [pytest.approx(0.1)] and srocc["error_y"]["arrayminus"] == [pytest.approx(0.1)]
    assert lcc["error_y"]["array"] == [0.0] and lcc["error_y"]["arrayminus"] == [0.0]
