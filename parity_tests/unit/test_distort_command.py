"""`rankiqa distort`: what it makes, skips, makes again and refuses; the same bytes however it is run."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import rankiqa
from rankiqa.cli import main
from rankiqa.data.photographs import read_photograph
from rankiqa.distortions import DATASETS

FEW = ["--types", "GB,GN", "JPEG"]
FEW_FILES = 16  # a photograph: three types at five levels, and itself


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Three small photographs of different kinds."""
    folder = tmp_path_factory.mktemp("photographs")
    source = Path(__file__).resolve().parents[1] / "photographs"
    for name, suffix in (("cat", "png"), ("moose", "jpg"), ("fig", "bmp")):
        Image.open(source / f"{name}.jpg").convert("RGB").crop((0, 0, 240, 230)).save(folder / f"{name}.{suffix}")
    return folder


@pytest.fixture
def images(photographs, tmp_path):
    return shutil.copytree(photographs, tmp_path / "images")


@pytest.fixture
def distort(capfd):
    """Run the command; returns (status, summary, stderr)."""

    def run(images, out, *arguments, dataset="live"):
        status = main(["distort", "--set", dataset, "--images", str(images), "--out", str(out), "--json",
                       *map(str, arguments)])  # fmt: skip
        captured = capfd.readouterr()
        return status, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture(scope="module")
