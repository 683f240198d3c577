"""caffe_ref/python2 runs Python 2 source with the results of Python 2.

CPython 2.7.18 (bullseye's python2.7) with numpy 1.16.6 printed python2/answers.json for python2/sample.py2:
    docker run -v DIR:/p debian:bullseye-slim sh -c \
        'apt-get update && apt-get install -y python2.7 && PYTHONPATH=/p/numpy python2.7 /p/sample.py2'
DIR has sample.py2 and the unpacked wheel (pip download --python-version 27 --abi cp27mu numpy==1.16.6).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_client import Live

pytest.importorskip("lib2to3", reason="this Python no longer ships lib2to3; the container's does")
ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).resolve().parent / "python2" / "sample.py2"
ANSWERS = json.loads(SAMPLE.with_name("answers.json").read_text())
PROMOTED = {"np float", "np int right"}  # numpy 2 gives a scalar of another type with the same value
RUNNER = "import sys\nfrom caffe_ref.python2 import hook, run\nhook.install()\nsys.exit(run.main(sys.argv[1:]))"


def python2(path, *arguments, stdin=subprocess.DEVNULL, timeout=60):
    """Run a script as `python` of the image does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "RANKIQA_ROOT": str(path.parent)}
    command = [sys.executable, "-c", RUNNER, str(path), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=stdin, timeout=timeout, cwd=path.parent
    )


