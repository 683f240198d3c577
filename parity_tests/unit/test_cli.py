"""The command `rankiqa score`: output, exit status, one line for each error; help and version."""

import csv
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rankiqa
from rankiqa.cli import main


@pytest.fixture
def folder(tmp_path, photograph):
    """A folder with a readable image, two unreadable ones, and a text file."""
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(photograph, images / "b.jpg")
    (images / "a.png").write_text("no image")
    (images / "c.jpg").write_bytes(photograph.read_bytes()[:4000])
    (images / "notes.txt").write_text("no image")
    return images


def run(capsys, *arguments):
    status = main(["score", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    return error.value.code, captured.err


def test_json(capsys, photograph, weights):
    status, out, err = run(capsys, photograph, "--weights", weights, "--json", "--crops", 5, "--seed", 3)
    expected = rankiqa.score(rankiqa.load(weights), rankiqa.read_image(photograph), crops=5, seed=3)
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "path": str(photograph), "score": expected.score, "median": expected.median, "crops": 5, "seed": 3,
    }  # fmt: skip


def test_a_folder_with_bad_images(capsys, folder, weights):
    status, out, err = run(capsys, folder, "--weights", weights, "--json", "--crops", 2)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (1, f"rankiqa: {folder}: ignored 1 other file (notes.txt)\n")
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.jpg", "c.jpg"]
    assert "another kind of file" in rows[0]["error"] and "truncated" in rows[2]["error"]
    assert set(rows[0]) == {"path", "error"}
    assert np.isfinite(rows[1]["score"])


def test_csv_and_table(capsys, folder, weights):
    _, out, _ = run(capsys, folder, folder / "b.jpg", "--weights", weights, "--csv", "--crops", 2)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [bool(row["error"]) for row in rows] == [True, False, True, False]
    assert rows[1] == rows[3]  # b.jpg is given twice
    status, out, err = run(capsys, folder, "--weights", weights, "--crops", 2)
    assert status == 1
    assert len(out.splitlines()) == 1 and out.split()[-1].endswith("b.jpg")
    assert f"{float(rows[1]['score']):.5f}" in out
    assert len(err.splitlines()) == 3 and "a.png: expected" in err


def test_notes_and_strict(capsys, folder, photograph, weights):
    """A row has the key `note` only if the original's reader drops something."""
    Image.open(photograph).convert("L").save(folder / "a.png")
    clear = Image.open(photograph).convert("RGB")
    clear.putalpha(100)
    clear.save(folder / "clear.png")
    arguments = folder / "a.png", folder / "clear.png", "--weights", weights, "--crops", 2
    status, out, _ = run(capsys, *arguments, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and "note" not in rows[0] and rows[1]["note"] == "alpha dropped"
    rows = list(csv.DictReader(io.StringIO(run(capsys, *arguments, "--csv")[1])))
    assert [row["note"] for row in rows] == ["", "alpha dropped"]
    assert run(capsys, *arguments)[1].splitlines()[1].endswith("clear.png  (alpha dropped)")
    status, out, _ = run(capsys, *arguments, "--json", "--strict")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and "PNG: grey" in rows[0]["error"] and "alpha dropped" in rows[1]["error"]


def test_a_score_does_not_depend_on_the_other_images(capsys, folder, photograph, weights):
    Image.open(photograph).rotate(180).save(folder / "d.png")
    alone = run(capsys, folder / "d.png", "--weights", weights, "--json")[1]
    beside = run(capsys, folder, folder / "d.png", "--weights", weights, "--json")[1].splitlines()
    assert beside[-1] == beside[-2] == alone.strip()


def test_too_small(capsys, tmp_path, weights):
    Image.new("RGB", (300, 227)).save(tmp_path / "a.png")
    status, out, _ = run(capsys, tmp_path / "a.png", "--weights", weights, "--json")
    assert status == 1
    assert json.loads(out)["error"] == "expected both sides above 227 pixels (the crop), got 227 x 300 (H x W)"


def test_scores_that_are_not_finite(capsys, photograph, write, tmp_path):
    state = rankiqa.build("shallow").state_dict()
    state["conv1.weight"] = state["conv1.weight"] * 1e30
    state["conv2.weight"] = state["conv2.weight"] * 1e30
    path = write(tmp_path / "w.safetensors", state=state)
    status, out, _ = run(capsys, photograph, "--weights", path, "--json", "--crops", 1)
    assert status == 1
    assert "expected finite scores" in json.loads(out)["error"]


@pytest.mark.parametrize("content", [None, b"", b"no weights", b"\n\x03net\xa2\x06\x08\n\x06conv11" * 99])
def test_bad_weights(capsys, photograph, tmp_path, content):
    path = tmp_path / "w.caffemodel"
    if content is not None:
        path.write_bytes(content)
    status, out, err = run(capsys, photograph, "--weights", path)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1 and err.startswith(f"rankiqa: {path}: expected converted weights")
    assert os.listdir(tmp_path) == ([] if content is None else ["w.caffemodel"])


def test_a_folder_without_images(capsys, tmp_path, weights):
    (tmp_path / "notes.txt").write_text("no image")
    status, out, err = run(capsys, tmp_path, "--weights", weights, "--json")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1 and "expected a folder with images" in err


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_bad_device(capsys, photograph, weights, device):
    status, out, err = run(capsys, photograph, "--weights", weights, "--device", device)
    assert (status, out, len(err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["score", "--weights", "w"], "PATH"),
        ([], "command"),
        (["trian"], "invalid choice"),
        (["train"], "--train"),
        (["score", "a", "--weights", "w", "--crops", "0"], "expected a whole number, 1..100000, got '0'"),
        (["score", "a", "--weights", "w", "--crops", "2.5"], "expected a whole number"),
        (["score", "a", "--weights", "w", "--seed", "-1"], "expected a whole number, 0..4294967295, got '-1'"),
        (["score", "a", "--weights", "w", "--seed", "4294967296"], "expected a whole number"),
        (["score", "a", "--weights", "w", "--json", "--csv"], "not allowed with"),
    ],
)
def test_usage(capsys, arguments, message):
    status, err = fails(capsys, *arguments)
    assert status == 2
    assert message in err


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "rankiqa", *map(str, arguments)], capture_output=True, timeout=120, **options
    )


