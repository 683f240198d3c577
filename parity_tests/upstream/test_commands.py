"""All fifteen commands of the original, as published, in the image: ordinary user, no network, read-only root.

Files that they write belong to the calling user. The read-only root file system keeps the original's files unchanged.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import look_alikes
import numpy as np
import pytest
import run_original
import yaml
from scipy.io import loadmat

import caffemodel
import rankiqa
from caffe_client import IMAGE
from sample_networks import ROOT, converted, random_caffemodel

AUTHOR = "/home/xialei/Project/CleanProject/Camera-ready-code/data/live"


def is_mine(path):
    """Tell whether the user that ran the container owns a file."""
    return path.stat().st_uid == (os.getuid() or run_original.USER)


def rank_lists(root, types, pristine_label, levels, reverse):
    """Return (train, test) lines of a ranked set: 80% of the sorted names train, in blocks of type and level."""
    names = sorted(os.listdir(root / "pristine_images"))
    cut = int(len(names) * 0.8)
    blocks = []
    for kind in types:
        folders = sorted(os.listdir(root / kind), reverse=reverse)[: len(levels)]
        degraded = [(f"{kind}/{folder}", label) for folder, label in zip(folders, levels)]
        pristine = [("pristine_images", pristine_label)]
        blocks += degraded + pristine if reverse else pristine + degraded
    return [
        [f"{folder}/{name} {label:6.2f}" for folder, label in blocks for name in part]
        for part in (names[:cut], names[cut:])
    ]


def test_list_rank_live(ready):
    data = ready / "data"
    expected = rank_lists(data / "rank_live", look_alikes.RANK_LIVE, 5, range(5), reverse=True)
    for phase, lines in zip(("train", "test"), expected):
        result = (data / f"live_{phase}.txt").read_text().splitlines()
        assert result == [f"./data/rank_live/{line}" for line in lines]
    assert len(expected[0]) == 4 * 6 * 8


def test_list_rank_tid2013(ready):
    data = ready / "data"
    expected = rank_lists(data / "rank_tid2013", look_alikes.RANK_TID, 0, range(1, 5), reverse=False)
    for phase, lines in zip(("train", "test"), expected):
        result = (data / f"tid2013_{phase}.txt").read_text().splitlines()
        assert result == [f"data/rank_tid2013/{line}" for line in lines]
    assert len(expected[0]) == 18 * 5 * 4


def test_list_ft_tid2013(ready):
    data, random = ready / "data", np.random.RandomState(3)
    references = random.permutation(range(1, 25))
    lines = (data / "tid2013" / "mos_with_names.txt").read_text().splitlines()
    order = random.permutation(range(len(lines)))
    for phase, chosen in (("train", references[:19]), ("test", references[19:])):
        expected = []
        for i in order:
            score, name = lines[i].split()
            if int(name[1:3]) in chosen:
                expected.append(f"data/tid2013/distorted_images/{name} {float(score):6.2f}")
        assert (data / f"ft_tid2013_{phase}.txt").read_text().splitlines() == expected
        assert len(expected) == 24 * len(chosen)


def test_list_ft_live(ready):
    data = ready / "data"
    labels, references = loadmat(data / "LIVE2_labels.mat"), (data / "ref.txt").read_text().split()
    order = np.random.RandomState(3).permutation(range(29))
    result = {}
    for phase, chosen in (("train", order[:23]), ("test", order[23:])):
        expected = []
        for folder in look_alikes.LIVE_FOLDERS:
            info = [line.split() for line in (data / "live" / folder / "info.txt").read_text().splitlines()]
            for i in chosen:
                for reference, name, _ in info:
                    if reference == references[i]:
                        number = int(name[3:-4])
                        label = labels[folder][0][number - 1]
                        expected.append(f"{AUTHOR}/{folder}/img{number:03}.bmp {label:6.2f}")
        result[phase] = (data / f"ft_live_{phase}.txt").read_text().splitlines()
        assert result[phase] == expected
    assert len(result["train"]) + len(result["test"]) == sum(look_alikes.LIVE_FOLDERS.values())
    assert len(list((data / "test").glob("*.bmp"))) == len(result["test"])


def test_lists_belong_to_the_user(ready):
    for path in ready.glob("data/*_t*.txt"):
        assert is_mine(path)


def test_rename_image_names(run, checkout, tmp_path):
    """The script's breakpoint does not hang without a terminal, and the new names sort."""
    data = look_alikes.layout(tmp_path, checkout)
    look_alikes.live(data, padded=False)
    result = run(tmp_path, "python", "rename_image_names.py", folder="data", timeout=300)
    assert result.status == 0, str(result)
    assert result.output.count("rename_image_names.py line 21: breakpoint passed: no terminal") == 5
    for folder, number in look_alikes.LIVE_FOLDERS.items():
        names = sorted(path.name for path in (data / "live" / folder).glob("*.bmp"))
        assert names == [f"img{n:03}.bmp" for n in range(1, number + 1)]
        assert not (data / "live" / folder / "Thumbs.db").exists()
        assert is_mine(data / "live" / folder / "img001.bmp")


