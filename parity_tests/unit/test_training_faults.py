"""Faults during a training: no finished iteration is lost, and one line names the fault and how to resume."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import torch
from PIL import Image

from lib.shallow_trainings import (
    arguments,
    error_line,
    last_snapshot,
    same_end,
    trainer,
    write_images,
)
from rankiqa.cli import main
from rankiqa.data import atomic_files, minibatches
from rankiqa.training.trainer import Trainer

SPOILT = {
    "gone": (lambda path: path.unlink(), "expected an image, got no such file"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:90000]), "expected"),
    "small": (lambda path: Image.new("RGB", (20, 20)).save(path), "expected both sides above 227"),
}


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", SPOILT)
def test_an_image_that_goes_bad(images, tmp_path, capsys, monkeypatch, how, workers):
    """A bad image during training gives a snapshot of the last iteration and an error with the file's name.

    log.txt has the error, too. After the image is repaired, the resumed run ends like an undisturbed one.
    """
    assert main(arguments(images, tmp_path / "whole")) == 0
    kept = tmp_path / "kept"
    shutil.copytree(images, kept)
    spoil, words = SPOILT[how]
    original = Trainer.forward_backward

    def spoiling(self):
        if self.iteration == 5:
            for path in images.glob("*.bmp"):
                spoil(path)
        return original(self)

    monkeypatch.setattr(Trainer, "forward_backward", spoiling)
    out = tmp_path / "out"
    capsys.readouterr()
    line = error_line(capsys, arguments(images, out, "--workers", workers), status=1)
    monkeypatch.setattr(Trainer, "forward_backward", original)
    assert f"{images}/" in line and words in line and "worker process" not in line
    assert line in (out / "log.txt").read_text()
    iteration = int(last_snapshot(out).stem.rpartition("_")[2])
    assert (
        iteration >= 5
        and f"--resume continues from {last_snapshot(out)}" in line
        and f"at iteration {iteration};" in line
    )
    shutil.copytree(kept, images, dirs_exist_ok=True)
    assert main(arguments(images, out, "--resume", "--workers", workers)) == 0
    assert same_end(out, tmp_path / "whole")


def test_a_worker_that_is_killed(images, tmp_path, capsys, monkeypatch):
    """A worker is killed, as the system does when memory runs out: one line, a snapshot, and the same end."""
    assert main(arguments(images, tmp_path / "whole")) == 0
    original = Trainer.forward_backward

    def killing(self):
        if self.iteration == 3:
            for child in psutil.Process().children():
                child.kill()
        return original(self)

    monkeypatch.setattr(Trainer, "forward_backward", killing)
    out = tmp_path / "out"
    capsys.readouterr()
    line = error_line(capsys, arguments(images, out, "--workers", 2), status=1)
    assert "a process that reads images has ended; out of memory?" in line
    assert last_snapshot(out) is not None
    monkeypatch.setattr(Trainer, "forward_backward", original)
    assert main(arguments(images, out, "--resume")) == 0
    assert same_end(out, tmp_path / "whole")


@pytest.mark.parametrize("event", ["on_loss", "on_test_start", "on_test_end"])
def test_an_interrupt_at_any_event(images, tmp_path, monkeypatch, event):
    """After KeyboardInterrupt, as in a notebook, a run can continue from the end of the last iteration."""
    whole = trainer(images)
    whole.run()
    broken = trainer(images, tmp_path)
    calls = []

    def interrupt(self, trainer, *_):
        calls.append(trainer.iteration)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(f"rankiqa.training.callbacks.CaffeLog.{event}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    monkeypatch.undo()
    again = trainer(images)
    again.restore(last_snapshot(tmp_path))
    for run in (again, broken):  # from the file, and in the same process
        run.run()
        assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), whole.model.parameters(), strict=True))


def test_an_update_that_is_broken_off_makes_no_snapshot(images, tmp_path, monkeypatch):
    broken = trainer(images, tmp_path)
    monkeypatch.setattr(broken.optimizer, "step", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert last_snapshot(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_whole_group(images, tmp_path, number):
    """Ctrl-C reaches the workers, too: the training stops cleanly, and the resumed run has the same end."""
    assert main(arguments(images, tmp_path / "whole", max_iter=16, snapshot=0)) == 0
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rankiqa", *arguments(images, out, "--workers", "2", max_iter=16, snapshot=0)]
    # Child processes inherit ignored signals, such as those of a pytest under nohup or in the background
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("Iteration 2 "):
            break
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err
    iteration = last_snapshot(out).stem.rpartition("_")[2]
    assert f"rankiqa: stopped; at iteration {iteration}; --resume continues from" in err
    assert main(arguments(images, out, "--resume", max_iter=16, snapshot=0)) == 0
    assert same_end(out, tmp_path / "whole")


def test_a_full_disk(images, tmp_path, capsys, monkeypatch):
    """The error names the last complete snapshot, and no partial one remains."""
    out = tmp_path / "out"
    real = os.replace

    def full(source, target):
        if "iter_8" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)
    line = error_line(capsys, arguments(images, out), status=1)
    assert "No space left on device" in line and f"--resume continues from {out}/live-ft_iter_4.safetensors" in line
    assert sorted(path.name for path in out.iterdir()) == ["live-ft_iter_4.safetensors", "log.txt", "settings.json"]
    monkeypatch.undo()
    assert main(arguments(images, out, "--resume")) == 0


def test_files_that_may_not_grow(images, tmp_path):
    """The system refuses to write a snapshot (RLIMIT_FSIZE)."""
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "rankiqa", *arguments(images, out)], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)),
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1] and "there is no snapshot yet" in done.stderr
    assert not list(out.glob("*.safetensors")) and not list(out.glob(".*"))


@pytest.mark.parametrize("error", [RuntimeError("killed\nby signal"), ConnectionResetError("reset"), EOFError()])
def test_each_way_in_which_a_worker_s_end_is_seen(images, error, monkeypatch):
    """Which error occurs depends on what the worker was sending when it was killed."""

    def ended(loader):
        raise error
        yield

    monkeypatch.setattr(minibatches, "_started", ended)
    run = trainer(images, workers=1)
    with pytest.raises(minibatches.DataError, match="a process that reads images has ended") as raised:
        run.run(1)
    assert str(raised.value).endswith(f"({(str(error) or 'EOFError').splitlines()[0]})")


def test_no_handler_of_a_worker_is_left(images):
    """PyTorch's SIGCHLD handler must not remain: it would raise an exception in the middle of an update."""
    before = signal.getsignal(signal.SIGCHLD)
    running = trainer(images, workers=1)
    running.run(1)
    assert signal.getsignal(signal.SIGCHLD) == before
    batches = minibatches.minibatches(
        running.lists["train"], running.task.order(running.lists["train"], 0, running.quirks),
        spec=running.model.input_spec, seed=0, workers=1,
    )  # fmt: skip
    thread = threading.Thread(target=next, args=(batches,))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
