"""Every command works from the installed wheel, without access to a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from rankiqa.models.weights import SHIPPED
from sample_networks import random_caffemodel

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = sorted((ROOT / "parity_tests" / "photographs").glob("*.jpg"))[:4]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, so that the checkout is not changed; return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in ("port", "conversion"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return run(*arguments) in an environment with the wheel and this environment's libraries, but no checkout."""
    folder = tmp_path_factory.mktemp("installed")
    site, work = folder / "site", folder / "work"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    work.mkdir()
    shutil.copytree(PHOTOGRAPHS[0].parent, work / "every")
    (work / "photos").mkdir()
    for path in PHOTOGRAPHS:
        shutil.copy(path, work / "photos")
    random_caffemodel(work / "w.caffemodel", "shallow", "live-rank")
    # -S disables site, which would add the checkout of an editable installation to sys.path
    start = f"import sys; sys.path[:0] = [{str(site)!r}]; sys.path.append({sysconfig.get_paths()['purelib']!r})"
    start += "; from rankiqa.cli import main; sys.exit(main(sys.argv[1:]))"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    # Worker processes start a new interpreter, which finds the wheel by PYTHONPATH
    clean["PYTHONPATH"] = os.pathsep.join([str(site), sysconfig.get_paths()["purelib"]])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-S", "-c", start, *arguments],
            cwd=work,
            env=clean,
            capture_output=True,
            text=True,
            timeout=300,
        )

    run.site, run.work = site, work
    return run


def test_holds_what_it_needs_and_no_more(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "rankiqa", "rankiqa_convert", "caffemodel"
    }  # fmt: skip
    assert "rankiqa/py.typed" in names
    assert any(name.startswith("rankiqa/ranked_sets/templates/") for name in names)
    assert not any("test" in name for name in names)
    shipped = {f"rankiqa/models/shipped/{path.name}" for path in SHIPPED.parent.glob("*")}
    assert shipped <= set(names)


def test_is_the_wheel_s(installed):
    code = f"import sys; sys.path[:0] = [{str(installed.site)!r}]; import rankiqa; print(rankiqa.__file__)"
    location = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert Path(location.strip()).is_relative_to(installed.site)


def test_every_command(installed):
    """The commands convert a caffemodel and score with it, then make a ranked set of photographs and train on it."""
    for line in (
        "--version",
        "convert w.caffemodel --trained-on live-rank --out w.safetensors",
        "convert inspect w.caffemodel --json",
        "score photos --weights w.safetensors --crops 2 --json",
        "distort --set live --images photos --out ranked --types GB JPEG --levels 1 2 --workers 2",
        "lists rank-live ranked --types GB JPEG --levels 2 --out lists --split none",
        f"show distortions --image photos/{PHOTOGRAPHS[0].name} --set live --out page.html",
        "train live-rank --arch shallow --train lists/live_all.txt --out run --set list_groups=2 --set groups=2 "
        "--set levels=3 --set images=1 --set max_iter=1",
        "score photos --weights run/live-rank_iter_1.safetensors --crops 1",
        *(["score photos --crops 1"] if SHIPPED.is_file() else []),
    ):  # fmt: skip
        done = installed(*line.split())
        assert done.returncode == 0, f"rankiqa {line}\n{done.stdout}{done.stderr}"
    assert (installed.work / "page.html").stat().st_size > 10_000