def undisturbed(photographs, tmp_path_factory):
    """The files of a run that nothing disturbed: {path: bytes}."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert main(["distort", "--set", "live", "--images", str(photographs), "--out", str(out), *FEW]) == 0
    return tree(out)


def tree(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}


def process(images, out, *arguments, **options):
    command = [sys.executable, "-m", "rankiqa", "distort", "--set", "live", "--images", images, "--out", out]
    return subprocess.Popen([*map(str, [*command, *arguments])], **options)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def workers_of(parent):
    """The worker processes, without multiprocessing's process that watches over semaphores."""
    children = psutil.Process(parent.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("dataset", ["live", "tid2013"])
def test_layout_and_pixels(photographs, tmp_path, distort, dataset):
    types = [*list(DATASETS[dataset])[:4], "JPEG", "JP2K"]
    levels = [1, 3]
    status, summary, _ = distort(photographs, tmp_path / "out", "--types", *types, "--levels", "3", "1",
                                 "--seed", 5, dataset=dataset)  # fmt: skip
    types = [name for name in DATASETS[dataset] if name in types]
    assert status == 0
    assert (summary["types"], summary["levels"]) == (types, levels)
    assert summary["made"] == {"photographs": 3, "files": 3 * (len(types) * 2 + 1)}
    found = {path for path in tree(tmp_path / "out") if not path.startswith(".rankiqa")}
    expected = {"settings.json"} | {f"pristine_images/{name}.bmp" for name in ("cat", "moose", "fig")}
    for file in photographs.iterdir():
        pristine = read_photograph(file.read_bytes())
        stored = Image.open(tmp_path / "out" / "pristine_images" / f"{file.stem}.bmp")
        assert stored.mode == "RGB" and np.array_equal(stored, pristine)
        for name in types:
            row = DATASETS[dataset][name]
            for level in levels:
                path = f"{name}/{name}{level}/{file.stem}{row.suffix}"
                expected.add(path)
                key = hashlib.sha256(json.dumps([5, file.stem, name, level]).encode()).digest()
                random = np.random.default_rng(int.from_bytes(key, "big"))
                wanted = rankiqa.distort(pristine, name, level, random, dataset)
                with Image.open(tmp_path / "out" / path) as stored:
                    assert stored.format == {".bmp": "BMP", ".jpg": "JPEG", ".jp2": "JPEG2000"}[row.suffix]
                    assert np.array_equal(stored, wanted)
    assert found == expected


def test_the_default_is_what_the_original_makes_or_lists(photographs, tmp_path, distort):
    pytest.importorskip("bm3d")
    one = tmp_path / "images"
    one.mkdir()
    shutil.copy(photographs / "cat.png", one)
    _, summary, _ = distort(one, tmp_path / "out", "--levels", 1, dataset="tid2013")
    table = DATASETS["tid2013"]
    assert summary["types"] == [name for name in table if table[name].origin in ("upstream", "listed")]
    assert {"MSL", "CCH"} <= set(summary["types"])


def test_each_level_lines_up_with_the_pristine_images(photographs, tmp_path, distort):
    """The original's list generators take the n-th name of each sorted folder as the same picture."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "a c.png", "a.c.d.png", "a-1.png", "A.png", "b_.png"):
        shutil.copy(photographs / "cat.png", images / name)
    status, _, _ = distort(images, tmp_path / "out", "--types", "GB", "JPEG", "JP2K", "--levels", 1)
    assert status == 0
    pristine = [Path(name).stem for name in sorted(os.listdir(tmp_path / "out" / "pristine_images"))]
    assert len(pristine) == 6
    for folder in ("GB/GB1", "JPEG/JPEG1", "JP2K/JP2K1"):
        assert [Path(name).stem for name in sorted(os.listdir(tmp_path / "out" / folder))] == pristine


def test_workers_and_shards_change_nothing(photographs, tmp_path, distort, undisturbed):
    assert len(undisturbed) == 3 * (FEW_FILES + 1) + 2  # records; settings and lock
    distort(photographs, tmp_path / "two", *FEW, "--workers", 2)
    assert tree(tmp_path / "two") == undisturbed
    counts = [distort(photographs, tmp_path / "parts", *FEW, "--shard", f"{i}/3")[1] for i in (3, 1, 2)]
    assert tree(tmp_path / "parts") == undisturbed
    assert sum(summary["photographs"] for summary in counts) == 3
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(photographs / "cat.png", one)
    distort(one, tmp_path / "alone", *FEW, "--workers", 4)
    alone = tree(tmp_path / "alone")
    assert len(alone) == FEW_FILES + 3 and alone.items() <= undisturbed.items()


def test_types_and_levels_may_come_in_several_runs(photographs, tmp_path, distort, undisturbed):
    distort(photographs, tmp_path, "--types", "GN", "--levels", "2,5")
    assert distort(photographs, tmp_path, "--types", "JPEG")[1]["skipped"]["files"] == 3  # the pristine images
    assert distort(photographs, tmp_path, *FEW)[1]["skipped"]["files"] == 3 * (1 + 2 + 5)
    assert tree(tmp_path) == undisturbed


def test_seeds(photographs, tmp_path, distort, undisturbed):
    distort(photographs, tmp_path, *FEW, "--seed", 1)
    made = tree(tmp_path)
    pictures = [path for path in made if not path.startswith(".rankiqa") and path != "settings.json"]
    changed = [path for path in pictures if made[path] != undisturbed[path]]
    assert changed and all(path.startswith("GN/") for path in changed) and len(changed) == 15
    status, summary, err = distort(photographs, tmp_path, *FEW, "--seed", 2)
    assert (status, summary) == (2, None) and "settings.json: seed: expected 2, the value of this run, got 1" in err
    status, _, err = distort(photographs, tmp_path, "--seed", 1, "--types", "GN", dataset="tid2013")
    assert status == 2 and 'set: expected "tid2013"' in err
    assert tree(tmp_path) == made


def test_what_is_right_is_left_and_what_is_wrong_made_again(photographs, tmp_path, distort, undisturbed):
    distort(photographs, tmp_path, *FEW)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in undisturbed}
    (tmp_path / "GB/GB1/cat.bmp").unlink()
    (tmp_path / "GN/GN2/cat.bmp").write_bytes(undisturbed["GN/GN2/cat.bmp"][:-1])
    (tmp_path / "JPEG/JPEG3/fig.jpg").write_bytes(b"")
    (tmp_path / "GB/GB4/fig.bmp").write_bytes(undisturbed["GB/GB5/fig.bmp"])  # of the same size
    assert len(undisturbed["GB/GB4/fig.bmp"]) == len(undisturbed["GB/GB5/fig.bmp"])
    status, summary, _ = distort(photographs, tmp_path, *FEW, "--quick")
    assert (status, summary["made"]) == (0, {"photographs": 2, "files": 3})
    assert summary["skipped"] == {"photographs": 1, "files": 3 * FEW_FILES - 3}
    assert tree(tmp_path) != undisturbed  # --quick looks at sizes
    _, summary, _ = distort(photographs, tmp_path, *FEW)
    assert summary["made"] == {"photographs": 1, "files": 1}
    assert tree(tmp_path) == undisturbed
    after = {path: (tmp_path / path).stat().st_mtime_ns for path in undisturbed}
    touched = {path for path in after if after[path] != before[path]}
    wrong = {"GB/GB1/cat.bmp", "GN/GN2/cat.bmp", "JPEG/JPEG3/fig.jpg", "GB/GB4/fig.bmp"}
    assert wrong <= touched <= wrong | {f".rankiqa/records/{name}.json" for name in ("cat", "fig")} | {".rankiqa/lock"}


def test_it_says_what_it_skipped(photographs, tmp_path, capfd):
    command = ["distort", "--set", "live", "--images", str(photographs), "--out", str(tmp_path), *FEW]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert (
        "made 48 files from 3 photographs" in out
        and "skipped 0 valid files" in out
        and "peak memory of each worker: " in out
    )
    assert "100%" in err and "48/48" in err and "file/s" in err
    assert main(command) == 0
    out = capfd.readouterr().out
    assert (
        "made 0 files" in out
        and "skipped 48 valid files" in out
        and "photographs with all files valid: 3 (cat.png, fig.bmp, moose.jpg)" in out
    )


def test_a_changed_photograph(images, tmp_path, distort, undisturbed):
    distort(images, tmp_path / "out", *FEW)
    Image.open(images / "cat.png").rotate(180).save(images / "cat.png")
    status, summary, _ = distort(images, tmp_path / "out", "--types", "GB")
    assert (status, summary["made"], summary["skipped"]["files"]) == (0, {"photographs": 1, "files": 6}, 12)
    found = tree(tmp_path / "out")
    assert not [path for path in found if path.startswith(("GN", "JPEG")) and "cat" in path]  # of the old photograph
    distort(images, tmp_path / "out", *FEW)
    distort(images, tmp_path / "anew", *FEW)
    assert tree(tmp_path / "out") == tree(tmp_path / "anew") != undisturbed


def test_what_is_no_photograph_is_refused_by_name(images, tmp_path, distort, undisturbed):
    small = Image.open(images / "cat.png").crop((0, 0, 240, 226))
    small.save(images / "small.png")
    (images / "cut.jpg").write_bytes((images / "moose.jpg").read_bytes()[:3000])
    (images / "text.JPG").write_text("a photograph, believe me")
    (images / "empty.bmp").touch()
    (images / "notes.txt").write_text("no image")
    for name in ("twin.png", "twin.bmp"):
        shutil.copy(images / "cat.png", images / name)
    shutil.copy(images / "cat.png", images / ("x" * 245 + ".png"))
    status, summary, err = distort(images, tmp_path / "out", *FEW, "--workers", 2)
    refused = {row["image"]: row["error"] for row in summary["refused"]}
    assert status == 1
    assert sorted(refused) == sorted(
        ["small.png", "cut.jpg", "text.JPG", "empty.bmp", "twin.png", "twin.bmp", "x" * 245 + ".png"]
    )
    assert refused["small.png"] == "expected both sides at least 227 pixels, got 226 x 240 (H x W)"
    assert "truncated" in refused["cut.jpg"] and "empty" in refused["empty.bmp"]
    assert "2 photographs for twin: twin.bmp, twin.png" in refused["twin.png"] == refused["twin.bmp"]
    assert (summary["photographs"], summary["made"]["photographs"]) == (10, 3)
    assert tree(tmp_path / "out") == undisturbed
    last = err.splitlines()[-9:]
    assert last[0] == f"rankiqa: {images}: passed over 1 other file (notes.txt)"
    assert summary["other_files"] == summary["passed_over"]["other"] == 1
    assert {line.split(": ")[1] for line in last[1:8]} == set(refused)
    assert last[8] == "rankiqa: refused 7 of 10 photographs"
    status, summary, _ = distort(images, tmp_path / "out", *FEW, "--min-side", 231)
    assert status == 1 and summary["skipped"]["files"] == 0 and len(summary["refused"]) == 10
    assert tree(tmp_path / "out") == undisturbed
    status, summary, _ = distort(images, tmp_path / "out", *FEW, "--min-side", 226, "--max-pixels", 226 * 240)
    assert (tmp_path / "out/pristine_images/small.bmp").exists()
    assert "at most 54240 pixels" in {row["image"]: row["error"] for row in summary["refused"]}["cat.png"]


def test_unreadable_names_and_unnatural_ones(images, tmp_path, distort):
    os.rename(images / "cat.png", os.path.join(os.fsencode(images), b"\xff \xc3\xa9.png"))
    os.symlink(images / "moose.jpg", images / "link.jpg")
    os.symlink("nowhere", images / "broken.jpg")
    status, summary, _ = distort(images, tmp_path / "out", "--types", "GN", "--levels", 1)
    assert (status, summary["made"]["photographs"]) == (1, 4)
    assert summary["refused"] == [
        {"image": "broken.jpg", "error": "expected a readable image, got: No such file or directory"}
    ]
    assert b"\xff_\xc3\xa9.bmp" in os.listdir(os.fsencode(tmp_path / "out/GN/GN1"))


def test_recursive_takes_the_photographs_of_folders_inside(images, tmp_path, distort):
    (images / "trip" / "day.1").mkdir(parents=True)
    os.rename(images / "moose.jpg", images / "trip" / "day.1" / "moose.jpg")
    one = ["--types", "GN", "--levels", 1]
    status, summary, err = distort(images, tmp_path / "flat", *one)
    assert (status, summary["photographs"], summary["passed_over"]["folder"]) == (0, 2, 1)
    assert err.endswith(f"rankiqa: {images}: passed over 1 folder (trip)\n")
    status, summary, err = distort(images, tmp_path / "deep", *one, "--recursive")
    assert (status, summary["photographs"], summary["other_files"]) == (0, 3, 0) and "passed over" not in err
    assert sorted(os.listdir(tmp_path / "deep/GN/GN1")) == ["cat.bmp", "fig.bmp", "trip_day_1_moose.bmp"]
    status, _, err = distort(images, images / "out", *one, "--recursive")
    assert status == 2 and "expected a folder outside of --images with --recursive" in err


def test_photographs_that_stay_where_the_original_has_them(images, tmp_path, distort, undisturbed):
    out = tmp_path / "rank_live"
    out.mkdir()
    os.rename(images, out / "pristine_images")
    Image.open(out / "pristine_images" / "cat.png").save(out / "pristine_images" / "a b.png")
    before = tree(out)
    status, summary, err = distort(out / "pristine_images", out, *FEW)
    assert (status, summary["made"]["files"]) == (1, 45) and "a b.png: expected a name without white space" in err
    found = tree(out)
    assert before.items() <= found.items()
    for path, data in found.items():
        if path.startswith(("GB", "GN", "JPEG")):
            assert undisturbed[path] == data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--types", "XX"], "--types: expected some of GB, GN, JPEG, JP2K, ours, all, got 'XX'"),
        (["--types", "ours"], "--types: expected at least one type, got none"),
        (["--levels", "6"], "--levels: expected levels in 1..5, got '6'"),
        (["--levels", "0"], "got '0'"),
        (["--levels", "1-3"], "got '1-3'"),
        (["--images", "nowhere"], "nowhere: expected a folder to use, got: No such file or directory"),
        (["--images", __file__], "expected a folder to use, got: Not a directory"),
        (["--out", __file__], "expected a folder to use"),
    ],
)
def test_nothing_is_begun(photographs, tmp_path, distort, arguments, words):
    status, summary, err = distort(photographs, tmp_path / "out", *arguments)
    assert (status, summary) == (2, None)
    assert err.startswith("rankiqa: ") and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photographs(tmp_path, distort):
    (tmp_path / "notes.txt").touch()
    status, _, err = distort(tmp_path, tmp_path / "out")
    assert status == 2 and "expected a folder with photographs, got none" in err


def test_a_type_that_cannot_be_made_here(photographs, tmp_path, distort, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    status, _, err = distort(photographs, tmp_path / "out", "--types", "GN", "ID", dataset="tid2013")
    assert status == 2 and "--types: ID cannot be made here: " in err and "pip install 'rankiqa[denoise]'" in err
    assert not (tmp_path / "out").exists()
    assert distort(photographs, tmp_path / "out", "--types", "GN", dataset="tid2013")[0] == 0


def test_a_distortion_that_fails_on_one_photograph(photographs, tmp_path, distort):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(photographs / "cat.png", images)
    Image.new("RGB", (20, 10)).save(images / "small.png")  # no room for a patch of NEPN
    arguments = ["--types", "GN", "NEPN", "--levels", 1, "--min-side", 1]
    status, summary, _ = distort(images, tmp_path / "out", *arguments, dataset="tid2013")
    assert status == 1 and summary["made"]["photographs"] == 1
    assert "expected NEPN level 1 to be made, got ValueError: " in summary["refused"][0]["error"]
    assert [path for path in tree(tmp_path / "out") if "small" in path] == []  # GN was made, and is gone


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "0/2"], "expected i/n with 1 <= i <= n, got '0/2'"),
        (["--shard", "3/2"], "got '3/2'"),
        (["--shard", "1"], "got '1'"),
        (["--workers", "0"], f"expected a whole number, 1..{max(32, os.cpu_count() or 1)}, got '0'"),
        (["--set", "csiq"], "invalid choice"),
        (["--seed", "-1"], "0..4294967295"),
    ],
)
def test_usage(capsys, arguments, words):
    with pytest.raises(SystemExit) as error:
        main(["distort", "--set", "live", "--images", "i", "--out", "o", *arguments])
    assert error.value.code == 2 and words in capsys.readouterr().err


def test_a_result_that_cannot_be_written(photographs, tmp_path, distort, undisturbed):
    distort(photographs, tmp_path / "out", "--types", "GB")
    shutil.rmtree(tmp_path / "out/GB/GB3")
    (tmp_path / "out/GB/GB3").touch()
    status, summary, err = distort(photographs, tmp_path / "out", *FEW)
    assert (status, summary) == (2, None) and "GB3: expected a folder to use, got: File exists" in err
    (tmp_path / "out/GB/GB3").unlink()
    (tmp_path / "out/GB/GB3/cat.bmp/in the way").mkdir(parents=True)
    status, summary, err = distort(photographs, tmp_path / "out", *FEW)
    assert status == 1 and "GB3/cat.bmp: expected a file that can be written, got: Is a directory" in summary["error"]
    assert summary["error"] in err
    shutil.rmtree(tmp_path / "out/GB/GB3/cat.bmp")
    assert distort(photographs, tmp_path / "out", *FEW)[0] == 0
    assert tree(tmp_path / "out") == undisturbed


def test_a_disk_that_is_full(photographs, tmp_path, undisturbed):
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    code = limit + "from rankiqa.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["distort", "--set", "live", "--images", photographs, "--out", tmp_path / "out", *FEW, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, timeout=120)
    assert done.returncode == 1 and "File too large" in json.loads(done.stdout)["error"]
    assert b"Traceback" not in done.stderr
    assert all(undisturbed[path] == data for path, data in tree(tmp_path / "out").items())
    assert main(list(map(str, arguments))) == 0
    assert tree(tmp_path / "out") == undisturbed


def test_a_worker_that_is_killed(photographs, tmp_path, undisturbed):
    out = tmp_path / "out"
    parent = process(photographs, out, *FEW, "--workers", 2, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    assert len(workers) == 2
    assert all(worker.num_threads() <= 2 for worker in workers)  # its own, and the one that waits for the parent's end
    workers[0].kill()
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 1
    # Between two photographs it has none to name; test_worker_pool.py kills workers at a job
    assert b"got one that was killed by signal 9" in err and b"fewer --workers" in err
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert main(["distort", "--set", "live", "--images", str(photographs), "--out", str(out), *FEW]) == 0
    assert tree(out) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(photographs, tmp_path, undisturbed, number):
    out = tmp_path / "out"
    parent = process(photographs, out, *FEW, "--workers", 2, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    begin = time.monotonic()
    os.killpg(parent.pid, number)  # as a terminal does
    err = parent.communicate(timeout=60)[1].decode()
    assert time.monotonic() - begin < 10
    assert parent.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "rankiqa: stopped; the same command resumes"
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    found = tree(out)
    assert all(undisturbed[path] == data for path, data in found.items() if not path.startswith(".rankiqa/records"))
    assert not list((out / ".rankiqa").glob("run-*"))
    assert main(["distort", "--set", "live", "--images", str(photographs), "--out", str(out), *FEW]) == 0
    assert tree(out) == undisturbed


def test_the_current_folder_is_not_the_workers(photographs, tmp_path, undisturbed):
    for name in ("numpy.py", "queue.py"):
        (tmp_path / name).write_text("raise SystemExit(f'{__file__} was imported')")
    command = shutil.which("rankiqa", path=str(Path(sys.executable).parent))
    arguments = ["distort", "--set", "live", "--images", photographs, "--out", tmp_path / "out", *FEW]
    subprocess.run([command, *map(str, arguments)], check=True, cwd=tmp_path, timeout=120, capture_output=True)
    assert tree(tmp_path / "out") == undisturbed


def test_workers_end_when_their_parent_is_gone(photographs, tmp_path):
    out = tmp_path / "out"
    parent = process(photographs, out, *FEW, "--workers", 2, stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "GB/GB1").is_dir() and os.listdir(out / "GB/GB1"))
    workers = workers_of(parent)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert (len(gone), alive) == (2, [])
