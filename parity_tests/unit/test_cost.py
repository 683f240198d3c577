"""scripts/cost: costs computed from measured rates, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"))
import cost

RATES = {"device": "cpu", "units": 4, "machine": "m", "score_s": 3.6, "rank_s": 7.2, "ft_s": 0.36}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_other_numbers_of_cores_in_proportion():
    _, _, score, rank, ft = cost.table({"cpu": RATES})
    hours = 1_000_000 * 3.6 / 3600
    assert cells(score) == [f"{2 * hours / 24:.3g} days", f"{hours / 4 / 24:.3g} days", *2 * ["not measured"]]
    assert cells(rank)[:2] == [f"{50_000 * 7.2 / 3600 * 2 / 24:.3g} days", "25 h"]
    assert cells(ft)[:2] == ["10 h", "1.25 h"]


def test_rates_of_another_machine(tmp_path, monkeypatch, capsys):
    gpu = {**RATES, "device": "cuda", "units": 1, "machine": "a GPU"}
    (tmp_path / "gpu.json").write_text(json.dumps(gpu))
    (tmp_path / "bad.json").write_text("[1]")
    monkeypatch.setattr(cost, "measured", lambda device, rounds: RATES)
    assert cost.main(["--with", str(tmp_path / "gpu.json"), "--save", str(tmp_path / "saved.json")]) == 0
    out = capsys.readouterr().out
    assert cells(out.splitlines()[4])[2:] == ["5 h", "0.625 h"] and "Measured on a GPU (1 GPU)" in out
    assert json.loads((tmp_path / "saved.json").read_text()) == RATES
    assert cost.main(["--with", str(tmp_path / "bad.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys):
    assert cost.main(["--device", "cuda"]) == 2
    assert "expected a device that PyTorch can use" in capsys.readouterr().err


def test_what_cannot_work_is_said_before_it_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost, "measured", lambda *_: pytest.fail("measured"))
    (tmp_path / "part.json").write_text('{"device": "cpu"}')
    for arguments in (["--save", str(tmp_path)], ["--with", str(tmp_path / "part.json")], ["--device", "foo"]):
        assert cost.main(arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith("cost: --") and err.count("\n") == 1
