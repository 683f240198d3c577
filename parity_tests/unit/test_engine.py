"""docker/engine.py on a machine without a Docker engine."""

import os
import subprocess
import sys

import pytest

import engine

NO_ENGINE = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def test_a_dead_pid_file_goes_and_a_living_one_stays(tmp_path, monkeypatch):
    file = tmp_path / "docker.pid"
    monkeypatch.setattr(engine, "PID_FILE", file)
    engine.forget_dead_pid()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file.write_text(str(ended.pid))
    engine.forget_dead_pid()
    assert not file.exists()
    file.write_text(str(os.getpid()))
    engine.forget_dead_pid()
    assert file.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ID=debian\n", True), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True), ("ID=fedora\n", False)],
)
def test_debian_and_its_kin(tmp_path, text, expected):
    (tmp_path / "os-release").write_text(text)
    assert engine.is_debian(tmp_path / "os-release") is expected


def test_without_an_engine_and_without_leave_to_install():
    command = [sys.executable, engine.__file__, "--no-install", "--", sys.executable, "-c", "print('ran')"]
    done = subprocess.run(command, env=NO_ENGINE, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "no engine answers" in done.stderr and len(done.stderr.splitlines()) == 1
    command.insert(2, "--optional")
    done = subprocess.run(command, env=NO_ENGINE, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "ran\n"


def test_no_engine_is_started_where_it_would_not_answer(monkeypatch):
    """DOCKER_HOST names another socket than the one of a dockerd that we would start."""
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine.subprocess, "Popen", lambda *_, **__: pytest.fail("started one"))
    monkeypatch.setattr(engine, "apt_install", lambda *_: pytest.fail("installed one"))
    with pytest.raises(engine.NoEngine, match="no engine answers at DOCKER_HOST=unix:///nonexistent"):
        engine.install_and_start()
