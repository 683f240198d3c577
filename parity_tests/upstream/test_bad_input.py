"""Inputs on which the original would hang or crash: the last line names the error and what to mount where."""

import os
import shutil
import signal
import subprocess
import time

import look_alikes
import pytest
import run_original

from caffe_client import IMAGE
from sample_networks import random_caffemodel

RANK, FT = "./src/RankIQA/live/train_vgg.sh", "./src/FT/live/train_live.sh"
EVAL = ("python", "src/eval/FT_eval_all_tid2013.py")


@pytest.fixture
def own(ready, tmp_path):
    """Return a copy of the ready folders that a test may damage; files in models/ are hard links."""
    for name in ("results", "data"):
        (tmp_path / name).mkdir()
    for path in (ready / "data").glob("*.txt"):
        shutil.copy(path, tmp_path / "data")
    shutil.copytree(ready / "data" / "rank_live", tmp_path / "data" / "rank_live")
    (tmp_path / "models").mkdir()
    for path in (ready / "models").rglob("*.caffemodel"):
        target = tmp_path / "models" / path.relative_to(ready / "models")
        target.parent.mkdir(exist_ok=True)
        os.link(path, target)
    return tmp_path


def refused(result, *words):
    """Check that the command failed and that its last line contains all words."""
    assert result.status != 0, str(result)
    for word in words:
        assert word in result.last_line, str(result)


def test_no_data_mounted(run, own):
    result = run(own, "./src/RankIQA/tid2013/train_vgg.sh", mounted=("models",))
    refused(result, "data/tid2013_train.txt line 1", "images are missing", '-v "$PWD/data:/opt/RankIQA/data"')


def test_no_models_mounted(run, own):
    result = run(own, RANK, mounted=("data",))
    refused(
        result,
        "models/rank_live/log_live: models/rank_live: user",
        "may not write",
        '-v "$PWD/models:/opt/RankIQA/models"',
    )
    assert len(result.output.strip().splitlines()) == 1, str(result)  # `tee` prints no error of its own


def test_no_initial_weights(run, own):
    (own / "models" / "VGG_ILSVRC_16_layers.caffemodel").unlink()
    refused(run(own, RANK), "models/VGG_ILSVRC_16_layers.caffemodel: no such", '-v "$PWD/models:/opt/RankIQA/models"')


def test_missing_list(run, own):
    (own / "data" / "live_train.txt").unlink()
    refused(run(own, RANK), "data/live_train.txt: no such list", "live_test.txt", '-v "$PWD/data')


@pytest.mark.parametrize("line", ["only-a-path", "a path 1", "./x.bmp best", ""])
def test_list_that_is_none(run, own, line):
    with open(own / "data" / "live_train.txt", "a") as file:
        file.write(line + "\n")
    refused(run(own, RANK), "data/live_train.txt line 193: expected `path label`, got")


def test_missing_image(run, own):
    image = own / "data" / "rank_live" / "GB" / "GB3" / "00004.bmp"
    image.unlink()
    refused(
        run(own, RANK), "data/live_train.txt line", "GB/GB3/00004.bmp: no such image", "(1 of 168 images are missing)"
    )


def test_short_list(run, own):
    lines = (own / "data" / "live_train.txt").read_text().splitlines(keepends=True)
    (own / "data" / "live_train.txt").write_text("".join(lines[:40]))
    refused(run(own, RANK), "expected at least 4 distortions x 6 levels x 2 images = 48 lines, got 40")


@pytest.mark.parametrize("side", [224, 100])
def test_small_image(run, own, side):
    look_alikes.save(own / "data" / "rank_live" / "JPEG" / "JPEG5" / "00008.bmp", look_alikes.photograph(0, side))
    result = run(own, RANK)
    refused(
        result, "JPEG5/00008.bmp: expected an image with both sides above 224 pixels", f"got {side} x {side} (H x W)"
    )


def test_image_that_is_none(run, own):
    (own / "data" / "rank_live" / "JPEG" / "JPEG5" / "00008.bmp").write_text("no picture")
    refused(run(own, RANK), "JPEG5/00008.bmp: expected an image that OpenCV reads, got none")


def test_weights_that_do_not_exist(run, own):
    shutil.rmtree(own / "models" / "rank_live_20")
    refused(run(own, FT), "models/rank_live_20/my_siamese_iter_20000.caffemodel: no such weights", '-v "$PWD/models')
    (own / "models" / "ft_rank_tid2013").mkdir(exist_ok=True)
    (own / "models" / "ft_rank_tid2013" / "my_siamese_iter_5000.caffemodel").write_bytes(b"")
    refused(run(own, *EVAL), "my_siamese_iter_10000.caffemodel: no such", "there: my_siamese_iter_5000.caffemodel")


def test_unwritable_folders(run, own):
    models = own / "models" / "ft_rank_tid2013"
    models.mkdir(exist_ok=True)
    random_caffemodel(models / "my_siamese_iter_10000.caffemodel", "vgg16", "tid2013-ft")
    (own / "results" / "tid2013").mkdir(exist_ok=True)
    result = run(own, *EVAL, read_only=("results",))
    refused(result, "results/tid2013: user", "may not write there", '-v "$PWD/results:/opt/RankIQA/results"')
    refused(run(own, RANK, read_only=("models",)), "models/rank_live", '-v "$PWD/models:/opt/RankIQA/models"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_itr: 2", "CAFFE_SOLVER: expected fields of Caffe's solver"),
        ("max_iter: many", "CAFFE_SOLVER: expected fields of Caffe's solver"),
        ('net: "src/none.prototxt"', "src/none.prototxt: no such network"),
    ],
)
def test_wrong_overrides(run, own, text, words):
    refused(run(own, RANK, CAFFE_SOLVER=text), words)


def test_command_that_is_none(run, own):
    refused(run(own, "./src/none.sh"), "entry: ./src/none.sh: No such file")
    refused(run(own, "python", "src/eval/none.py"), "python: src/eval/none.py: No such file")


def test_dead_worker(ready):
    """Caffe ends with an error if workers are killed, as the system does when memory runs out."""
    name = "rankiqa-dead-worker"
    command = run_original.command(IMAGE, ready, [RANK], limits=("--name", name))
    kill = (
        "import os\n"
        "numbers = [n for n in os.listdir('/proc') if n.isdigit()]\n"
        "rows = [open(f'/proc/{n}/stat').read().rsplit(')', 1)[1].split() + [n] for n in numbers]\n"
        "names = {row[-1]: open(f'/proc/{row[-1]}/comm').read().strip() for row in rows}\n"
        "workers = [int(row[-1]) for row in rows if names[row[-1]] == 'caffe' and names.get(row[1]) == 'caffe']\n"
        "assert len(workers) == 20, names\n"
        f"[os.kill(one, {int(signal.SIGKILL)}) for one in workers]\n"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Solver scaffolding done" in line:
                subprocess.run(["docker", "exec", name, "python3", "-c", kill], check=True, capture_output=True)
                start = time.monotonic()
    result = run_original.Run(process.returncode, "".join(lines))
    refused(result, "a worker process of the data layer died (SIGKILL")
    assert time.monotonic() - start < 120