def test_names_that_are_no_text(tmp_path, photograph, weights):
    path = os.path.join(os.fsencode(tmp_path), b"\xff \xc3\xa9.jpg")
    shutil.copy(photograph, path)
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        for form in ("--json", "--csv", None):
            options = [form] if form else []
            done = command("score", os.fsdecode(path), "--weights", weights, "--crops", 1, *options, env=environment)
            assert (done.returncode, done.stderr) == (0, b"")
            if form == "--json":
                assert os.fsencode(json.loads(done.stdout)["path"]) == path


def test_the_same_bytes_on_each_run(photograph, weights, tmp_path):
    runs = [command("score", photograph, "--weights", weights, "--json", cwd=tmp_path) for _ in range(2)]
    assert runs[0].returncode == 0
    assert runs[0].stdout == runs[1].stdout != b""
    assert os.listdir(tmp_path) == []


def test_a_reader_that_leaves(photograph, weights):
    script = '"$0" -m rankiqa score "$1" "$1" "$1" --weights "$2" --json --crops 1 | head -n 1'
    done = subprocess.run(["bash", "-c", script, sys.executable, photograph, weights], capture_output=True, timeout=120)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def test_help_and_version_without_torch():
    version = importlib.metadata.version("rankiqa")
    begin = time.monotonic()
    done = command("--version")
    assert time.monotonic() - begin < 5  # torch alone takes seconds
    assert done.stdout.decode() == f"rankiqa {version}\n"
    for arguments in (["--help"], ["score", "--help"]):
        code = f"import sys; from rankiqa.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
        code += "sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=60).returncode == 0
