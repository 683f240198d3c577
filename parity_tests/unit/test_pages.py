"""Every command and snippet of every page runs, in the page's order, in a folder that has only the pages' inputs.

A block that cannot run here has `<!-- not run: REASON -->` on the line before it. Other blocks must run.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import caffemodel
from caffemodel import SolverState, array_blob, from_arrays
from sample_networks import random_arrays, random_caffemodel

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = sorted((ROOT / "parity_tests" / "photographs").glob("*.jpg"))[:6]
LINE_LIMIT = 300  # seconds per block
WORDS = 1200  # limit for the first page
PAGES = [
    page for page in sorted(ROOT.rglob("*.md"))
    if not {".venv", "results", "build", "node_modules"} & set(page.relative_to(ROOT).parts)
]  # fmt: skip
TEXT = {"bibtex", "text", "json", "diff", "yaml", "toml", "csv"}  # languages of blocks that are not run
# Trainings in pages take days: run the same commands with the smallest network, one iteration and few images
SMALLER = [
    (r"rankiqa train (live|tid2013)-rank\b", r"\g<0> --arch shallow --set max_iter=1"),
    (r"rankiqa train (live|tid2013)-ft\b", r"\g<0> --arch shallow --set max_iter=1 --set batch=2"),
    (r"_iter_(50000|20000|10000)\.safetensors", "_iter_1.safetensors"),
]


@dataclass
class Block:
    """A fenced block of a page.

    Attributes:
        language: The word after the fence.
        text: The lines of the block.
        line: The number of its first line.
        not_run: Why it is not run, or None.
    """

    language: str
    text: str
    line: int
    not_run: str | None


def blocks_of(page):
    lines, blocks, k = page.read_text(encoding="utf-8").splitlines(), [], 0
    while k < len(lines):
        if fence := re.match(r"```(\w*)$", lines[k]):
            end = next(n for n in range(k + 1, len(lines)) if lines[n] == "```")
            reason = re.match(r"<!-- not run: (.+) -->$", lines[k - 1]) if k else None
            text = "\n".join(lines[k + 1 : end]) + "\n"
            blocks.append(Block(fence[1], text, k + 1, reason and reason[1]))
            k = end
        k += 1
    return blocks


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Return a folder with the files that pages assume: weights of the original, photographs, opinions."""
    folder = tmp_path_factory.mktemp("inputs")
    random_caffemodel(folder / "FT_live.caffemodel", "shallow", "live-ft")
    classifier = random_arrays("shallow", "live-ft")
    weight, bias = classifier["fc1"]
    classifier["fc1"] = [np.repeat(weight, 1000, 0), np.repeat(bias, 1000)]
    kinds = {name: "InnerProduct" if name == "fc1" else "Convolution" for name in classifier}
    net = from_arrays("ImageNet", [(name, kinds[name], arrays) for name, arrays in classifier.items()])
    caffemodel.write(net, folder / "VGG_ILSVRC_16_layers.caffemodel")
    model = random_caffemodel(folder / "my_siamese_iter_10000.caffemodel", "shallow", "live-rank")
    history = [array_blob(np.zeros_like(a)) for pair in random_arrays("shallow").values() for a in pair]
    state = SolverState(10000, model.name, 0, history)
    caffemodel.write_solverstate(state, folder / "my_siamese_iter_10000.solverstate")
    (folder / "photos").mkdir()
    for path in PHOTOGRAPHS:
        shutil.copy(path, folder / "photos")
    shutil.copy(PHOTOGRAPHS[0], folder / "photo.jpg")
    opinions = (f"{path.name} {20 + 10 * k}\n" for k, path in enumerate(PHOTOGRAPHS))
    (folder / "opinions.txt").write_text("".join(opinions))
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return environment variables with a PATH on which `rankiqa` is that of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "rankiqa"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rankiqa "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def _run(block, folder, environment):
    text = block.text
    if block.language == "python":
        command = [sys.executable, "-c", text]
    else:
        for pattern, smaller in SMALLER:
            text = re.sub(pattern, smaller, text)
        command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LINE_LIMIT,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page, inputs, environment, tmp_path):
    folder = tmp_path / "empty"
    shutil.copytree(inputs, folder)
    for block in blocks_of(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.not_run or block.language in TEXT:
            continue
        assert block.language in ("bash", "python"), (
            f"{where}: expected a block of bash or python, got {block.language!r}"
        )
        done = _run(block, folder, environment)
        assert done.returncode == 0, f"{where}: exit status {done.returncode}\n{block.text}{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, f"{where}:\n{done.stderr}"


def test_links():
    """Links to files of the repository point to existing files."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+://", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= WORDS
