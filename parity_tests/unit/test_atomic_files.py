"""`atomic_files`: a file is complete or absent, also when several processes write it, and nothing is left behind."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rankiqa.data.atomic_files import check_target, remove_abandoned, replacing, target_of, temporary_name

SIZE = 200_000


def write_slowly(target, letter, turns):
    """Write a file of one letter in pieces, and wait for the other writer before and after the last piece."""
    with replacing(target) as temporary:
        with open(temporary, "wb") as file:
            for _ in range(10):
                file.write(letter * (SIZE // 10))
                file.flush()
        turns.wait(timeout=60)
        assert temporary.read_bytes() == letter * SIZE
        turns.wait(timeout=60)


@pytest.fixture
def ended_process():
    """Return the process id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(process, target):
    """Return the temporary name that a process of this machine uses."""
    return target.with_name(temporary_name(target).name.replace(f"-{os.getpid()}-", f"-{process}-"))


def test_processes_that_write_one_file(tmp_path):
    """Each writes a file of its own; the one that is renamed last stays."""
    target, context = tmp_path / "weights.safetensors", multiprocessing.get_context("spawn")
    turns = context.Barrier(2)
    writers = [context.Process(target=write_slowly, args=(target, letter, turns)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert target.read_bytes() in (b"a" * SIZE, b"b" * SIZE)
    assert os.listdir(tmp_path) == [target.name]


def test_threads_that_write_one_file(tmp_path):
    target, turns = tmp_path / "rows.csv", multiprocessing.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda letter: write_slowly(target, letter, turns), (b"a", b"b")))
    assert target.read_bytes() in (b"a" * SIZE, b"b" * SIZE)
    assert os.listdir(tmp_path) == [target.name]


def test_what_a_killed_process_left_is_removed(tmp_path, ended_process):
    target, other = tmp_path / "a.csv", tmp_path / "b.csv"
    abandoned = [left_by(ended_process, target), left_by(ended_process, other)]
    running = temporary_name(target)
    elsewhere = target.with_name(f".a.csv.{0:08x}-{ended_process}-1.tmp")  # of another machine
    users = tmp_path / ".a.csv.tmp"
    for path in (*abandoned, elsewhere, users):
        path.write_text("x")
    check_target(target)
    assert {path.name for path in (abandoned[1], elsewhere, users)} == set(os.listdir(tmp_path))
    running.write_text("x")
    remove_abandoned(tmp_path)
    assert {path.name for path in (running, elsewhere, users)} == set(os.listdir(tmp_path))
    remove_abandoned(tmp_path / "none")  # nothing to list is no error


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "\udcff" * 255, "a", "a.b\nc.tmp"])
def test_every_name_that_a_file_may_have(tmp_path, name, ended_process):
    target = tmp_path / name
    left_by(ended_process, target).write_text("x")
    left_by(ended_process, tmp_path / ("n" * 254)).write_text("x")
    check_target(target)
    assert len(os.listdir(tmp_path)) == 1
    with replacing(target) as temporary:
        assert len(os.fsencode(temporary.name)) <= 255 and temporary.name.startswith(".")
        temporary.write_text("new")
    assert target.read_text() == "new" and len(os.listdir(tmp_path)) == 2


def test_target_of():
    assert target_of(temporary_name("folder/a.b.png").name) == "a.b.png"
    for name in (".a.tmp", "a.png", ".a.png.0123abcd-1.tmp", ".a.png.0123ABCD-1-1.tmp", "..0123abcd-1-1.tmp"):
        assert target_of(name) is None
