"""Fixtures and helpers of the tests of `rankiqa lists`: whole data sets on disk, the command, and its lists.

unit/conftest.py imports the fixtures, so every unit test can ask for them.
"""

import json
import os
import shutil
from pathlib import Path

import datasets_on_disk as on_disk
import pytest

from rankiqa.cli import main
from rankiqa.datasets import clive, csiq, kadid10k, koniq10k, live, mlive, spaq, tid2013
from rankiqa.datasets.ranked_types import SETS as RANKED

NAMES = [f"{n:05}" for n in range(11)]  # stems of the pristine images; the first int(0.8 * 11) = 8 train
READERS = {module.SET.name: module for module in (live, tid2013, csiq, mlive, kadid10k, koniq10k, clive, spaq)}
MAKERS = {
    "ft-live": on_disk.live_release2, "ft-tid2013": on_disk.tid2013, "csiq": on_disk.csiq, "mlive": on_disk.mlive_set,
    "kadid10k": on_disk.kadid10k, "koniq10k": on_disk.koniq10k, "clive": on_disk.clive, "spaq": on_disk.spaq,
    **{
        name: lambda root, ranked=ranked: on_disk.ranked(root, ranked.types, ranked.levels, NAMES)
        for name, ranked in RANKED.items()
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def data_set(tmp_path_factory):
    """data_set(name) -> a folder with the whole data set, which is made once and which tests must not change."""
    root, folders = tmp_path_factory.mktemp("data_sets"), {}

    def folder_of(name):
        if name not in folders:
            folders[name] = MAKERS[name](root / name.removeprefix("ft-").replace("-", "_"))
        return folders[name]

    return folder_of


@pytest.fixture
def copy_data_set(data_set, tmp_path):
    """copy_data_set(name) -> a copy that a test may change; the empty images are hard links."""

    def copy(source, target):
        (shutil.copyfile if os.path.getsize(source) else os.link)(source, target)

    return lambda name: shutil.copytree(data_set(name), tmp_path / name, copy_function=copy)


@pytest.fixture
def make_lists(data_set, tmp_path, capsys):
    """make_lists(name, *options) -> the summary that the command prints; the lists are in tmp_path."""

    def make(name, *options, folder=None):
        words = ["lists", name, str(folder or data_set(name)), "--out", str(tmp_path), "--json", *map(str, options)]
        status = main(words)
        captured = capsys.readouterr()
        assert (status, captured.err) == (0, "")
        summary = json.loads(captured.out)
        assert summary == json.loads((tmp_path / f"{summary['name']}_lists.json").read_text())
        return summary

    return make


@pytest.fixture
def refuse_lists(data_set, tmp_path, capsys):
    """refuse_lists(name, *options) -> the only line on stderr, after a check that nothing was written."""

    def refuse(name, *options, folder=None):
        folder = str(folder or data_set(name))
        status = main(["lists", name, folder, "--out", str(tmp_path / "none"), *map(str, options)])
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, "")
        assert not (tmp_path / "none").exists()
        assert captured.err.count("\n") == 1 and captured.err.startswith("rankiqa: ")
        return captured.err

    return refuse


def run_lists(capsys, tmp_path, name, folder, *options):
    """Run `rankiqa lists` into tmp_path/out, check that an error writes nothing, and return (status, stderr)."""
    status = main(["lists", name, str(folder), "--out", str(tmp_path / "out"), *options])
    captured = capsys.readouterr()
    if status:
        assert captured.err.count("\n") == 1 and captured.err.startswith("rankiqa: "), captured.err
        assert captured.out == "" and not (tmp_path / "out").exists()
    return status, captured.err


def lines(summary, side):
    """Return the lines of one side's list."""
    return Path(summary["files"][side]["path"]).read_text().splitlines()


def ranked_lines(folder, types, levels, worst_first, names):
    """Return the lines that a ranked set's list must have, type by type and level by level."""
    expected = []
    for kind in types:
        suffix = {"JPEG": ".jpg", "JP2K": ".jp2"}.get(kind, ".bmp")
        folders = [(f"{folder}/{kind}/{kind}{level}", suffix) for level in range(1, levels + 1)]
        folders = [*folders[::-1], (f"{folder}/pristine_images", ".bmp")]
        if not worst_first:
            folders = folders[::-1]
        expected += [f"{place}/{name}{end} {n:6.2f}" for n, (place, end) in enumerate(folders) for name in names]
    return expected
