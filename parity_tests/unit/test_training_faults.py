"""A training that meets a fault: nothing done is lost, one line says what is wrong and how to go on."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import rankiqa
from rankiqa.caffe.blas import CaffeBlas
from rankiqa.cli import main
from rankiqa.data import atomic_files, minibatches
from rankiqa.data.image_check import NAMED
from rankiqa.data.lists import read_list
from rankiqa.data.order import Quirks
from rankiqa.training import snapshots
from rankiqa.training.presets import PRESETS
from rankiqa.training.trainer import Trainer

SETTINGS = {"batch": 2, "max_iter": 8, "snapshot": 4, "display": 1, "test_interval": 3, "test_iter": 1, "base_lr": 1e-9,
            "stepsize": 4, "iter_size": 2}  # fmt: skip
PRESET = PRESETS["live-ft"].but(**SETTINGS)
IMAGES = 9


@pytest.fixture
def images(tmp_path):
    """A folder of noise with a list for fine-tuning."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(IMAGES):
        pixels = np.random.default_rng(n).integers(0, 256, (240, 240, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.bmp")
    (folder / "list.txt").write_text("".join(f"{n}.bmp {n}\n" for n in range(IMAGES)))
    return folder


def arguments(images, out, *more, **changes):
    settings = [f"--set={name}={value}" for name, value in {**SETTINGS, **changes}.items()]
    return ["train", "live-ft", "--train", str(images / "list.txt"), "--test", str(images / "list.txt"), "--root",
            str(images), "--out", str(out), "--seed", "3", "--arch", "shallow", *settings, *map(str, more)]  # fmt: skip


def last(out):
    return snapshots.latest(out, "live-ft")


def same_end(out, other):
    ours, theirs = load_file(last(out)), load_file(last(other))
    return last(out).name == last(other).name and all(torch.equal(ours[key], theirs[key]) for key in theirs)


def refused(capsys, arguments, status=2):
    """The one line of a command that ends with a status."""
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rankiqa: ")]
    assert len(lines) == 1, lines
    return lines[0]


def trainer(images, out=None, workers=0, log=None):
    found = read_list(images / "list.txt", images)
    log = log or (lambda line: None)
    return Trainer.from_preset(PRESET, "shallow", train=found, test=found, seed=3, out=out, workers=workers, log=log)


def test_every_listed_image_is_checked_first(images, tmp_path, capsys):
    """Missing, empty, small, a folder, no image: all of them in one error; grey and 16-bit images are none."""
    lines = (images / "list.txt").read_text().splitlines()
    (images / "empty.png").touch()
    Image.new("RGB", (227, 300)).save(images / "small.png")
    (images / "text.jpg").write_text("<html>")
    (images / "folder.png").mkdir()
    Image.new("L", (228, 228)).save(images / "grey.png")
    Image.fromarray(np.zeros((230, 230), np.uint16)).save(images / "deep.png")
    bad = ["none.png", "empty.png", "small.png", "text.jpg", "folder.png"]
    good = ["grey.png", "deep.png"]
    (images / "list.txt").write_text("\n".join([*lines, *(f"{name} 1" for name in bad + good)]) + "\n")
    line = refused(capsys, arguments(images, tmp_path / "out"))
    assert f"{len(bad)} of {IMAGES + len(bad) + len(good)} listed images cannot be used" in line
    for words in ("none.png: expected an image, got no such file", "empty.png: expected an image, got an empty file",
                  "small.png: expected both sides above 227 pixels (the crop), got 300 x 227",
                  "text.jpg: expected an image", "folder.png: expected an image file, got a folder"):  # fmt: skip
        assert words in line
    assert not any(name in line for name in good)
    assert line in (tmp_path / "out" / "log.txt").read_text()
    assert last(tmp_path / "out") is None
    # Of many the first are named
    (images / "list.txt").write_text("\n".join([*lines, *(f"none{n}.png 1" for n in range(50))]) + "\n")
    line = refused(capsys, arguments(images, tmp_path / "out"))
    assert line.count("no such file") == NAMED and line.endswith(f"; and {50 - NAMED} more")
    assert main(arguments(images, tmp_path / "other", "--no-check", max_iter=0, test_interval=0, display=0)) == 0


SPOILT = {
    "gone": (lambda path: path.unlink(), "expected an image, got no such file"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:90000]), "expected"),
    "small": (lambda path: Image.new("RGB", (20, 20)).save(path), "expected both sides above 227"),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", SPOILT)
def test_an_image_that_goes_bad(images, tmp_path, capsys, monkeypatch, how, workers):
    """On the way: a snapshot of the last iteration, the file's name, a line in log.txt; mended, it ends the same."""
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
    line = refused(capsys, arguments(images, out, "--workers", workers), status=1)
    monkeypatch.setattr(Trainer, "forward_backward", original)
    assert f"{images}/" in line and words in line and "worker process" not in line
    assert line in (out / "log.txt").read_text()
    iteration = int(last(out).stem.rpartition("_")[2])
    assert iteration >= 5 and f"--resume continues from {last(out)}" in line and f"at iteration {iteration};" in line
    shutil.copytree(kept, images, dirs_exist_ok=True)
    assert main(arguments(images, out, "--resume", "--workers", workers)) == 0
    assert same_end(out, tmp_path / "whole")


def test_a_worker_that_is_killed(images, tmp_path, capsys, monkeypatch):
    """As the system does when memory ends: one line, a snapshot, and the same end."""
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
    line = refused(capsys, arguments(images, out, "--workers", 2), status=1)
    assert "a process that reads images has ended; out of memory?" in line
    assert last(out) is not None
    monkeypatch.setattr(Trainer, "forward_backward", original)
    assert main(arguments(images, out, "--resume")) == 0
    assert same_end(out, tmp_path / "whole")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_minibatches_read_ahead_are_not_taken(images, tmp_path):
    """With workers, a snapshot's position is that of a run without."""
    for workers in (0, 3):
        trainer(images, tmp_path / str(workers), workers).run(4)
    places = [snapshots.read(last(tmp_path / str(workers)))[1] for workers in (0, 3)]
    assert places[0] == places[1] and places[0]["seen"] == {"train": 8, "test": 2}


@pytest.mark.parametrize("event", ["on_loss", "on_test_start", "on_test_end"])
def test_an_interrupt_at_any_event(images, tmp_path, monkeypatch, event):
    """KeyboardInterrupt in a notebook: back to the last iteration's end, which can be gone on from."""
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
    again.restore(last(tmp_path))
    for one in (again, broken):  # from the file, and in the same process
        one.run()
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), whole.model.parameters(), strict=True))


