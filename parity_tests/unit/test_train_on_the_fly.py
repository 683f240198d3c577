"""`rankiqa train --distort`: training, resuming, and errors."""

import json
import shutil

import cv2
import pytest
import torch
from safetensors.torch import load_file

import rankiqa
from lib.photograph_folder import TINY, TYPES, copy_photographs, photographs
from rankiqa.cli import main
from rankiqa.data.order import FAITHFUL
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import Recipe
from rankiqa.training.tasks import task_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy_photographs(tmp_path_factory.mktemp("photographs"))


def arguments(folder, out, *more, groups=2, images=2):
    settings = {"groups": groups, "levels": 3, "images": images, "max_iter": 4, "snapshot": 2, "display": 1,
                "test_iter": 2, "test_interval": 2, "average_loss": 1}  # fmt: skip
    return ["train", "live-rank", "--distort", "wild", "--photographs", folder, "--test-photographs", folder / "more",
            "--types", *TYPES, "--arch", TINY, "--out", out, "--optimizer", "adamw", "--lr", "1e-3",
            *(f"--set={name}={value}" for name, value in settings.items()), *more]  # fmt: skip


def run(words):
    return main([str(word) for word in words])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("pairs", [("all", "--pristine-above", "2"), ("vif", "--vif-gap", "0.2")])
def test_trained_and_resumed(folder, tmp_path, pairs):
    """A resumed run with other workers has the same end, bit by bit; the weights state their training data."""
    more = ["--combine", "0.4", "--scales", "0.6,1", "--mirror", "--pairs", *pairs,
            "--loss-mean", "pairs", "--margin", "1"]  # fmt: skip
    assert run(arguments(folder, tmp_path / "whole", *more)) == 0
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole" / "live-rank_iter_2.safetensors", tmp_path / "parts")
    assert run(arguments(folder, tmp_path / "parts", *more, "--resume", "latest", "--workers", 2)) == 0
    ends = [load_file(tmp_path / name / "live-rank_iter_4.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    model = rankiqa.load(tmp_path / "whole" / "live-rank_iter_4.safetensors")
    assert (model.meaning.dataset, model.meaning.task, model.lower_is_better) == ("wild", "ranked", True)
    settings = json.loads((tmp_path / "whole" / "settings.json").read_text())
    assert settings["recipe"]["pairs"] == pairs[0] and settings["options"]["combine"] == "0.4"


def test_a_run_goes_on_as_it_began(folder, tmp_path, capsys):
    assert run(arguments(folder, tmp_path, "--set=test_interval=0", "--set=max_iter=2")) == 0
    for more, words in (
        (["--combine", "0.2"], "distort train combine: expected 0.2, got 0"),
        (["--mirror"], "distort train mirror: expected True, got False"),
        (["--pairs", "all"], "recipe pairs: expected all, got type"),
    ):
        capsys.readouterr()
        assert run(arguments(folder, tmp_path, "--set=test_interval=0", *more, "--resume")) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--train", "x"], "--distort: expected --photographs (and --test-photographs) instead of --train"),
        (["--photographs", "none"], "none: expected a folder of photographs, got: No such file"),
        (["--set=groups=5"], "groups: expected at most the 4 types of wild, got 5"),
        (["--set=levels=7"], "levels: expected at most 6 of wild, pristine included, got 7"),
        (["--set=images=7"], "expected at least 7 photographs, got 6"),
        (["--combine", "2"], "combine: expected a share, 0..1, got 2"),
        (["--scales", "0,1"], "scales: expected two ascending factors, above 0"),
        (["--types", "X"], "--types: expected some of GB"),
        (["--pairs", "all", "--pristine-above", "3"], "pristine_above: expected a level, 1..2, got 3"),
        (["--pairs", "vif", "--vif-gap", "1"], "vif_gap: expected a number above 0 and below 1, got 1"),
        (["--vif-gap", "0.2"], "vif_gap: expected 0.1 with the pairs type, got 0.2"),
        (["--pristine-above", "2"], "pristine_above: expected 1 with the pairs type, got 2"),
    ],
)
def test_refusals(folder, tmp_path, capsys, more, words):
    assert run(arguments(folder, tmp_path, *more)) == 2
    assert words in capsys.readouterr().err


def listed(folder, tmp_path):
    """Write a list whose 24 lines have the right number for ranked versions; return its path."""
    (tmp_path / "list.txt").write_text("".join(f"{folder / 'cat.jpg'} {i % 6}\n" for i in range(24)))
    return tmp_path / "list.txt"


def test_more_refusals(folder, tmp_path, capsys):
    (tmp_path / "small").mkdir()
    image = rankiqa.read_image(folder / "cat.jpg")
    cv2.imwrite(str(tmp_path / "small" / "small.png"), image[:100])
    assert run(arguments(tmp_path / "small", tmp_path / "a", "--set=test_interval=0", "--test-photographs", folder,
                         images=1)) == 2  # fmt: skip
    assert "small.png: expected both sides of at least 160" in capsys.readouterr().err
    assert run(["train", "live-rank", "--out", tmp_path / "b"]) == 2
    assert "expected --train LIST, or --distort SET --photographs DIR" in capsys.readouterr().err
    assert run(["train", "live-rank", "--out", tmp_path / "c", "--photographs", folder]) == 2
    assert "--photographs: expected --distort SET with it, got none" in capsys.readouterr().err
    assert (
        run(["train", "live-rank", "--out", tmp_path / "e", "--train", listed(folder, tmp_path), "--pairs", "vif"]) == 2
    )
    assert "pairs: vif expects photographs that are distorted on the fly (--distort), got" in capsys.readouterr().err
    assert run(["finetune", "live-ft", "--out", tmp_path / "d", "--distort", "wild", "--photographs", folder]) == 2
    assert "expected a list of images with opinions for live-ft, got photographs" in capsys.readouterr().err
    with pytest.raises(ValueError, match="pairs, loss_mean: expected a preset of ranking, got live-ft"):
        task_of(PRESETS["live-ft"], Recipe(pairs="all"))
    with pytest.raises(ValueError, match="expected a list of images"):
        task_of(PRESETS["live-ft"]).order(photographs(folder), 0, FAITHFUL)
