"""The parts of scripts/reproduce that need no Caffe: photographs, lists, logs, verdict, bad input, report page."""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "reproduction"
PHOTOGRAPHS = ROOT / "parity_tests" / "photographs"
sys.path.insert(0, str(SCRIPT))

import caffe_training  # noqa: E402
import compare  # noqa: E402
import distorted_images  # noqa: E402
import prepared_photographs  # noqa: E402
import recorded_run  # noqa: E402
import report_json  # noqa: E402
import report_page  # noqa: E402

LOG = """I1123 22:00:00.000000     1 solver.cpp:331] Iteration 0, Testing net (#0)
I1123 22:00:01.000000     1 solver.cpp:400]     Test net output #0: loss = 89.7 (* 1 = 89.7 loss)
I1123 22:00:01.100000     1 solver.cpp:239] Iteration 0 (-1.4e-45 iter/s, 1s/5 iters), loss = 84.25
I1123 22:00:01.100001     1 solver.cpp:258]     Train net output #0: loss = 84.25 (* 1 = 84.25 loss)
I1123 22:00:05.000000     1 solver.cpp:239] Iteration 5 (1.5 iter/s, 3.3s/5 iters), loss = 56.5
I1123 22:00:06.000000     1 solver.cpp:331] Iteration 20, Testing net (#0)
I1123 22:00:07.000000     1 solver.cpp:400]     Test net output #0: loss = 24.5 (* 1 = 24.5 loss)
"""


