"""scripts/gpu_check without a GPU: what it says of a wrong one, of an engine without one, of a stale image."""

import sys
from pathlib import Path

import docker
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "checks"))

import gpu  # noqa: E402

from caffe_client import Answer, Array, CaffeError  # noqa: E402

RIGHT = {
    "net/top/conv1/0": np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300),
    "net/top/fc/0": np.float32([[1.0], [2.0]]),
    "net/param_diff/conv1/0": np.linspace(-1, 1, 50, dtype=np.float32),
}


class Saying:
    """A reference that gives these arrays whatever is asked, or raises."""

    def __init__(self, said):
        self.said = said

    def ask(self, *_):
        if isinstance(self.said, Exception):
            raise self.said
        return Answer((key, Array.whole(array)) for key, array in self.said.items())

    def run(self, *_):
        raise self.said


def changed(key, change):
    return {**RIGHT, key: change(RIGHT[key].copy())}


def with_nan(array):
    array[-1] = np.nan
    return array


def verdict(said, tmp_path, capsys):
    """(passed, its two lines) of a GPU that says this."""
    passed = gpu.compared("shallow", Saying(RIGHT), Saying(said), tmp_path)
    return passed, capsys.readouterr().out.splitlines()


def test_right_to_rounding(tmp_path, capsys):
    passed, lines = verdict(changed("net/top/fc/0", lambda a: a * np.float32(1 + 1e-5)), tmp_path, capsys)
    assert passed
    assert [line[:5] for line in lines] == ["ok   ", "ok   "]
    assert "2 layers, largest error 1." in lines[0]
    assert "tolerance 1e-04" in lines[0]


@pytest.mark.parametrize(
    ("key", "change", "failed"),
    [
        ("net/top/fc/0", lambda a: a * 1.001, "layers"),
        ("net/top/fc/0", with_nan, "layers"),
        ("net/top/conv1/0", with_nan, "layers"),
        ("net/param_diff/conv1/0", lambda a: a * 0.5, "gradients"),
        ("net/param_diff/conv1/0", lambda a: a * np.nan, "gradients"),
    ],
)
def test_wrong_numbers(key, change, failed, tmp_path, capsys):
    passed, (layers, gradients) = verdict(changed(key, change), tmp_path, capsys)
    assert not passed
    bad, good = (gradients, layers) if failed == "gradients" else (layers, gradients)
    assert bad.startswith("FAIL") and bad.endswith(key)
    assert good.startswith("ok")


def test_caffe_that_ends_is_a_line(tmp_path, capsys):
    error = CaffeError("python3 ..: exit status 134\nF1 Check failed: error == cudaSuccess (209 vs. 0) no kernel image")
    passed, lines = verdict(error, tmp_path, capsys)
    assert not passed
    assert lines == ["FAIL shallow: F1 Check failed: error == cudaSuccess (209 vs. 0) no kernel image"]


@pytest.mark.parametrize(
    ("smi", "advice"),
    [(None, "no NVIDIA driver here"), ("/usr/bin/nvidia-smi", "nvidia-ctk runtime configure")],
)
def test_no_gpu_says_what_to_install(smi, advice, monkeypatch, capsys):
    monkeypatch.setattr(gpu.shutil, "which", lambda _: smi)
    error = docker.errors.APIError("500", explanation='could not select device driver "" with capabilities: [[gpu]]')
    assert not gpu.sees_gpu(Saying(error))
    first, second = capsys.readouterr().out.splitlines()
    assert first == 'FAIL a GPU in the container: could not select device driver "" with capabilities: [[gpu]]'
    assert advice in second


@pytest.mark.parametrize(
    ("labels", "said"), [({}, "not there"), ({gpu.build.SOURCE: "0"}, "made from other files than these")]
)
def test_image_that_is_missing_or_stale(labels, said, monkeypatch, capsys):
    monkeypatch.setattr(gpu.engine, "answering", lambda: object())
    monkeypatch.setattr(gpu.build, "labels", lambda *_: labels)
    monkeypatch.setattr(gpu.shutil, "which", lambda _: None)
    assert gpu.main([]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert said in first
    assert "docker/build.py --gpu" in first
    assert "no NVIDIA driver here" in second