LOOK = "max_iter: 2 display: 1 average_loss: 1 test_iter: 1"


@pytest.mark.slow
@pytest.mark.parametrize("script", run_original.TRAINS)
def test_train(run, ready, checkout, script):
    """Two iterations of VGG-16: the script prints the loss and writes a snapshot and a log that the user owns."""
    result = run(ready, script, CAFFE_SOLVER=LOOK, CAFFE_SEED=5)
    assert result.status == 0, str(result)
    assert result.last_line.endswith("Optimization Done.")
    for line in (
        "max_iter: 2 (was",
        "random_seed: 5 (was not set)",
        "running on the CPU",
        "solver_mode: CPU (was GPU)",
    ):
        assert line in result.output
    losses = dict(re.findall(r"Iteration (\d+).*, loss = ([\d.e+-]+)", result.output))
    assert set(losses) == {"0", "1", "2"}
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    prefix = re.search(r'snapshot_prefix: "(.+)"', result.output)[1]
    log = re.search(r"tee +(\S+)", (checkout / script).read_text())[1]
    for path in (f"{prefix}_iter_2.caffemodel", f"{prefix}_iter_2.solverstate", log):
        assert is_mine(ready / path)
    assert (ready / log).read_text().strip().endswith("Optimization Done.")
    net = caffemodel.read(ready / f"{prefix}_iter_2.caffemodel")
    assert sum(bool(layer.blobs) for layer in net.layers) == 16
    (ready / f"{prefix}_iter_2.caffemodel").unlink()
    (ready / f"{prefix}_iter_2.solverstate").unlink()


@pytest.mark.slow
def test_interrupt(ready):
    """After SIGINT to the container Caffe finishes its iteration, saves a snapshot and ends; the log is complete."""
    name, log = "rankiqa-interrupt", ready / "models" / "ft_live" / "log_live"
    environment = {"CAFFE_SOLVER": LOOK.replace("max_iter: 2", "max_iter: 1000")}
    words = ["./src/FT/live/train_live.sh"]
    command = run_original.command(IMAGE, ready, words, limits=("--name", name), environment=environment)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Iteration 1 " in line:
                subprocess.run(["docker", "kill", "-s", "INT", name], check=True, capture_output=True)
    result = run_original.Run(process.returncode, "".join(lines))
    assert result.status == 0, str(result)
    assert "Optimization stopped early" in result.output
    assert log.read_text() == result.output
    snapshots = sorted(path.name for path in log.parent.glob("my_siamese_iter_*"))
    assert [Path(name).suffix for name in snapshots] == [".caffemodel", ".solverstate"]
    for snapshot in snapshots:
        (log.parent / snapshot).unlink()


