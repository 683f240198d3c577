"""`rankiqa experiment`: finished work is not repeated, an interrupted run resumes, and the measures are right."""

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from tiny_experiments import command, rows_of

import rankiqa
from rankiqa.cli import main
from rankiqa.data.image_lists import ImageList
from rankiqa.data.input_spec import InputSpec
from rankiqa.experiments import equal_pairs, levels, mining
from rankiqa.experiments.budgets import SETTINGS
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.pairs import PairOrder, PairTask
from rankiqa.training.trainer import Trainer


def test_done_is_not_done_again(levels_folder, monkeypatch, capsys):
    before = (levels_folder / "levels" / "scores.csv").read_bytes()
    monkeypatch.setattr(Trainer, "run", lambda self, stop=None: pytest.fail("trained again"))
    assert main(command(levels_folder)) == 0
    assert (levels_folder / "levels" / "scores.csv").read_bytes() == before
    capsys.readouterr()
    assert main(command(levels_folder, "levels", 3)) == 2
    assert "settings: expected" in capsys.readouterr().err


def test_numbers_of_levels(levels_folder):
    """scores.csv has every held-out image, and overlap.csv agrees with it."""
    out = levels_folder / "levels"
    table = [{**row, "level": int(row["level"]), "score": float(row["score"])} for row in rows_of(out / "scores.csv")]
    assert len(table) == 4 * 6 and {row["level"] for row in table} == set(range(6))
    for row in table:
        stem = Path(row["path"]).parent.name
        assert stem == (f"{row['type']}{row['level']}" if row["level"] else "pristine_images")
    recomputed = levels.overlap_rows(table)
    for ours, written in zip(recomputed, rows_of(out / "overlap.csv"), strict=True):
        assert ours["overlap"] == pytest.approx(float(written["overlap"]))
        assert ours["ordered_share"] == pytest.approx(float(written["ordered_share"]))


def test_overlap_of_made_up_scores():
    rows = [{"type": "GB", "level": level, "score": level + k / 8} for level in range(6) for k in range(5)]
    apart = levels.overlap_rows(rows)
    assert all(row["overlap"] == 0 and row["ordered_share"] == 1 for row in apart)
    assert levels.ordered_share("GB", apart) == 1
    alike = levels.overlap_rows([{**row, "score": row["score"] - row["level"]} for row in rows])
    assert all(row["overlap"] == 1 and abs(row["ordered_share"] - 0.5) < 1e-9 for row in alike)
    assert levels.ordered_share("GB", alike) == pytest.approx(0.5)


def test_a_run_that_was_broken_off_goes_on(levels_folder, tmp_path, monkeypatch):
    """A run that is interrupted after its first iteration and resumed gives the same scores."""
    shutil.copytree(levels_folder / "photographs_given", tmp_path / "photographs_given")
    unchanged = Trainer.forward_backward

    def interrupted(self):
        if self.iteration == 1:
            raise KeyboardInterrupt
        return unchanged(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "forward_backward", interrupted)
        assert main(command(tmp_path)) == 130
    iterations = []
    monkeypatch.setattr(Trainer, "forward_backward", lambda self: iterations.append(self.iteration) or unchanged(self))
    assert main(command(tmp_path)) == 0
    assert iterations == [1]
    scores = [[row["score"] for row in rows_of(f / "levels" / "scores.csv")] for f in (levels_folder, tmp_path)]
    assert scores[0] == scores[1]


