"""caffe_ref/launcher: its handling of arguments, GPU numbers and lists; parity_tests/upstream runs it."""

import sys
from pathlib import Path

import pytest

import request

sys.path.append(str(Path(__file__).resolve().parents[2]))

from caffe_ref.launcher import advice, caffe_bin, checks, entry, gpus, solver
from caffe_ref.nets import RANKED

UPSTREAM = [
    ["-gpu", "2", "train", "-solver", "s.prototxt", "--weights", "w"],
    ["train", "--gpu", "2", "--solver=s.prototxt", "--weights", "w"],
    ["train", "-gpu=2", "-solver", "s.prototxt", "-weights=w"],
]


@pytest.mark.parametrize("arguments", UPSTREAM)
def test_flags_in_every_spelling(arguments):
    for name, value in (("gpu", "2"), ("solver", "s.prototxt"), ("weights", "w")):
        found_value, position, words = caffe_bin.flag(arguments, name)
        assert found_value == value
        assert arguments[position].lstrip("-").startswith(name)
        assert words == (1 if "=" in arguments[position] else 2)
    assert caffe_bin.flag(arguments, "snapshot") == (None, None, 0)


@pytest.mark.parametrize("arguments", UPSTREAM)
def test_gpu_to_what_there_is(arguments, monkeypatch, capsys):
    monkeypatch.setattr(gpus, "count", lambda: (0, "no driver"))
    remaining, cpu = caffe_bin.on_this_machine(arguments)
    assert cpu
    assert caffe_bin.flag(remaining, "gpu") == (None, None, 0)
    assert "train" in remaining
    assert capsys.readouterr().err == "caffe.bin: GPU 2 asked for, running on the CPU: no driver\n"
    monkeypatch.setattr(gpus, "count", lambda: (1, ""))
    remaining, cpu = caffe_bin.on_this_machine(arguments)
    assert not cpu
    assert caffe_bin.flag(remaining, "gpu")[0] == "0"
    assert "GPU 2 asked for, running on GPU 0: this machine has 1" in capsys.readouterr().err
    monkeypatch.setattr(gpus, "count", lambda: (3, ""))
    assert caffe_bin.flag(caffe_bin.on_this_machine(arguments)[0], "gpu")[0] == "2"
    assert capsys.readouterr().err == ""


def test_gpu_numbers():
    assert gpus.mapped("4", 2) == "0"
    assert gpus.mapped("0,1,2", 2) == "0,1"
    assert gpus.mapped("all", 2) == "all"
    with pytest.raises(ValueError, match="expected numbers or all, got 'first'"):
        gpus.mapped("first", 2)


def test_the_committed_list_of_six_levels_is_doubtful():
    """The committed list has 18 types x 6 levels x 949 images, but its layer reads five levels.

    The lists that the generators write have the levels of their layers.
    """
    committed = [float(level) for _ in range(18) for level in range(6) for _ in range(949)]
    doubt = checks._ranked("data/tid2013_train.txt", committed, RANKED["tid2013"])
    assert "lines 1 to 1138 for one level" in doubt
    generated = [float(level) for _ in range(18) for level in range(5) for _ in range(949)]
    assert checks._ranked("data/tid2013_train.txt", generated, RANKED["tid2013"]) is None
    live = [float(level) for _ in range(4) for level in range(6) for _ in range(7)]
    assert checks._ranked("data/live_train.txt", live, RANKED["live"]) is None
    with pytest.raises(checks.BadInput, match="= 48 lines, got 47"):
        checks._ranked("data/live_train.txt", live[:47], RANKED["live"])


def test_a_log_that_tee_cannot_write(tmp_path, monkeypatch):
    """The script is refused before it runs; otherwise `tee` would fail and the training run on without a log."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "train.sh"
    script.write_text("caffe.bin train  2>&1 | tee  models/rank_live/log_live\n")
    error = entry.unwritable_log(script)
    assert error.startswith("models/rank_live/log_live: models/rank_live: no such folder to write to; is the folder")
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(advice.os, "access", lambda path, mode: str(path) != "models")
    assert "models/rank_live/log_live: models: user" in entry.unwritable_log(script)
    (tmp_path / "models" / "rank_live").mkdir()
    assert entry.unwritable_log(script) is None
    script.write_text("caffe.bin train 2>&1 | tee -a -i $LOG\n")
    assert entry.unwritable_log(script) is None


@pytest.mark.parametrize("command", [[], [""], ["", "x"]])
def test_an_empty_command(command, capsys):
    assert entry.main(command) == 127
    assert capsys.readouterr().err.startswith("entry: expected a command")


def test_a_file_where_a_folder_is_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rank_live").write_text("")
    entry.make_folders()
    assert (tmp_path / "models" / "ft_live").is_dir()


@pytest.mark.parametrize("seed", ["abc", "-5", "1.5", "4294967296", "1 max_iter: 2", "\u0663"])
def test_a_seed_that_is_none(seed):
    with pytest.raises(ValueError, match=r"CAFFE_SEED: expected a whole number, 0\.\.4294967295"):
        solver.seed_of(seed)
    assert solver.seed_of("4294967295") == 4294967295


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected an object"),
        ({"version": 1}, "list of jobs"),
        ({"version": 1, "jobs": [3]}, "objects with a name"),
        ({"version": 1, "jobs": [{"kind": "parse"}]}, "objects with a name"),
        ({"version": 1, "jobs": [{"name": "a", "kind": "parse"}]}, "expected the fields file"),
        ({"version": 1, "jobs": [{"name": "a", "kind": "dance"}]}, "kind: expected one of"),
        ({"version": 1, "device": "tpu", "jobs": []}, "expected cpu or gpu"),
    ],
)
def test_a_request_of_another_form(content, message):
    with pytest.raises(request.RequestError, match=message):
        request.check(content)
