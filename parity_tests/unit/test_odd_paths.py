"""Model files under names of every kind: pipes, devices, too long or not UTF-8; nothing waits for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

import rankiqa
from caffemodel import SolverState, array_blob, write_solverstate
from lib.convert_command import arrays_of, model, run, whole_model
from lib.time_limit import time_limit
from nets import net
from prototxt import to_text
from rankiqa.models.network import Network
from rankiqa.models.state_files import read_state
from rankiqa.training.initial_weights import arch_of
from rankiqa_convert.file_digest import FileDigest

CONVERT = Path(__file__).resolve().parents[2] / "conversion" / "convert.py"
LONG = "a" * 300
HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a caffemodel, its weights and a pipe that nobody writes to."""
    monkeypatch.chdir(tmp_path)
    model(Path("m.caffemodel"), arrays_of())
    os.mkfifo("pipe")
    return tmp_path


def test_a_pipe_is_refused_and_not_waited_for(here, capsys):
    assert run(capsys, "m.caffemodel", "--out", "w.safetensors")[0] == 0
    for arguments in (
        ("pipe", "--out", "new.safetensors"),
        ("inspect", "pipe"),
        ("w.safetensors", "--to", "caffemodel", "--like", "pipe", "--out", "new.caffemodel"),
        ("m.caffemodel", "--net", "pipe", "--out", "new.safetensors"),
    ):
        with time_limit(30):
            status, _, said = run(capsys, *arguments)
        assert (status, said.count("\n")) == (2, 1) and "pipe: expected a model file, got a device or a pipe" in said
    assert not list(here.glob("*new*"))


def test_the_port_waits_for_no_pipe(here):
    code = "import sys, rankiqa; from rankiqa.models.state_files import read_state as read; "
    code += (
        "from rankiqa.training.initial_weights import arch_of; from pathlib import Path; assert not arch_of('pipe')\n"
    )
    code += (
        "for call in (rankiqa.load, lambda p: read(Path(p))):\n try: call('pipe')\n except ValueError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=HERE)
    assert done.stdout.count("got a device or a pipe\n") == 2, done.stderr


def test_names_that_no_file_can_have(here, capsys):
    assert run(capsys, "m.caffemodel", "--out", "w.safetensors")[0] == 0
    for arguments in (
        ("m.caffemodel", "--out", f"{LONG}.safetensors"),
        (LONG, "--out", "new.safetensors"),
        ("inspect", LONG),
        ("w.safetensors", "--to", "caffemodel", "--like", LONG, "--out", "new.caffemodel"),
        ("\ud800", "--out", "new.safetensors"),
    ):
        status, text, error = run(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1), error
    for name in (LONG, "a\0b", "\ud800"):
        with pytest.raises(ValueError, match="no such file"):
            rankiqa.load(name)
        with pytest.raises(ValueError, match="no such file"):
            read_state(Path(name))
        assert arch_of(name) is None
        digest = FileDigest(Path(name))
        with pytest.raises((OSError, ValueError)):
            digest.hexdigest()


def test_a_folder_with_weights_alone_is_one_of_save_pretrained(here, capsys):
    """huggingface_hub removes config.json before it saves: a save that fails must not take the old weights away."""
    rankiqa.build("shallow").save_pretrained("folder")
    Path("folder/config.json").unlink()
    assert isinstance(rankiqa.load("folder"), Network)


def test_convert_py_ends_on_one_line_whatever_the_system_says(here):
    """A full disk under stdout, and a reader that left: as under `rankiqa convert`."""
    command = f"exec {sys.executable} {CONVERT} inspect m.caffemodel --json >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=HERE)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr


def test_a_name_that_is_not_utf8_does_not_spoil_the_weights(here, capsys):
    """The weights file names its source, and JSON has no such bytes: the file was written, and could not be read."""
    odd = os.fsdecode(b"m\xff\xe9.caffemodel")
    whole_model(Path(odd), like="live-rank")
    prototxt = Path(os.fsdecode(b"n\xff.prototxt"))
    prototxt.write_text(to_text(net("shallow", "rank", "live", "deploy")))
    status, _, error = run(capsys, odd, "--net", prototxt, "--out", "w.safetensors")
    assert status == 0, error
    metadata = safe_open("w.safetensors", framework="numpy").metadata()
    assert (metadata["source_name"], metadata["structure"]) == (
        r"m\xff\xe9.caffemodel",
        r"checked against n\xff.prototxt",
    )
    assert isinstance(rankiqa.load("w.safetensors"), Network)
    state = Path(os.fsdecode(b"s\xff.solverstate"))
    history = [array_blob(a) for pair in arrays_of().values() for a in pair]
    write_solverstate(SolverState(7, "m.caffemodel", 1, history), state)
    assert run(capsys, state, "--out", "s.safetensors")[0] == 0
    assert isinstance(rankiqa.load("s.safetensors"), Network)
    before = sorted(here.iterdir())
    for suffix in ("", ".h5"):  # the state would have to name its model
        back = os.fsdecode(b"b\xff.solverstate") + suffix
        status, _, error = run(capsys, "s.safetensors", "--to", "solverstate", "--like", "live-rank", "--out", back)
        assert (status, error.count("\n")) == (2, 1) and "expected a path in UTF-8" in error
    assert sorted(here.iterdir()) == before


def test_weights_that_may_not_be_read(here, capsys, monkeypatch):
    """safetensors says that there is no such file."""
    assert run(capsys, "m.caffemodel", "--out", "w.safetensors")[0] == 0
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(ValueError, match=r"w\.safetensors: .* got a file that may not be read"):
        rankiqa.load("w.safetensors")
