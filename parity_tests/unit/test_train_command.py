"""`rankiqa train` and `rankiqa finetune` with a timm network: options, logs, errors."""

import contextlib
import csv
import json

import pytest

import rankiqa
from lib.backbone_trainings import TINY, arguments, write_images
from rankiqa.cli import main
from rankiqa.training.recipe import Recipe

pytest.importorskip("timm")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def test_the_command(images, tmp_path):
    """Check the network, the optimizer and the log table; the same line starts and resumes a run."""
    out = tmp_path / "out"
    more = ["--optimizer", "adamw", "--schedule", "cosine", "--lr", "0.001", "--weight-decay", "1e-4", "--clip", "1",
            "--margin", "1", "--warm-up", "1", "--log-csv", "--test", images / "list.txt", "--set=test_interval=2",
            "--set=snapshot=1", "--iterations", "3", "--resume", "latest"]  # fmt: skip
    assert main(arguments(images, out, *more)) == 0
    settings = json.loads((out / "settings.json").read_text())
    assert settings["recipe"]["optimizer"] == "adamw" and settings["recipe"]["warm_up"] == 1
    assert settings["preset"]["base_lr"] == 0.001 and settings["preset"]["clip_gradients"] == 1
    assert settings["preset"]["margin"] == 1 and settings["preset"]["max_iter"] == 3
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [row["iteration"] for row in rows] == ["0", "0", "1", "2", "2"]
    assert [bool(row["test_loss"]) for row in rows] == [True, False, False, True, False]
    assert float(rows[1]["rate"]) == pytest.approx(1e-5) and float(rows[1]["loss"]) > 0
    for path in out.glob("*_iter_[23].safetensors"):
        path.unlink()
    whole = {path: path.read_text() for path in (out / "log.csv",)}
    assert main(arguments(images, out, *more)) == 0
    assert whole == {path: path.read_text() for path in whole}
    model = rankiqa.load(out / "live-rank_iter_3.safetensors")
    assert model.arch == TINY and model.lower_is_better and model.meaning.task == "ranked"


def test_finetune(images, tmp_path, capsys):
    """`finetune` accepts only presets of fine-tuning, and uses the network of its initial weights."""
    assert main(arguments(images, tmp_path / "rank")) == 0
    ranked = tmp_path / "rank" / "live-rank_iter_2.safetensors"
    line = ["finetune", "live-ft", "--train", images / "list.txt", "--root", images, "--out", tmp_path / "ft", "--init",
            ranked, "--set=batch=4", "--iterations", 1, "--optimizer", "adamw", "--set=test_interval=0"]  # fmt: skip
    assert main([*map(str, line)]) == 0
    model = rankiqa.load(tmp_path / "ft" / "live-ft_iter_1.safetensors")
    assert model.arch == TINY and model.meaning.task == "fine-tuned"
    with pytest.raises(SystemExit):
        main(["finetune", "live-rank", "--train", "x", "--out", "y"])
    assert "invalid choice: 'live-rank'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--warm-up", "2", "--schedule", "onecycle"], "warm_up: expected 0 with the schedule onecycle"),
        (["--warm-up", "2"], "warm_up: expected fewer iterations than max_iter, 2, got 2"),
        (["--lr=-1"], "base_lr: expected a number, 0 or more, got -1"),
        (["--clip=-1"], "clip_gradients: expected a number"),
        (["--dropout", "1"], "dropout: expected a number, 0 or more and below 1, got 1"),
        (["--resume", "--init", "x"], "--init: expected no --resume with it"),
    ],
)
def test_refusals(images, tmp_path, capsys, more, words):
    assert main(arguments(images, tmp_path, *more)) == 2
    assert words in capsys.readouterr().err


def test_more_refusals(images, tmp_path, capsys):
    assert main(arguments(images, tmp_path / "a", "--dropout", "0.1", arch="shallow")) == 2
    assert "expected 0 for a network that is not timm's" in capsys.readouterr().err
    assert main(arguments(images, tmp_path / "b", arch="timm:none_such")) == 2
    assert "expected a network of timm, got 'none_such'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(arguments(images, tmp_path / "c", arch="vgg17"))
    assert (
        "expected one of alexnet, shallow, vgg16, efficientnet_lite0, timm:NAME, torchvision:NAME"
        in capsys.readouterr().err
    )
    with pytest.raises(ValueError, match="optimizer: expected one of caffe, sgd, adamw, got 'adam'"):
        Recipe("adam")


def test_tensorboard(images, tmp_path, capsys):
    """TensorBoard gets loss and rate; without the package, an error names the line that installs it."""
    installed = False
    with contextlib.suppress(ImportError):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        installed = True
    status = main(arguments(images, tmp_path / "out", "--tensorboard"))
    if not installed:
        assert status == 2 and "pip install 'rankiqa[tensorboard]'" in capsys.readouterr().err
        return
    assert status == 0
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "mean_loss", "rate"}
    assert [event.step for event in events.Scalars("loss")] == [0, 1]