def script(folder, text, name="script.py"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1") if isinstance(text, str) else text)
    return path


def results(output):
    return json.loads(output[output.index("{") :])


@pytest.fixture(scope="module")
def ours():
    done = python2(SAMPLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("one two\n('a', 1)\na b\n") or done.stdout.startswith("one two \n('a', 1)\na b\n")
    assert "to stderr 0\n" in done.stderr
    return results(done.stdout)


@pytest.mark.parametrize("name", ANSWERS)
def test_as_python_2(ours, name):
    if name in PROMOTED and int(np.__version__.split(".")[0]) >= 2:
        assert ours[name][1] == ANSWERS[name][1]
    else:
        assert ours[name] == ANSWERS[name]


def test_in_the_container(caffe, tmp_path):
    """With the container's Python 3.9 and numpy 1.19 every answer is equal, including its type."""
    if not isinstance(caffe, Live):
        pytest.skip("needs the container")
    shutil.copy(SAMPLE, tmp_path)
    assert results(caffe.run(["python", SAMPLE.name], tmp_path)) == ANSWERS


def test_true_division_where_the_file_asks_for_it(tmp_path):
    done = python2(
        script(tmp_path, "from __future__ import division, print_function\nn = 7\nn /= 2\nprint(n, 1 / 2)\n")
    )
    assert done.stdout == "3.5 0.5\n"


def test_lines_in_tracebacks(tmp_path):
    """Line numbers and text in tracebacks are those of the file, although fixers add and split lines."""
    text = (
        "import itertools, urllib\r\nimport StringIO\r\nclass M:\r\n    __metaclass__ = type\r\n\r\n"
        "    def go(self):\r\n        print 'in', \\\r\n            1 / 2\r\n"
        "        return 1 / 0 # here\r\n\r\nM().go()"
    )
    path = script(tmp_path, text)
    done = python2(path)
    assert done.returncode == 1
    trace = done.stderr.splitlines()
    at = trace.index(f'  File "{path}", line 9, in go')
    assert trace[at + 1].strip() == "return 1 / 0 # here"
    assert f'  File "{path}", line 11, in <module>' in trace
    assert "run.py" not in done.stderr
    assert trace[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("print 'a'\nif True\n    pass\n", 2),
        ("x = (1,\n", 2),
        ("import StringIO, urllib\ndef f():\n    return = 1\n", 3),
    ],
)
def test_syntax_errors_name_file_and_line(tmp_path, text, line):
    path = script(tmp_path, text)
    done = python2(path)
    assert done.returncode == 1
    assert f'File "{path}", line {line}' in done.stderr


def test_bytes_of_any_encoding(tmp_path):
    """A Latin-1 comment and a list with a name that is not UTF-8 keep their bytes."""
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.bmp  1\r\nb.bmp 2\n")
    path = script(
        tmp_path,
        "# caf\xe9\nlines = [l.rstrip('\\n') for l in open('list.txt')]\nprint len(lines), repr(lines[1])\n"
        "f = open('copy.txt', 'w')\nf.write('\\n'.join(lines) + '\\n')\nf.close()\n",
    )
    done = python2(path)
    assert done.stdout == "2 'b.bmp 2'\n", done.stderr
    assert (tmp_path / "copy.txt").read_bytes() == (tmp_path / "list.txt").read_bytes()


def test_imports_of_a_package(tmp_path):
    """Relative imports without a dot, absolute ones and a package's __init__ work; no file is written."""
    script(tmp_path, "import inner\nfrom sub import half\nVALUE = half(9), inner.half(7)\n", "pack/__init__.py")
    script(tmp_path, "def half(n):\n    print 'half of', n\n    return n / 2\n", "pack/inner.py")
    script(tmp_path, "from pack.inner import half\n", "pack/sub/__init__.py")
    path = script(tmp_path, "import sys\nimport pack\nprint pack.VALUE, sys.argv[1:], __name__\nsys.exit(3)\n")
    before = sorted(tmp_path.rglob("*"))
    done = python2(path, "an", "argument")
    assert done.stdout == "half of 9\nhalf of 7\n(4, 3) ['an', 'argument'] __main__\n", done.stderr
    assert done.returncode == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_modules_elsewhere_are_left_alone(tmp_path):
    script(tmp_path / "other", "HALF = 1 / 2\n", "python3_module.py")
    path = script(
        tmp_path / "root", "import sys\nsys.path.append('../other')\nimport python3_module\nprint python3_module.HALF\n"
    )
    assert python2(path).stdout == "0.5\n"


def test_breakpoint_passes_without_a_terminal(tmp_path):
    path = script(tmp_path, "import pdb\nfor i in range(2):\n    pdb.set_trace()\nprint 'went on'\n")
    read, write = os.pipe()  # open but without data: a debugger that reads it would wait for ever
    done = python2(path, stdin=read)
    os.close(read), os.close(write)
    assert done.returncode == 0
    assert done.stdout == "went on\n"
    assert done.stderr.count(f"{path} line 3: breakpoint passed: no terminal") == 2


POOL = """
import multiprocessing as mtp, os, signal, time
import numpy as np
def work(n):
    if n == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 'fail':
        raise IndexError('tuple index out of range')
    return n / 2
np.random.seed(1)
def draw(n):
    return np.random.randint(1000000)
workers = mtp.Pool(4)
print workers.map(work, range(10))
print len(set(workers.map(draw, range(4), 1))) < 4 or 'one worker took several'
try:
    workers.map(work, ['fail'])
except IndexError, error:
    print 'IndexError', error
for round in range(3):
    pool = mtp.Pool(3)
    try:
        pool.map(work, [1, 'die', 2, 3])
    except RuntimeError, error:
        print error
"""


def test_pool(tmp_path):
    """Workers fork at once with the same random state; map ends with an error when a worker dies."""
    done = python2(script(tmp_path, POOL))
    lines = done.stdout.splitlines()
    assert lines[0] == "[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]", done.stderr
    assert lines[1] in ("True", "one worker took several")
    assert lines[2] == "IndexError tuple index out of range"
    assert lines[3:] == ["a worker process of the data layer died (SIGKILL, most often for lack of memory)"] * 3


@pytest.mark.parametrize("words", [[], ["-c", "print 1"], ["-m", "json"], ["nowhere.py"]])
def test_wrong_commands_are_one_line(words):
    command = [sys.executable, "-c", RUNNER, *words]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "python SCRIPT" in done.stderr or "nowhere.py: No such file" in done.stderr
