"""Parity test `octave`: the distortions, against the original's MATLAB code in GNU Octave.

Both sides draw the same numbers, so that random types have one right answer, too: all pixels must be equal.
Live Octave (marked `upstream`: RANKIQA_UPSTREAM=PATH, and octave-cli or a Docker engine) runs the original's own
generators, unchanged; `RANKIQA_UPSTREAM=PATH scripts/test --record -m upstream -k octave` makes the recorded answers.

Octave's toolbox differs from MATLAB's in these functions:
- rgb2ycbcr: MATLAB's matrix has three decimals, Octave's is exact; COLOURS_APART counts the colours that differ.
- imnoise 'salt & pepper': other numbers become white. The port follows MATLAB; the test translates the numbers.
- ycbcr2rgb refuses values outside [0, 1], which GNC makes; octave_driver/unbounded/isrgb.m accepts them as MATLAB does.
- multithresh, rgb2ind with a size, imwrite's CompressionRatio and CBM3D's compiled parts exist in MATLAB only (types
  QN, CQD, JP2K, ID).
"""

from pathlib import Path

import numpy as np
import pytest

import rankiqa
from lib.tolerances import EXACT
from octave import answers, distortion_questions, inputs, variants
from octave.fixtures import reference_name  # noqa: F401 (a fixture)
from octave.replayed import Replayed
from octave_client import MATLAB_ONLY, ROWS, Job
from rankiqa.distortions import DATASETS
from rankiqa.distortions.colour_space import rgb_to_ycbcr
from rankiqa.distortions.compression import encode_jpeg

RUNG = "octave"
PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "photographs"
# How many of the 2**22 colours with a red of 0, 4, 8 .. get another Y, Cb or Cr with MATLAB's matrix (of all: 1320)
COLOURS_APART = 330
MATLAB_MATRIX = np.array([[65_481, 128_553, 24_966], [-37_797, -74_203, 112_000], [112_000, -93_786, -18_214]])


def test_every_type_of_the_original_is_asked_or_named():
    compared = {name for _, name in ROWS}
    of_upstream = {
        row.name for table in DATASETS.values() for row in table.values() if row.origin in ("upstream", "listed")
    }
    assert of_upstream - compared == MATLAB_ONLY & of_upstream
    assert {row for row in ROWS if row not in {key[:2] for key in variants.WRONG}} == {("tid2013", "JPEG")}


@pytest.mark.parametrize(("dataset", "name"), ROWS)
def test_every_pixel_is_the_same(either_octave, parity, dataset, name):
    cases = distortion_questions.cases(dataset, name)
    for case, answer in zip(cases, either_octave.ask(f"{dataset}_{name}", [case.job for case in cases]), strict=True):
        ours, used = case.ours()
        parity.check(RUNG, case.name, answer.error(ours), EXACT)
        assert used == answer.used, f"{case.name}: expected {answer.used} numbers to be drawn, got {used}"


@pytest.mark.parametrize("key", variants.WRONG, ids=lambda key: " ".join(map(str, key)))
def test_wrong_variants_are_caught(either_octave, parity, key):
    dataset, name, level, picture = key
    cases = distortion_questions.cases(dataset, name)
    replies = either_octave.ask(f"{dataset}_{name}", [case.job for case in cases])
    wanted = f"{dataset} {name}{level} {picture}"
    ((case, answer),) = [pair for pair in zip(cases, replies, strict=True) if pair[0].name == wanted]
    for wrong in variants.WRONG[key]:
        theirs = wrong(case.job.image, case.value, Replayed(case.numbers()))
        parity.must_fail(RUNG, f"{wanted}: {wrong.__name__.replace('_', ' ')}", answer.error(theirs), EXACT)


@pytest.mark.parametrize("dataset", ["live", "tid2013"])
def test_jpeg_has_the_same_tables_and_sampling(either_octave, parity, dataset):
    cases = distortion_questions.cases(dataset, "JPEG")
    for case, answer in zip(cases, either_octave.ask(f"{dataset}_JPEG", [case.job for case in cases]), strict=True):
        for quality, check in ((case.value, parity.check), (case.value + 2, parity.must_fail)):
            ours = answers.jpeg_header(encode_jpeg(case.job.image, quality))
            apart = np.abs(ours.astype(int) - answer.jpeg).max()
            check(RUNG, f"{case.name} tables and sampling, quality {quality}", apart, EXACT)
        assert answer.jpeg[-6:].tolist() == [2, 2, 1, 1, 1, 1]  # 4:2:0


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["GN", "IN", "MGN", "GNC", "HFN", "NEPN", "BW"])
def test_the_same_with_octave_s_own_generator(live_octave, parity, name):
    """Octave's rand, randn and randi are not replaced: their numbers are drawn again from the same seed."""
    if name not in DATASETS["tid2013"]:
        pytest.skip(f"{name} is not in the table")
    image = inputs.cut("coffee", 20, 10, 75, 121)
    height, width = image.shape[:2]
    case = distortion_questions.case("tid2013", name, 2, "coffee", image)
    redraw = {
        "IN": [[1, height, width, 3]],
        "MGN": [[0, height, width, 1]] * 3,
        "NEPN": [[2, 1, height - 30, 0], [2, 1, width - 30, 0]] * 70,
        "BW": [[2, 1, height - 32, 0], [2, 2, width - 32, 0]] * 4,
    }.get(name, [[0, height, width, 3]])
    job = Job("tid2013", case.row.number, 2, image, seed=5, redraw=redraw)
    (picture,) = live_octave.octave.ask([job])
    numbers = picture.redrawn
    if name in ("NEPN", "BW"):  # whole numbers: take the middle of the interval that rounds to each
        low, high = np.array(redraw)[:, 1:3].T
        numbers = (numbers - low + 0.5) / (high - low + 1)
    case = distortion_questions.case("tid2013", name, 2, "coffee", image, numbers)
    parity.check(
        RUNG, f"tid2013 {name}2, Octave's own numbers", answers.Answer.of(picture).error(case.ours()[0]), EXACT
    )
    other = distortion_questions.case("tid2013", name, 2, "coffee", image, numbers[::-1])
    error = answers.Answer.of(picture).error(other.ours()[0])
    parity.must_fail(RUNG, f"tid2013 {name}2, Octave's own numbers backwards", error, EXACT)


