"""If one of several ranks fails or starts unlike the others, every rank ends, and one line says why."""

import os
import re
import socket
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image

from rankiqa.cli import main
from rankiqa.training.distributed import Ranks, process_group

SETTINGS = {"list_groups": 3, "groups": 3, "levels": 2, "images": 1, "max_iter": 4, "snapshot": 2, "display": 1,
            "test_interval": 0, "base_lr": 1e-7}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with lists of three distortions, two levels and two images each; in damaged.txt the last are damaged."""
    folder = tmp_path_factory.mktemp("images")
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 64, (228, 230, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    data = bytearray((folder / "11.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "damaged.png").write_bytes(data)
    names = [f"{n}.png" for n in range(12)]
    for name, listed in (("list", names), ("damaged", [*names[:8], *["damaged.png"] * 4])):
        (folder / f"{name}.txt").write_text("".join(f"{image} {n}\n" for n, image in enumerate(listed)))
    return folder


def _by_ranks(size, line):
    """Run `rankiqa` in each of several ranks and return their (exit status, lines of rankiqa's).

    line: a function of a rank's number that returns its arguments.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
              "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # fmt: skip
    runs = [
        subprocess.Popen([sys.executable, "-m", "rankiqa", *line(n)], env={**os.environ, **common, "RANK": str(n)},
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for n in range(size)
    ]  # fmt: skip
    try:
        texts = [run.communicate(timeout=240)[1] for run in runs]
    finally:
        for run in runs:
            run.kill()
    return [(run.returncode, re.findall("rankiqa: .*", text)) for run, text in zip(runs, texts, strict=True)]


def _line(images, out, name="list", *words):
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    return ["train", "live-rank", "--arch", "shallow", "--train", str(images / f"{name}.txt"), "--root", str(images),
            "--seed", "5", *settings, "--out", str(out), *words]  # fmt: skip


def test_an_image_of_one_rank(images, tmp_path):
    """The log has that rank's reason, not the errors of the other ranks' collective operations."""
    out = tmp_path / "out"
    first, second, third = _by_ranks(3, lambda _: _line(images, out, "damaged"))
    assert [status for status, _ in (first, second, third)] == [1, 1, 1]
    reason = f"{images}/damaged.png: expected a whole image that OpenCV decodes, got a PNG that is corrupt or truncated"
    assert len(first[1]) == len(third[1]) == 1 and second[1] == []
    assert first[1][0].startswith(f"rankiqa: rank 2: {reason}")
    assert first[1][0].endswith(f"at iteration 0; --resume continues from {out / 'live-rank_iter_0.safetensors'}")
    assert third[1][0].startswith(f"rankiqa: {reason}") and third[1][0].endswith("(rank 2)")
    assert (out / "log.txt").read_text().endswith(f"{first[1][0]}\n")


def test_what_all_ranks_find_is_said_once(images, tmp_path):
    found = _by_ranks(4, lambda _: _line(images, tmp_path / "out"))
    assert [status for status, _ in found] == [2] * 4
    said = [line for _, lines in found for line in lines]
    assert said == ["rankiqa: expected at most 3 ranks, the groups of a minibatch, got 4"]


def test_folders_that_are_not_shared(images, tmp_path):
    """A rank without the snapshot is refused; it would start from other weights."""
    outs = [tmp_path / "one", tmp_path / "another"]
    assert main(_line(images, outs[0], "list", "--set=max_iter=2")) == 0
    before = (outs[0] / "live-rank_iter_2.safetensors").stat()
    found = _by_ranks(2, lambda number: _line(images, outs[number], "list", "--resume", "latest"))
    assert [status for status, _ in found] == [1, 1]
    ((said,),) = [lines for _, lines in found if lines]
    assert re.search(r"expected ranks that start alike .* got rank 1 with another iteration: expected 2, got 0", said)
    after = (outs[0] / "live-rank_iter_2.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_first_rank_may_take_its_time(monkeypatch):
    """Only the first rank checks the lists' images; torch's own timeouts are 10 (nccl) and 30 minutes."""
    asked = {}
    monkeypatch.setattr(dist, "rendezvous", lambda _: iter([(dist.HashStore(), 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **options: asked.update(options))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with process_group(Ranks(0, 2), torch.device("cpu")):
        assert asked["timeout"] >= timedelta(hours=12)
