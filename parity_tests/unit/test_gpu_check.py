"""scripts/gpu_check without a GPU: the port on the CPU, wrong numbers, engines without a GPU, and stale images."""

import json
import sys
from pathlib import Path

import docker
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "checks"))

import caffe_checks  # noqa: E402
import comparisons  # noqa: E402
import gpu  # noqa: E402
from check_rows import Row, Table  # noqa: E402

from caffe_client import Answer, Array, CaffeError  # noqa: E402

LAYERS = {
    "net/top/conv1/0": np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300),
    "net/top/fc/0": np.float32([[1.0], [2.0]]),
    "net/param_diff/conv1/0": np.linspace(-1, 1, 50, dtype=np.float32),
}
TRAINING = {"t/losses": np.float32([5, 4, 0.5]), "t/param_diff/conv1/0": np.linspace(-1, 1, 50, dtype=np.float32)}


def answer(arrays):
    return Answer((key, Array.whole(array)) for key, array in arrays.items())


def changed(arrays, key, change):
    return answer({**arrays, key: change(arrays[key].copy())})


def with_nan(array):
    array[-1] = np.nan
    return array


class FakeCaffe:
    """A fake Caffe on a GPU whose run() always returns, or raises, the given result."""

    gpu = True

    def __init__(self, result):
        self.result = result

    def run(self, *_):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def caffe(self):
        return self.run()


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_right_to_rounding(capsys):
    other = changed(LAYERS, "net/top/fc/0", lambda a: a * np.float32(1 + 1e-5))
    assert comparisons.compare_layers(Table(), "Caffe", "shallow", answer(LAYERS), other)
    layers, gradients = lines(capsys)
    assert layers.startswith("ok   Caffe") and layers.endswith("1.0e-05  at most 1e-04  fc of 2")
    assert gradients.startswith("ok   Caffe") and gradients.endswith("conv1/0 of 1")


@pytest.mark.parametrize(
    ("key", "change", "failed"),
    [
        ("net/top/fc/0", lambda a: a * 1.001, "layers"),
        ("net/top/fc/0", with_nan, "layers"),
        ("net/top/conv1/0", with_nan, "layers"),
        ("net/top/conv1/0", lambda a: a[:, 1:], "layers"),
        ("net/param_diff/conv1/0", lambda a: a * 0.5, "gradients"),
        ("net/param_diff/conv1/0", lambda a: a * np.nan, "gradients"),
    ],
)
def test_wrong_layers(key, change, failed, capsys):
    table = Table()
    assert not comparisons.compare_layers(table, "Caffe", "shallow", answer(LAYERS), changed(LAYERS, key, change))
    bad, good = lines(capsys) if failed == "layers" else reversed(lines(capsys))
    assert bad.startswith("FAIL Caffe") and key.split("/")[2] in bad
    assert good.startswith("ok   Caffe")
    assert json.loads(table.json())["passed"] is False


def test_gradients_of_zeros_compare_with_nothing():
    zeros = changed(LAYERS, "net/param_diff/conv1/0", np.zeros_like)
    assert not comparisons.compare_layers(Table(), "Caffe", "shallow", zeros, zeros)


@pytest.mark.parametrize("key", LAYERS)
def test_what_is_lacking_has_failed(key):
    other = answer({name: array for name, array in LAYERS.items() if name != key})
    assert not comparisons.compare_layers(Table(), "Caffe", "shallow", answer(LAYERS), other)
    assert not comparisons.compare_layers(Table(), "Caffe", "shallow", answer({}), answer(LAYERS))


@pytest.mark.parametrize(
    ("key", "change", "passed"),
    [
        ("t/losses", lambda a: a * np.float32(1 + 5e-4), True),
        ("t/losses", lambda a: a + np.float32([0, 0, 2e-3]), False),
        ("t/losses", with_nan, False),
        ("t/losses", lambda a: a[:2], False),
        ("t/param_diff/conv1/0", lambda a: a * 1.1, False),
    ],
)
def test_trainings(key, change, passed):
    agree = comparisons.compare_trainings(Table(), "Caffe", "shallow", answer(TRAINING), changed(TRAINING, key, change))
    assert agree is passed


def test_a_table_without_a_passed_row_has_not_passed():
    table = Table()
    assert not table.passed
    table.add(Row("port", "TF32", None))
    assert not table.passed
    table.add(Row("port", "layers", True, 0.0, 1e-4))
    assert table.passed
    table.add(Row("port", "layers", False, np.nan, 1e-4))
    assert not table.passed
    assert json.loads(table.json(seconds=1))["rows"][-1]["error"] == "nan"


def test_caffe_that_ends_is_a_row(capsys):
    error = CaffeError("python3 ..: exit status 134\nF1 Check failed: error == cudaSuccess (209 vs. 0) no kernel image")
    assert caffe_checks.guarded(Table(), "Caffe", "shallow layers", FakeCaffe(error).caffe) is None
    (line,) = lines(capsys)
    assert line.startswith("FAIL Caffe")
    assert line.endswith("F1 Check failed: error == cudaSuccess (209 vs. 0) no kernel image")


