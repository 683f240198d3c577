"""convert.py as a process of its own: working folders, imports, memory, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from lib.convert_command import arrays_of, model

CONVERSION = Path(__file__).resolve().parents[2] / "conversion"


@pytest.fixture
def shallow(tmp_path):
    return model(tmp_path / "m.caffemodel", arrays_of())


def process(code, *args, **options):
    """Run Python code with `convert` imported in a process of its own; options are those of subprocess.run."""
    code = f"import sys; sys.path.insert(0, {str(CONVERSION)!r}); import convert; {code}"
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def test_from_any_folder_and_without_torch(tmp_path, shallow):
    args = [str(shallow), "--out", "w.safetensors"]
    completed = process("sys.exit(convert.main(sys.argv[1:]) or 3 * ('torch' in sys.modules))", *args, cwd=tmp_path)
    assert completed.returncode == 0 and completed.stderr.endswith("\nw.safetensors: shallow, output fc1_m\n")
    bare = [sys.executable, "-S", "-E", str(CONVERSION / "convert.py"), *args]
    completed = subprocess.run(bare, cwd="/", check=False, capture_output=True, text=True)
    assert completed.returncode and completed.stderr.count("\n") == 1 and "scripts/env" in completed.stderr


def test_memory_stays_near_the_files_size(tmp_path):
    """AlexNet, 227 MB: peak memory of at most 1.6 times the file shows that its numbers are not copied as a whole."""
    source = model(tmp_path / "m.caffemodel", arrays_of("alexnet"))
    code = "s = convert.main(sys.argv[1:]); print(open('/proc/self/status').read()); sys.exit(s)"
    completed = process(code, source, "--out", tmp_path / "w.safetensors")
    assert completed.returncode == 0
    peak = int(completed.stdout.split("VmHWM:")[1].split()[0]) * 1024
    assert peak <= 1.6 * source.stat().st_size


def test_a_terminated_conversion_leaves_nothing(tmp_path, shallow):
    code = "import os, signal; from caffemodel import Blob; "
    code += "Blob.summary = lambda *_: os.kill(os.getpid(), signal.SIGTERM); sys.exit(convert.main(sys.argv[1:]))"
    assert process(code, shallow, "--out", tmp_path / "w.safetensors").returncode == 143
    assert list(tmp_path.iterdir()) == [shallow]


def test_a_full_disk_leaves_nothing(tmp_path, shallow):
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); sys.exit(convert.main(sys.argv[1:]))"
    completed = process(code, shallow, "--out", tmp_path / "w.safetensors")
    assert (completed.returncode, completed.stderr.count("\n")) == (2, 1) and "could not be written" in completed.stderr
    assert list(tmp_path.iterdir()) == [shallow]
