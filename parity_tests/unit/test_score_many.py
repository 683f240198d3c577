"""Scores of many images: equal to those of single calls, for every kind of input."""

import io
import itertools
import json
import os
import sys
import tarfile

import pytest

import rankiqa
from lib.scored_folder import BAD, CROPS, rows_by_name, run
from rankiqa.data.image_sources import ImageSource, paths_of_lines
from rankiqa.scoring import blocked_layout
from rankiqa.scoring.engines import TorchEngine
from rankiqa.scoring.many import ScoreSettings, score_sources


@pytest.fixture(scope="module")
def network(weights):
    return rankiqa.load(weights)


@pytest.mark.parametrize("workers, batch", [(1, 1), (3, 4)])
def test_rows_are_those_of_single_calls(scored_folder, network, expected_rows, workers, batch):
    paths = sorted(scored_folder.iterdir(), reverse=True)
    rows = list(rankiqa.score_many(network, paths, crops=CROPS, workers=workers, batch=batch))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert rows_by_name(rows) == expected_rows
    assert {name for name, row in expected_rows.items() if "error" in row} == set(BAD)
    assert expected_rows["5.png"]["note"] == "alpha dropped"


def test_a_last_pass_of_fewer_crops(scored_folder, network):
    path = scored_folder / "3.png"
    (row,) = rankiqa.score_many(network, path, crops=13, seed=4)
    assert row["score"] == rankiqa.score(network, rankiqa.read_image(path), crops=13, seed=4).score


def test_parts_make_the_whole(scored_folder, network, expected_rows):
    parts = [list(rankiqa.score_many(network, scored_folder, crops=CROPS, shard=(i, 3))) for i in (1, 2, 3)]
    assert rows_by_name(itertools.chain(*parts)) == expected_rows
    assert [len(part) for part in parts] == [4, 3, 3]


def _archive(path, folder, mode):
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, f"inside/{file.name}")
            label = tarfile.TarInfo(f"inside/{file.stem}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(b"7"))
    return path


@pytest.mark.parametrize("suffix, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("txz", "w:xz")])
def test_archives(scored_folder, network, expected_rows, tmp_path, suffix, mode):
    """Archives in WebDataset's form are read; a truncated one gives an error after the scores of its whole images."""
    path = _archive(tmp_path / f"a.{suffix}", scored_folder, mode)
    rows = list(rankiqa.score_many(network, path, crops=CROPS))
    assert rows[0]["path"] == f"{path}/inside/0.png"
    assert rows_by_name(rows) == expected_rows
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    rows = list(rankiqa.score_many(network, path, crops=CROPS))
    assert rows[-1]["path"] == str(path) and "expected a whole tar archive" in rows[-1]["error"]
    assert rows[0] == {"path": f"{path}/inside/0.png", **expected_rows["0.png"]}
    (row,) = rankiqa.score_many(network, tmp_path / "none.tar", crops=CROPS)
    assert row["error"] == "expected a whole tar archive, got: No such file or directory"


def test_globs_and_lists(scored_folder, network, expected_rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink(scored_folder, "images")
    odd = tmp_path / "a [1] 2.png"  # the name of an existing file is not used as a glob
    odd.write_bytes((scored_folder / "1.png").read_bytes())
    rows = list(rankiqa.score_many(network, ["**/[01].png", odd.name, "*.bmp"], crops=CROPS))
    assert [row["path"] for row in rows] == ["images/0.png", "images/1.png", odd.name, "*.bmp"]
    assert rows[2]["score"] == rows[1]["score"]
    assert rows[3]["error"] == "expected a glob that matches images or archives, got none"
    lines = f"images/0.png\n\nimages/2.png 3.5\r\n{odd.name}\nnone.png 1\0images/4.png\n"
    assert list(paths_of_lines(lines.splitlines(True))) == [
        "images/0.png", "images/2.png", odd.name, "none.png", "images/4.png"
    ]  # fmt: skip


def test_reads_no_further_than_it_must(scored_folder, network):
    """Scoring reads only a few images and names ahead."""
    requested = []

    def endless():
        for number in itertools.count():
            requested.append(number)
            yield ImageSource(str(number), str(scored_folder / "0.png"))

    rows = score_sources(TorchEngine(network), endless(), ScoreSettings(crops=1), workers=2, batch=3)
    for number in range(12):
        assert next(rows)["path"] == str(number)
        assert len(requested) <= number + 2 + 3 + 3
    rows.close()


def test_another_layout_that_differs_is_not_used(scored_folder, network, expected_rows, monkeypatch):
    true = blocked_layout.BlockedLayout.__call__
    calls = []

    def wrong(self, x):
        calls.append(1)
        return true(self, x) * 1.0001

    monkeypatch.setattr(blocked_layout.BlockedLayout, "__call__", wrong)
    assert rows_by_name(rankiqa.score_many(network, scored_folder, crops=CROPS)) == expected_rows
    assert calls == [1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "x"}, "mode: expected crops or dense"),
        ({"crops": 0}, "crops: expected 1 or more"),
        ({"crops": 2.5}, "crops: expected 1 or more, got 2.5"),
        ({"crops": "x"}, "crops: expected 1 or more, got 'x'"),
        ({"workers": 0}, "expected 1 or more, got 0, 1"),
        ({"shard": (3, 2)}, r"shard: expected \(i, n\)"),
        ({"engine": "caffe"}, "engine: expected torch, "),
        ({"precision": "int8"}, "precision: expected fp32 or bf16"),
    ],
)
def test_wrong_settings(scored_folder, network, options, message):
    with pytest.raises(ValueError, match=message):
        rankiqa.score_many(network, scored_folder, **options)


def test_command_line(scored_folder, weights, expected_rows, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{scored_folder}/0.png\n{scored_folder}/2.png 40\n"))
    assert run("-", "--weights", weights, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows_by_name(rows) == {name: expected_rows[name] for name in ("0.png", "2.png")}
    assert run(f"{scored_folder}/*.jpg", "--weights", weights, "--json", "--shard", "1/2") == 1
    for words, message in [
        ([f"{scored_folder}/*.bmp"], "expected a glob that matches"),
        ([scored_folder, "--resume"], "--resume: expected --out FILE"),
        ([scored_folder, "--format", "parquet"], "--format parquet: expected --out FILE"),
        ([scored_folder, "--out", scored_folder], "expected a file to write, got a folder"),
    ]:
        assert run(*words, "--weights", weights) == 2
        assert message in capsys.readouterr().err