def test_an_update_that_is_broken_off_makes_no_snapshot(images, tmp_path, monkeypatch):
    broken = trainer(images, tmp_path)
    monkeypatch.setattr(broken.optimizer, "step", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert last(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_whole_group(images, tmp_path, number):
    """Ctrl-C reaches the workers too: the training ends as asked, and goes on to the same end."""
    assert main(arguments(images, tmp_path / "whole", max_iter=16, snapshot=0)) == 0
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rankiqa", *arguments(images, out, "--workers", "2", max_iter=16, snapshot=0)]
    # Ignored signals are inherited: those of a pytest that runs under nohup, or in the background
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
    assert f"rankiqa: stopped; at iteration {last(out).stem.rpartition('_')[2]}; --resume continues from" in err
    assert main(arguments(images, out, "--resume", max_iter=16, snapshot=0)) == 0
    assert same_end(out, tmp_path / "whole")


def test_a_full_disk(images, tmp_path, capsys, monkeypatch):
    """The last whole snapshot is named, and no part of another is left."""
    out = tmp_path / "out"
    real = os.replace

    def full(source, target):
        if "iter_8" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", full)
    line = refused(capsys, arguments(images, out), status=1)
    assert "No space left on device" in line and f"--resume continues from {out}/live-ft_iter_4.safetensors" in line
    assert sorted(path.name for path in out.iterdir()) == ["live-ft_iter_4.safetensors", "log.txt", "settings.json"]
    monkeypatch.undo()
    assert main(arguments(images, out, "--resume")) == 0


def test_files_that_may_not_grow(images, tmp_path):
    """The system's own refusal while a snapshot is being written (RLIMIT_FSIZE)."""
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
    assert "got one in use" in refused(capsys, arguments(images, out))
    process.kill()
    process.communicate()
    # What an earlier one made is not written over
    assert main(arguments(images, out, max_iter=2)) == 0
    assert "--resume continues it; a new training needs another --out" in refused(capsys, arguments(images, out))


def test_files_of_another_kind(images, tmp_path, capsys, write):
    """A caffemodel, weights, a folder, nothing: what it is, and what to do."""
    weights = write(tmp_path / "w.safetensors")
    model = tmp_path / "m.caffemodel"
    model.write_bytes(b"\n\x03net\xa2\x06\x08\n\x06conv11" * 99)
    cases = [
        (["--weights", model], "rankiqa convert MODEL.caffemodel"),
        (["--resume", model], "rankiqa convert P.solverstate --out S.safetensors"),
        (["--resume", weights], f"got weights alone: --weights {weights} starts from them"),
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
    assert f"--resume continues from {last(out)}" in line
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
        with pytest.raises(ValueError, match=f"a run can go on only as it began; .*{name}: expected"):
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
    """Which of them it is depends on what the worker was sending when it was killed."""

    def ended(loader):
        raise error
        yield

    monkeypatch.setattr(minibatches, "_started", ended)
    one = trainer(images, workers=1)
    with pytest.raises(minibatches.DataError, match="a process that reads images has ended") as raised:
        one.run(1)
    assert str(raised.value).endswith(f"({(str(error) or 'EOFError').splitlines()[0]})")


def test_no_handler_of_a_worker_is_left(images):
    """PyTorch's SIGCHLD handler would raise in the middle of an update."""
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