# script: (weights that it loads, their net, the list that it reads, prefix of its results)
EVALS = {
    "Rank_eval_all_live": ("rank_live/my_siamese_iter_20000", "live-rank", "live", "live/FT_all"),
    "FT_eval_all_live": ("ft_live/my_siamese_iter_50000", "live-ft", "live", "live/FT_all"),
    "Rank_eval_all_tid2013": ("rank_tid2013/my_siamese_iter_10000", "tid2013-rank", "tid2013", "tid2013/Rank_all"),
    "FT_eval_all_tid2013": ("ft_rank_tid2013/my_siamese_iter_10000", "tid2013-ft", "tid2013", "tid2013/FT_all"),
    "Rank_eval_each_tid2013": ("rank_tid2013/my_siamese_iter_10000", "tid2013-rank", "each", "tid2013/Rank_each"),
    "FT_eval_each_tid2013": ("ft_rank_tid2013/my_siamese_iter_10000", "tid2013-ft", "each", "tid2013/FT_each"),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", EVALS)
def test_eval(run, ready, tmp_path, script):
    """The results that a script writes equal those of the port's scores of the same crops (225 pixels: one place)."""
    weights, like, lists, tag = EVALS[script]
    each = lists == "each"
    dataset = "live" if lists == "live" else "tid2013"
    for name in ("data", "results"):
        (tmp_path / name).mkdir()
    shutil.copytree(ready / "data" / dataset, tmp_path / "data" / dataset)
    lines = (ready / "data" / f"ft_{dataset}_test.txt").read_text().splitlines()
    if each:  # two images of each of the 24 types, with different labels, so that correlations are defined
        kinds = []
        for kind in range(1, 25):
            by_label = {line.split()[1]: line for line in lines if line.split()[0][-8:-6] == f"{kind:02}"}
            kinds.append(list(by_label.values())[:2])
        lines = [line for kind in kinds for line in kind]
    else:
        lines = lines[:: len(lines) // 5]
        kinds = [lines]
    (tmp_path / "data" / f"ft_{dataset}_test.txt").write_text("\n".join(lines) + "\n")
    path = tmp_path / "models" / f"{weights}.caffemodel"
    path.parent.mkdir(parents=True)
    random_caffemodel(path, "vgg16", like)
    result = run(tmp_path, "python", f"src/eval/{script}.py", timeout=7200)
    assert result.status == 0, str(result)
    assert "running on the CPU" in result.output
    model = converted(path)
    expected = {"srocc": [], "lcc": []}
    for chosen in kinds:
        scores, labels = [], []
        for line in chosen:
            name, label = line.split()
            image = rankiqa.read_image(tmp_path / name.replace(AUTHOR, "data/live"))
            scores.append(rankiqa.score(model, image, crops=1).score)
            labels.append(float(label))
        expected["srocc"].append(rankiqa.srocc(scores, labels))
        expected["lcc"].append(rankiqa.lcc(scores, labels))
    for measure, values in expected.items():
        written = tmp_path / "results" / f"{tag}_{measure}.txt"
        assert is_mine(written)
        assert np.loadtxt(written, ndmin=1) == pytest.approx(values, abs=0.0015)


def test_compose_names_every_command():
    """docker/compose.yaml has a service for each of the fifteen commands."""
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    original_s = [service for service in services.values() if service["image"] == IMAGE]
    commands = {(service.get("working_dir", "/opt/RankIQA"), *service["command"]) for service in original_s}
    expected = {("/opt/RankIQA", script) for script in run_original.TRAINS}
    expected |= {("/opt/RankIQA", "python", f"src/eval/{name}.py") for name in EVALS}
    expected |= {(f"/opt/RankIQA/{folder}", "python", script) for folder, script in run_original.GENERATORS}
    expected |= {("/opt/RankIQA/data", "python", "rename_image_names.py"), ("/opt/RankIQA", "upstream_data")}
    assert commands == expected
    assert len(commands) == 15 + 1
