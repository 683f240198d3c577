"""`rankiqa distort`: failed writes, a full disk, killed and stopped processes; the next run completes the set."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lib.distort_command import FEW, tree
from rankiqa.cli import main


def process(images, out, *arguments, **options):
    """Start `rankiqa distort` in a process of its own; options are Popen's."""
    command = [sys.executable, "-m", "rankiqa", "distort", "--set", "live", "--images", images, "--out", out]
    return subprocess.Popen([*map(str, [*command, *arguments])], **options)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def workers_of(parent):
    """Return the worker processes, without multiprocessing's resource tracker."""
    children = psutil.Process(parent.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_result_that_cannot_be_written(small_photographs, tmp_path, distort, undisturbed):
    distort(small_photographs, tmp_path / "out", "--types", "GB")
    shutil.rmtree(tmp_path / "out/GB/GB3")
    (tmp_path / "out/GB/GB3").touch()
    status, summary, err = distort(small_photographs, tmp_path / "out", *FEW)
    assert (status, summary) == (2, None) and "GB3: expected a folder to use, got: File exists" in err
    (tmp_path / "out/GB/GB3").unlink()
    (tmp_path / "out/GB/GB3/cat.bmp/in the way").mkdir(parents=True)
    status, summary, err = distort(small_photographs, tmp_path / "out", *FEW)
    assert status == 1 and "GB3/cat.bmp: expected a file that can be written, got: Is a directory" in summary["error"]
    assert summary["error"] in err
    shutil.rmtree(tmp_path / "out/GB/GB3/cat.bmp")
    assert distort(small_photographs, tmp_path / "out", *FEW)[0] == 0
    assert tree(tmp_path / "out") == undisturbed


def test_a_disk_that_is_full(small_photographs, tmp_path, undisturbed):
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    code = limit + "from rankiqa.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["distort", "--set", "live", "--images", small_photographs, "--out", tmp_path / "out", *FEW, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, timeout=120)
    assert done.returncode == 1 and "File too large" in json.loads(done.stdout)["error"]
    assert b"Traceback" not in done.stderr
    assert all(undisturbed[path] == data for path, data in tree(tmp_path / "out").items())
    assert main(list(map(str, arguments))) == 0
    assert tree(tmp_path / "out") == undisturbed


def test_a_worker_that_is_killed(small_photographs, tmp_path, undisturbed):
    out = tmp_path / "out"
    parent = process(small_photographs, out, *FEW, "--workers", 2, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    assert len(workers) == 2
    # A worker has its main thread and one that waits for the parent's end
    assert all(worker.num_threads() <= 2 for worker in workers)
    workers[0].kill()
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 1
    # The message names a photograph only if the worker had one; test_worker_pool.py kills workers at a job
    assert b"got one that was killed by signal 9" in err and b"fewer --workers" in err
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert main(["distort", "--set", "live", "--images", str(small_photographs), "--out", str(out), *FEW]) == 0
    assert tree(out) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(small_photographs, tmp_path, undisturbed, number):
    out = tmp_path / "out"
    parent = process(small_photographs, out, *FEW, "--workers", 2, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    begin = time.monotonic()
    os.killpg(parent.pid, number)  # Ctrl-C in a terminal signals the whole process group
    err = parent.communicate(timeout=60)[1].decode()
    assert time.monotonic() - begin < 10
    assert parent.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "rankiqa: stopped; the same command resumes"
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    files = tree(out)
    assert all(undisturbed[path] == data for path, data in files.items() if not path.startswith(".rankiqa/records"))
    assert not list((out / ".rankiqa").glob("run-*"))
    assert main(["distort", "--set", "live", "--images", str(small_photographs), "--out", str(out), *FEW]) == 0
    assert tree(out) == undisturbed


def test_the_current_folder_is_not_the_workers(small_photographs, tmp_path, undisturbed):
    for name in ("numpy.py", "queue.py"):
        (tmp_path / name).write_text("raise SystemExit(f'{__file__} was imported')")
    command = shutil.which("rankiqa", path=str(Path(sys.executable).parent))
    arguments = ["distort", "--set", "live", "--images", small_photographs, "--out", tmp_path / "out", *FEW]
    subprocess.run([command, *map(str, arguments)], check=True, cwd=tmp_path, timeout=120, capture_output=True)
    assert tree(tmp_path / "out") == undisturbed


def test_workers_end_when_their_parent_is_gone(small_photographs, tmp_path):
    out = tmp_path / "out"
    parent = process(small_photographs, out, *FEW, "--workers", 2, stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert (len(gone), alive) == (2, [])