LOG = "Use GPU with device ID 0\n" + "".join(f"Iteration {n} (1 iter/s), loss = 9.{n}\n" for n in range(3))


@pytest.mark.parametrize(
    ("log", "passed", "detail"),
    [
        (LOG + "Optimization Done.", True, "losses 9.0, 9.1, 9.2"),
        (LOG, False, "did not end"),
        (LOG.replace("9.1", "nan") + "Optimization Done.", False, "expected finite losses"),
        (LOG.replace("Iteration 2", "iteration") + "Optimization Done.", False, "expected finite losses"),
        (LOG.replace("Use GPU", "") + "Optimization Done.", False, "Use GPU with device ID"),
    ],
)
def test_the_original_s_script(log, passed, detail, monkeypatch, capsys):
    monkeypatch.setattr(caffe_checks, "upstream_folder", lambda folder: None)
    assert caffe_checks.check_upstream(Table(), FakeCaffe(log), "the GPU") is passed
    assert detail in lines(capsys)[0]


@pytest.mark.parametrize(
    ("smi", "advice"),
    [(None, "no NVIDIA driver here"), ("/usr/bin/nvidia-smi", "nvidia-ctk runtime configure")],
)
def test_no_gpu_says_what_to_install(smi, advice, monkeypatch, capsys):
    monkeypatch.setattr(gpu.shutil, "which", lambda _: smi)
    error = docker.errors.APIError("500", explanation='could not select device driver "" with capabilities: [[gpu]]')
    assert not gpu.sees_gpu(Table(), FakeCaffe(error))
    (line,) = lines(capsys)
    assert line.startswith("FAIL device")
    assert 'could not select device driver "" with capabilities: [[gpu]]; ' in line
    assert advice in line


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(gpu.shutil, "which", lambda _: None)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("labels", "message"),
    [({}, "no such image of build.py"), ({gpu.build.SOURCE: "0"}, "built from other versions of the files")],
)
def test_image_that_is_missing_or_stale(labels, message, no_gpu, monkeypatch, capsys):
    monkeypatch.setattr(gpu.engine, "answering", lambda: object())
    monkeypatch.setattr(gpu.build, "labels", lambda *_: labels)
    assert gpu.main([]) == 1
    first, second = lines(capsys)
    assert "a GPU for PyTorch" in first
    assert message in second
    assert "docker/build.py --gpu" in second


@pytest.mark.parametrize(
    ("cuda", "advice"), [("13.0", "no NVIDIA driver here (no nvidia-smi)"), (None, "is built without CUDA")]
)
def test_port_only_without_a_gpu(cuda, advice, no_gpu, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu.torch.version, "cuda", cuda)
    assert gpu.main(["--port-only", "--json", str(tmp_path / "table.json")]) == 1
    (line,) = lines(capsys)
    assert line.startswith("FAIL device") and advice in line
    assert json.loads((tmp_path / "table.json").read_text())["passed"] is False


def test_the_port_on_the_cpu(tmp_path, capsys):
    """All checks except those of VGG-16, Caffe and the compiler."""
    arguments = ["--port-only", "--cpu", "--nets", "shallow", "--no-compile", "--json", str(tmp_path / "table.json")]
    assert gpu.main(arguments) == 0, capsys.readouterr().out
    table = json.loads((tmp_path / "table.json").read_text())
    cases = {row["case"] for row in table["rows"] if row["passed"]}
    names = ("layers", "gradients, median", "scores", "bf16", "losses of 1", "update, median")
    assert cases == {f"shallow {name}" for name in names}


@pytest.mark.parametrize("device", ["foo", "xpu", "cpu", "", "cuda:", "cuda:x"])
def test_a_device_that_is_no_gpu(device, capsys):
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--port-only", "--device", device])
    assert ended.value.code == 2
    assert f"expected cuda or cuda:N, got {device!r}" in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_said_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "run_checks", lambda *_: pytest.fail("ran the checks"))
    for path in (tmp_path, tmp_path / "none" / "table.json", "/proc/table.json"):
        with pytest.raises(SystemExit) as ended:
            gpu.main(["--port-only", "--json", str(path)])
        assert ended.value.code == 2
        assert f"--json {path}: expected a file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_image_can_have(no_gpu, monkeypatch, capsys):
    def refuse(*_):
        raise docker.errors.APIError("400", explanation="invalid reference format")

    monkeypatch.setattr(gpu.engine, "answering", lambda: object())
    monkeypatch.setattr(gpu.build, "labels", refuse)
    assert gpu.main(["--image", "A B"]) == 1
    assert "the image A B" in (line := lines(capsys)[1]) and "invalid reference format" in line


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'H200, 570.1, 143771 MiB, 9.0'", ["H200, 570.1, 143771 MiB, 9.0"]),
        ("case $1 in *compute_cap*) exit 2;; esac; echo 'K80, 460.1, 11441 MiB'", ["K80, 460.1, 11441 MiB"]),
        ("exit 9", []),
        ("exec sleep 60", []),
    ],
)
def test_what_nvidia_smi_says(script, expected, tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(gpu, "SMI_TIMEOUT", 0.5 if "sleep" in script else 20)
    assert gpu.devices() == expected