@pytest.mark.upstream
@pytest.mark.parametrize(("dataset", "name"), ROWS)
def test_whole_photographs(live_octave, parity, dataset, name):
    """Compare whole photographs live only: their pixels depend on the JPEG decoder."""
    levels = range(1, len(DATASETS[dataset][name].levels) + 1)
    for photograph in ("castle", "hedgehog"):
        image = rankiqa.read_image(PHOTOGRAPHS / f"{photograph}.jpg")
        cases = [distortion_questions.case(dataset, name, level, photograph, image) for level in levels]
        for case, picture in zip(cases, live_octave.octave.ask([case.job for case in cases]), strict=True):
            error = answers.Answer.of(picture).error(case.ours()[0])
            parity.check(RUNG, f"{case.name} whole", error, EXACT)


def is_half(image):
    """Return bool (H, W): is the exact Y, Cb or Cr of a colour half way between two grey levels (1 in 20,000)?"""
    red, green, blue = np.moveaxis(image.astype(np.int64), -1, 0)
    luma = 299 * red + 587 * green + 114 * blue
    return (
        ((438 * luma - 255_000) % 510_000 == 0)
        | ((448 * (1000 * blue - luma) - 451_860) % 903_720 == 0)
        | ((448 * (1000 * red - luma) - 357_510) % 715_020 == 0)
    )


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["CS", "MSH", "MSL", "CCL", "CCH"])
def test_a_million_colours(live_octave, parity, name):
    """Compare 2**20 colours. How CS rounds halves depends on Octave's BLAS; the port follows the reference BLAS.

    Measured on all 2**24 colours: none differ with the reference BLAS; 6 differ with OpenBLAS 0.3.21, all are halves.
    """
    image = inputs.colours()
    for level in (1, 2, 3, 4):
        case = distortion_questions.case("tid2013", name, level, "colours", image)
        (picture,) = live_octave.octave.ask([case.job])
        answer, ours = answers.Answer.of(picture), case.ours()[0]
        if name == "CS":
            halves = is_half(image)
            assert 0 < halves.mean() < 1e-4
            ours[halves] = answer.pixels[halves]
        parity.check(RUNG, f"{case.name}, 2**20 of them", answer.error(ours), EXACT)


def test_matlab_s_matrix_would_change_few_colours():
    """The port uses Octave's matrix, which can be tested; MATLAB's rounds 1 colour in 12,700 to the next level."""
    apart = 0
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for red in range(0, 256, 4):
        image = np.stack([np.full_like(green, red), green, blue], axis=-1)
        matlab = [16, 128, 128] + (image.astype(np.int64) @ MATLAB_MATRIX.T + 127_500) // 255_000  # halves up
        difference = np.abs(matlab - rgb_to_ycbcr(image))
        assert difference.max() <= 1
        apart += int(difference.any(axis=-1).sum())
    assert apart == COLOURS_APART


def test_a_recording_answers_its_own_question_only():
    jobs = [case.job for case in distortion_questions.cases("tid2013", "MSH")]
    assert len(answers.Recorded().ask("tid2013_MSH", jobs)) == len(jobs)
    turned = Job(jobs[0].call, jobs[0].type, jobs[0].level, jobs[0].image[::-1].copy())
    with pytest.raises(answers.NotRecorded, match="another question"):
        answers.Recorded().ask("tid2013_MSH", [turned, *jobs[1:]])
    with pytest.raises(answers.NotRecorded, match="never recorded"):
        answers.Recorded().ask("no_such_case", jobs)


def test_one_wrong_value_is_seen():
    """A recorded answer detects it by the digest, wherever the value is."""
    case = distortion_questions.cases("tid2013", "MSH")[0]
    (answer, *_) = answers.Recorded().ask(
        "tid2013_MSH", [case.job for case in distortion_questions.cases("tid2013", "MSH")]
    )
    ours, _ = case.ours()
    ours[20, 30, 1] ^= 1
    assert answer.error(ours) >= 1
