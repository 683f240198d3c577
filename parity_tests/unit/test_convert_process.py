"""convert.py as a process of its own: where it runs, what it imports, how much memory it takes, how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_convert import arrays_of, model

CONVERSION = Path(__file__).resolve().parents[2] / "conversion"


@pytest.fixture
def shallow(tmp_path):
    return model(tmp_path / "m.caffemodel", arrays_of())


def process(code, *args, **options):
    """Python code that finds `convert`, in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(CONVERSION)!r}); import convert; {code}"
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def test_from_any_folder_and_without_torch(tmp_path, shallow):
    args = [str(shallow), "--out", "w.safetensors"]
    done = process("sys.exit(convert.main(sys.argv[1:]) or 3 * ('torch' in sys.modules))", *args, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.endswith("\nw.safetensors: shallow, output fc1_m\n")
    bare = [sys.executable, "-S", "-E", str(CONVERSION / "convert.py"), *args]
    said = subprocess.run(bare, cwd="/", check=False, capture_output=True, text=True)
    assert said.returncode and said.stderr.count("\n") == 1 and "scripts/env" in said.stderr


def test_memory_stays_near_the_files_size(tmp_path):
    """AlexNet, 227 MB: the numbers are never copied as a whole."""
    source = model(tmp_path / "m.caffemodel", arrays_of("alexnet"))
    code = "s = convert.main(sys.argv[1:]); print(open('/proc/self/status').read()); sys.exit(s)"
    done = process(code, source, "--out", tmp_path / "w.safetensors")
    assert done.returncode == 0
    peak = int(done.stdout.split("VmHWM:")[1].split()[0]) * 1024
    assert peak <= 1.6 * source.stat().st_size


def test_a_terminated_conversion_leaves_nothing(tmp_path, shallow):
    code = "import os, signal; from caffemodel import Blob; "
    code += "Blob.summary = lambda *_: os.kill(os.getpid(), signal.SIGTERM); sys.exit(convert.main(sys.argv[1:]))"
    assert process(code, shallow, "--out", tmp_path / "w.safetensors").returncode == 143
    assert list(tmp_path.iterdir()) == [shallow]


def test_a_full_disk_leaves_nothing(tmp_path, shallow):
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); sys.exit(convert.main(sys.argv[1:]))"
    done = process(code, shallow, "--out", tmp_path / "w.safetensors")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "could not be written" in done.stderr
    assert list(tmp_path.iterdir()) == [shallow]
