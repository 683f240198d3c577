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
        and f"--resume goes on from {last_snapshot(out)}" in line
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
    assert f"rankiqa: stopped; at iteration {last_snapshot(out).stem.rpartition('_')[2]}; --resume goes on from" in err
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
    assert "No space left on device" in line and f"--resume goes on from {out}/live-ft_iter_4.safetensors" in line
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


def test_places_that_cannot_be_written(images, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "expected a folder to write to (--out)" in refused(capsys, arguments(images, tmp_path / "file"))
    assert "expected a folder to write to (--out)" in refused(capsys, arguments(images, tmp_path / "file" / "in"))
    assert "expected a folder to write to (--out)" in refused(capsys, arguments(images, "/proc/none"))
    (tmp_path / "log" / "log.txt").mkdir(parents=True)
    assert "expected a folder to write to (--out)" in refused(capsys, arguments(images, tmp_path / "log"))


def test_two_trainings_in_one_folder(images, tmp_path, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rankiqa", *arguments(images, out, max_iter=10000, snapshot=0)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline()
    assert "got one that is training now" in refused(capsys, arguments(images, out))
    process.kill()
    process.communicate()
    # What an earlier one made is not written over
    assert main(arguments(images, out, max_iter=2)) == 0
    assert "--resume goes on from it; a new training takes another --out" in refused(capsys, arguments(images, out))


def test_files_of_another_kind(images, tmp_path, capsys, write):
    """A caffemodel, weights, a folder, nothing: what it is, and what to do."""
    weights = write(tmp_path / "w.safetensors")
    model = tmp_path / "m.caffemodel"
    model.write_bytes(b"\n\x03net\xa2\x06\x08\n\x06conv11" * 99)
    cases = [
        (["--weights", model], "rankiqa convert MODEL.caffemodel"),
        (["--resume", model], "rankiqa convert P.solverstate --out S.safetensors"),
        (["--resume", weights], f"got only weights: --weights {weights} starts from them"),
        (["--resume", tmp_path], "got a folder"),
        (["--resume", tmp_path / "none"], "got no such file"),
        (["--device", "cuda:77"], "--device cuda:77: expected a device that PyTorch can use, cpu"),
        (["--device", "meta"], "--device meta: expected a device"),
        (["--device", "nowhere"], "--device nowhere: expected a device"),
        (["--set=max_iter=1" + "0" * 400], "max_iter: expected a whole number"),
        (["--set=base_lr=1e999"], "base_lr: expected a number"),
    ]
    for more, words in cases:
        assert words in refused(capsys, arguments(images, tmp_path / "out", *more)), more


@pytest.mark.parametrize("option", ["--workers=-1", "--workers=100000", "--workers=x", "--cache-mb=-1", "--seed=-1"])
def test_numbers_out_of_range(images, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as error:
        main(arguments(images, tmp_path, option))
    assert error.value.code == 2
    assert "expected a whole number, 0.." in capsys.readouterr().err


@pytest.mark.parametrize("base_lr", [1e4, 1e30])
def test_a_loss_that_is_not_finite(images, tmp_path, capsys, base_lr):
    """No snapshot of spoilt weights; the last good one is named."""
    out = tmp_path / "out"
    assert main(arguments(images, out, max_iter=1)) == 0
    path = last(out)
    metadata, training, tensors = snapshots.read(path)
    training["origin"]["settings"]["base_lr"] = base_lr
    history = {k.removeprefix(snapshots.HISTORY): t for k, t in tensors.items() if k.startswith(snapshots.HISTORY)}
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    snapshots.save(path, metadata, own, history, training, tensors[snapshots.RANDOM])
    more = {"base_lr": base_lr, "max_iter": 60, "snapshot": 1}
    line = refused(capsys, arguments(images, out, "--resume", **more), status=1)
    assert "expected a finite loss" in line or "expected finite weights" in line
    assert f"--resume goes on from {last(out)}" in line
    rankiqa.load(last(out))  # refuses what is not finite


def test_resume_compares_what_matters(images, tmp_path, capsys):
    """Every setting that changes a weight is named, and what changes none may change."""
    rank = PRESETS["live-rank"].but(list_groups=1, groups=1, levels=3, images=1, max_iter=1, display=0, test_interval=0)
    found = read_list(images / "list.txt", images)

    def begun(preset, **more):
        return Trainer.from_preset(preset, "shallow", train=found, seed=3, log=lambda line: None, **more)

    path = tmp_path / "s.safetensors"
    first = begun(rank)
    first.run()
    snapshots.take(first, path)
    matters = {"margin": 5.0, "base_lr": 1e-3, "gamma": 0.5, "stepsize": 7, "iter_size": 2, "clip_gradients": 10.0,
               "momentum": 0.5, "weight_decay": 0.1, "ten_times": "all", "test_iter": 3, "images": 2}  # fmt: skip
    for name, value in matters.items():
        with pytest.raises(ValueError, match=f"a run can only be resumed as it began; .*{name}: expected"):
            begun(rank.but(**{name: value})).restore(path)
    with pytest.raises(ValueError, match="quirks sequential"):
        begun(rank, quirks=Quirks(sequential=False)).restore(path)
    with pytest.raises(ValueError, match="products: expected 1, got None"):
        begun(rank, products=CaffeBlas(1)).restore(path)
    with pytest.raises(ValueError, match="expected max_iter of at least its iteration, 1, got 0"):
        begun(rank.but(max_iter=0)).restore(path)
    begun(rank.but(max_iter=5, display=7, snapshot=3)).restore(path)
    # An older snapshot says less of where it began
    metadata, training, tensors = snapshots.read(path)
    del training["origin"]["products"], training["origin"]["settings"]["margin"]
    history = {k.removeprefix(snapshots.HISTORY): t for k, t in tensors.items() if k.startswith(snapshots.HISTORY)}
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    snapshots.save(path, metadata, own, history, training, tensors[snapshots.RANDOM])
    begun(rank.but(margin=5.0)).restore(path)


def test_the_first_settings_are_kept(images, tmp_path):
    out = tmp_path / "out"
    for n, iterations in enumerate((1, 2, 3)):
        assert main(arguments(images, out, *["--resume"] * bool(n), max_iter=iterations)) == 0
    names = ["settings.json", "settings_resumed_1.json", "settings_resumed_2.json"]
    assert [json.loads((out / name).read_text())["preset"]["max_iter"] for name in names] == [1, 2, 3]


def test_damage_anywhere_in_a_snapshot(images, tmp_path, capsys):
    """A byte changed, cut out or put in at any place: refused, by its name, and nothing of it is taken."""
    out = tmp_path / "out"
    assert main(arguments(images, out, max_iter=1)) == 0
    data, path = last(out).read_bytes(), tmp_path / "damaged.safetensors"
    random, one = np.random.default_rng(0), trainer(images)
    before = [parameter.clone() for parameter in one.model.parameters()]
    header = 8 + int.from_bytes(data[:8], "little")
    for case in range(300):
        at = int(random.integers(header if case % 2 else len(data)))
        end = data[at + 1 :]
        changed = [bytes([data[at] ^ 1 << int(random.integers(8))]) + end, end, b"0" + data[at:], b""][case % 4]
        path.write_bytes(data[:at] + changed)
        with pytest.raises(ValueError, match=r"damaged\.safetensors: expected") as error:
            one.restore(path)
        assert "\n" not in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, one.model.parameters(), strict=True))
    path.write_bytes(data)
    one.restore(path)


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