def test_each_network_gets_its_own_crops(photograph):
    """Scores of held-out images do not depend on which network was scored before."""
    images = ImageList("list", (str(photograph),) * 24, np.tile(np.arange(6.0), 4), "")
    spec = InputSpec(200, "RGB", 1.0, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    seen = []

    class Watched(torch.nn.Module):
        def __init__(self, spec):
            super().__init__()
            self.input_spec, self.weight = spec, torch.nn.Parameter(torch.zeros(1))

        def forward(self, crops):
            seen.append(crops)
            return crops.mean((1, 2, 3))[:, None]

    held_out = HeldOut(images, seed=0)
    networks = [Watched(rankiqa.build("shallow").input_spec), Watched(spec)]
    together = [held_out.scores(network) for network in networks]
    assert [crops.shape[-1] for crops in seen] == [227, 200]
    for scores, network in zip(together, networks, strict=True):
        assert np.array_equal(scores, HeldOut(images, seed=0).scores(network))


def test_pairs():
    """Each pair shows one photograph with one distortion, the worse level first; similar pairs have one level."""
    images = ImageList("list", tuple(map(str, range(4 * 6 * 3))), np.zeros(72), "")
    for similar in (0.0, 1.0):
        order = iter(PairOrder(images, groups=4, levels=6, pairs=50, similar=similar, seed=1))
        lines = np.array([line for line, _ in next(order)]).reshape(-1, 2)
        group, level, photograph = lines // 18, lines % 18 // 3, lines % 3
        assert (group[:, 0] == group[:, 1]).all() and (photograph[:, 0] == photograph[:, 1]).all()
        difference = level[:, 1] - level[:, 0]
        assert (difference > 0).all() if similar == 0 else (difference == 0).all()
        assert len(np.unique(group)) == 4
    preset = SETTINGS["small"].rank_preset(iterations=1)
    scores = torch.tensor([12.0, 0.0, 1.0, 3.0])  # losses 0 and 12
    assert PairTask(preset).loss(scores, torch.zeros(4)).item() == pytest.approx(2.5 * 6)
    labels = torch.tensor([1.0, 1.0, 0.0, 1.0])  # half of 12^2 (similar) and of (10 - 2)^2
    assert PairTask(preset, contrastive=True).loss(scores, labels).item() == pytest.approx(2.5 * (144 + 64) / 4)


def test_mining_tiny(tmp_path, levels_folder):
    """Each of the four methods forwards the expected number of images.

    Equal pairs give equal gradients, and the standard method forwards n - 1 times the images.
    """
    shutil.copytree(levels_folder / "photographs_given", tmp_path / "photographs_given")
    shutil.copytree(levels_folder / "levels" / "ranked", tmp_path / "mining" / "ranked")
    assert main(command(tmp_path, "mining", 1)) == 0
    out = tmp_path / "mining"
    forwarded = {row["method"]: int(row["images_forwarded"]) for row in rows_of(out / "curves.csv")}
    assert forwarded == {"efficient": 24, "random": 24, "hard": 72, "contrastive": 24}
    start = {row["method"]: float(row["loss"]) for row in rows_of(out / "curves.csv") if row["iteration"] == "0"}
    # The contrastive loss is that of the better sign
    assert start["efficient"] == start["random"] == start["hard"] >= start["contrastive"]
    efficient, standard = rows_of(out / "equal_pairs.csv")
    assert float(standard["ratio_images"]) == 5 == float(standard["paper_ratio"])
    assert float(efficient["loss"]) == pytest.approx(float(standard["loss"]), rel=1e-4)
    assert float(efficient["gradient_difference"]) < 1e-3
    papers = [row for row in rows_of(out / "paper.csv") if (row["types"], row["method"]) == ("ALL", "efficient")]
    assert len(papers) == 20 and papers[-1] == {
        "types": "ALL", "method": "efficient", "iteration": "20000", "loss": "0.438"
    }  # fmt: skip
    assert tuple(efficient) == equal_pairs.COLUMNS
    preset = SETTINGS["small"].rank_preset(iterations=1)
    rows = equal_pairs.measured(out / "equal_pairs.csv", "shallow", preset, None, 0)
    assert [row["images_forwarded"] for row in rows] == [24, 120] and isinstance(rows[0]["seconds"], float)


def test_nothing_is_begun_with_too_few_photographs(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    words = ["experiment", "levels", "--photographs", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "photos: expected at least 4 photographs, got 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_verdict_says_what_is_not_shown():
    def curve(*losses):
        return [{"loss": loss, "images_forwarded": 24 * k} for k, loss in enumerate(losses)]

    assert mining.verdict(curve(5, 2, 1), curve(5, 4, 3)) == (
        True,
        "the efficient method reaches the random pairs' final loss (3.000) with fewer images forwarded: 24 against 48.",
        "curves.csv",
    )
    assert mining.verdict(curve(5, 4, 4), curve(5, 4, 3))[0] is False
    assert mining.verdict(curve(5, 4, 3), curve(5, 4, 3))[0] is False


def test_index(levels_folder, tmp_path, capsys):
    """The index links to each finished page and lists its conclusions and the files that they name."""
    assert main(["experiment", "index", "--out", str(tmp_path)]) == 2
    assert "expected folders of finished experiments, got none" in capsys.readouterr().err
    shutil.copytree(levels_folder / "levels", tmp_path / "a b", ignore=shutil.ignore_patterns("ranked", "runs"))
    (tmp_path / "not an experiment").mkdir()
    (tmp_path / "broken off").mkdir()
    shutil.copy(tmp_path / "a b" / "experiment.json", tmp_path / "broken off")
    assert main(["experiment", "index", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "index.html").read_text()
    links = re.findall(r'href="([^"]*)"', text)
    assert links[0] == "a%20b/index.html" and {"a%20b/scores.csv", "a%20b/overlap.csv"} <= set(links)
    assert all((tmp_path / unquote(link)).is_file() for link in links)
    assert "Started but not finished: broken off." in text
    for row in rows_of(tmp_path / "a b" / "verdicts.csv"):
        assert f"{'Confirmed' if row['shown'] == 'True' else 'Not confirmed'}: {row['text']}" in text
    assert main(["experiment", "index", "--out", str(tmp_path / "a b")]) == 2
    (tmp_path / "a b" / "experiment.json").write_text("[]")
    assert main(["experiment", "index", "--out", str(tmp_path)]) == 2
    assert "verdicts.csv of an experiment, got" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):  # argparse's status for a missing option
        main(["experiment", "levels", "--out", str(tmp_path / "new")])