def run(*arguments):
    path = os.pathsep.join([str(ROOT / "docker"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with six usable photographs."""
    for path in sorted(PHOTOGRAPHS.glob("*.jpg"))[:6]:
        shutil.copy(path, tmp_path)
    return tmp_path


def test_the_default_photographs_split_by_thirds():
    photographs, skipped = prepared_photographs.load(None)
    assert len(photographs) == 30 and not skipped
    assert [photograph.held_out for photograph in photographs] == [False, False, True] * 10
    assert [photograph.name for photograph in photographs] == sorted(photograph.name for photograph in photographs)


def test_every_default_photograph_has_its_licence():
    text = (PHOTOGRAPHS / "LICENCES.md").read_text()
    listed = {line.split("|")[1].strip() for line in text.splitlines() if ".jpg |" in line}
    assert listed == {path.name for path in PHOTOGRAPHS.glob("*.jpg")}


def test_what_cannot_be_used_is_named_and_left_out(folder):
    pixels = np.zeros((300, 300, 3), np.uint8)
    cv2.imwrite(str(folder / "small.png"), pixels[:227])
    cv2.imwrite(str(folder / "grey.png"), pixels[:, :, 0])
    (folder / "torn.jpg").write_bytes((folder / "bison.jpg").read_bytes()[:5000])
    (folder / "notes.txt").write_text("not an image")
    photographs, skipped = prepared_photographs.load(folder)
    assert len(photographs) == 7  # including the grey one, which the original's reader accepts
    assert [line.split(":")[0] for line in skipped] == ["small.png", "torn.jpg", str(folder)]
    assert skipped[-1].endswith(": 1 other file (notes.txt)")
    assert "227 x 300" in skipped[0]


def test_large_photographs_are_reduced_and_names_are_fit_for_a_list(folder):
    large = np.random.RandomState(0).randint(0, 256, (700, 2000, 3)).astype(np.uint8)
    for name in ("a b.png", "a_b.jpg", "a(b).bmp"):
        cv2.imwrite(str(folder / name), large)
    by_name = {photograph.name: photograph for photograph in prepared_photographs.load(folder)[0]}
    assert {"a_b", "a_b_2", "a_b_"} < set(by_name)
    assert by_name["a_b_2"].pixels.shape == (300, 450, 3)


def test_rank_lists_run_from_worst_to_pristine(tmp_path):
    chosen = [photograph for photograph in prepared_photographs.load(None)[0] if photograph.number < 4]
    images = distorted_images.make(chosen, tmp_path, 0)
    distorted_images.write_lists(images, tmp_path)
    lines = (tmp_path / "rank_train.txt").read_text().splitlines()
    train_names = [photograph.name for photograph in chosen if not photograph.held_out]
    assert len(lines) == 4 * 6 * len(train_names)
    assert lines[: len(train_names)] == [f"images/{name}_JPEG5.png 0" for name in train_names]
    assert lines[5 * len(train_names)] == f"images/{train_names[0]}_pristine.png 5"
    assert all((tmp_path / line.split()[0]).is_file() for line in lines)
    assert {image.label for image in images if image.level == 0} == {0.0}
    alone = distorted_images.make(chosen[2:3], tmp_path / "alone", 0)
    assert [image.digest for image in alone] == [i.digest for i in images if i.photograph == chosen[2].name]
    other = distorted_images.make(chosen[2:3], tmp_path / "other", 1)
    changed = [a.distortion for a, b in zip(alone, other, strict=True) if a.digest != b.digest]
    assert changed == ["GN"] * 5


def test_caffes_log_is_read():
    assert caffe_training.curves(LOG) == {"train": [[0, 84.25], [5, 56.5]], "test_loss": [[0, 89.7], [20, 24.5]]}


def test_recorded_images_that_differ_here_are_left_out():
    side, _, _, _ = recorded_run.load()
    digests = {image.name: digest for image, digest in zip(side.images, side.pixels, strict=True)}
    digests[side.images[3].name] = "0" * 64
    same, left_out = recorded_run.only(side, digests)
    assert left_out == [side.images[3].name]
    assert len(same.images) == len(side.images) - 1 == len(same.scores["rank"])
    assert np.array_equal(same.scores["ft"][3], side.scores["ft"][4])


def verdict(port_rank):
    """Return the names of the failed checks on the recording if the port's rank scores are `port_rank(Caffe's)`."""
    side, _, _, _ = recorded_run.load()
    port = {"rank": port_rank(side.scores["rank"]), "ft": side.scores["ft"]}
    truth = np.array([image.label for image in side.images])
    both = {
        name: {
            "score": compare.score_difference(port[name], side.scores[name]),
            "caffe": compare.correlations(side.scores[name], truth),
            "port": compare.correlations(port[name], truth),
        }
        for name in compare.TRAINED
    }
    layers = {name: {"conv1": 0.0} for name in compare.TRAINED}
    compared = compare.Compared(side, [], port, {"rank": True, "ft": True}, [])
    return [check["name"] for check in report_json._checks(compared, both, layers, True) if not check["passed"]]


def test_the_verdict_notices_what_is_wrong():
    assert verdict(lambda scores: scores) == []
    assert verdict(lambda scores: scores + 0.01) == ["largest score difference / score range, rank"]
    assert "SROCC difference, rank" in verdict(lambda scores: -scores)
    assert len(verdict(lambda scores: scores * np.nan)) == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "got none"),
        (lambda folder: (folder / "a.jpg").write_text("no image"), "at least 6 usable photographs, got 0"),
        (shutil.rmtree, "expected a folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line_and_status_2(tmp_path, make, words):
    images = tmp_path / "images"
    images.mkdir()
    make(images)
    done = run("--caffe", "recorded", "--images", images, "--out", tmp_path / "out")
    assert done.returncode == 2 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_own_photographs_are_not_compared_with_the_recording(folder, tmp_path):
    done = run("--caffe", "recorded", "--images", folder, "--out", tmp_path / "out")
    assert done.returncode == 2 and "needs live Caffe" in done.stderr
    assert not (tmp_path / "out").exists()


def example_report(side, why):
    """Return an example of report.json's contents; scores are the recording's own."""
    correlation = {"srocc": 0.5, "lcc": float("nan")}
    return {
        "verdict": "agree",
        "reference": "recorded",
        "why_recorded": why,
        "to_run_live": "scripts/reproduce --caffe live",
        "score": {"max_abs_diff": 1.5e-6, "range": 40.0},
        "srocc": {"caffe": 0.75, "port": 0.75},
        "untrained_srocc": None,
        "start_srocc": 0.1,
        "per_distortion": {
            name: dict.fromkeys(("untrained", "start", "caffe", "port"), 0.875) for name in ("GB", "GN")
        },
        "fine_tuned": {
            "label": distorted_images.STAND_IN,
            "label_note": distorted_images.STAND_IN_NOTE,
            "rank_before": correlation,
            "srocc": {"caffe": 0.5, "port": 0.5},
            "lcc": {"caffe": 0.5, "port": None},
        },
        "layers": {name: {"conv1": 0.0, "relu1": 3e-7, "pool1": float("nan")} for name in compare.TRAINED},
        "checks": [
            {"name": "weights", "value": True, "limit": True, "passed": True},
            {"name": "largest error", "value": float("nan"), "limit": 1e-5, "passed": False},
        ],
        "curves": {"rank": {"train": [[0, 3.5], [5, 0.0]], "test_loss": [[0, 4.5]]}, "ft": {"train": []}},
        "images": {"held_out": len(side.images), "photographs": 10, "left_out": ["one"]},
        "settings": {"seed": 7, "ft_iterations": 50},
        "caffe": {},
        "versions": {"torch": "2"},
        "machine": {"cpus": 2},
        "timings": {"train": 12.5},
        "digests": {"rank.caffemodel": "0" * 64},
    }


@pytest.fixture(scope="module")
def rendered():
    side, _, _, _ = recorded_run.load()
    port = {name: side.scores[name].copy() for name in compare.TRAINED}
    port["rank"][0] = np.nan
    pixels = [np.full((20, 30, 3), (200, 60, 10), np.uint8) for _ in side.images]
    compared = compare.Compared(side, pixels, port, dict.fromkeys(compare.TRAINED, True), [])
    return side, report_page.render(example_report(side, "no <b>engine</b> & no socket"), compared)


def test_the_page_says_what_the_report_says(rendered):
    side, text = rendered
    text = " ".join(text.split())
    for words in (
        "Caffe and the port agree",
        "at most 1.5e-06 on a range of 40",
        "no &lt;b&gt;engine&lt;/b&gt; &amp; no socket",  # escaped
        "machine's codecs make them differently: 1 images",
        '<td class="n">yes</td>',
        '<td class="bad">failed</td>',
        '<th class="n">–</th>',
        "scripts/reproduce --seed 7</pre>",
        "Gaussian blur",
        "Nothing to draw.",
        "limit 1e-05",
        f"of {len(side.images)}, evenly spaced",
    ):
        assert words in text, words
    named = [image.name for image in side.images[1:]]
    assert all(f"{name}: Caffe " in text for name in named)  # the labels of the chart's points
    assert text.count('class="plotly-graph-div"') == 5
    assert text.count("<figure>") == 4 * 6 + report_page.PICTURES


def test_the_page_is_complete_in_itself_and_its_colours_are_right(rendered):
    _, text = rendered
    outside = re.sub(r"<script>/\*\*.*?</script>", "", text, count=1, flags=re.S)  # plotly.js contains addresses
    assert len(text) - len(outside) > 1_000_000
    assert not re.search(r'(src|href)="(?!data:)', outside) and "url(" not in outside and "@import" not in outside
    data = re.search(r"data:image/jpeg;base64,([^\"]+)", text)[1]
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(pixels[5, 5, ::-1].astype(int) - (200, 60, 10)).max() < 12
