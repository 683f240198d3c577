"""Rung `octave drawn`: with a generator of its own on each side, the random types must have one distribution.

What is compared is in octave/statistics.py. FALSE_ALARM is the chance, for each check, that two sides with the very
same distribution would be called different if the seeds were drawn; they are fixed: a check always says the same.
Recorded are the numbers that describe Octave's noise, by the command in test_octave.py.
"""

import numpy as np
import pytest

from octave import answers, statistics, variants
from octave.fixtures import reference_name  # noqa: F401 (a fixture)
from octave_client import Job
from rankiqa.data.atomic_files import replacing
from rankiqa.distortions import DATASETS

RUNG = "octave drawn"
FALSE_ALARM = 1e-6
STATISTICS = answers.RECORDED / "distribution.npz"
SIDE = 256
PLACES = 1500
NOISY = ["GN", "GNC", "HFN", "IN", "MGN"]
LEVEL = 2
BINS = 20  # more than there are tops or lefts
# (height, width) of a picture in which every place is drawn often, and the side of what is placed
PLACED = {"NEPN": (40, 44, 15), "BW": (44, 41, 32)}


def grey():
    """No noise of these levels leaves 0..255 often; the channels differ."""
    return np.full((SIDE, SIDE, 3), (120, 130, 110), np.uint8)


def every_place_another():
    """Pictures in which a patch and a block differ from what they cover, everywhere."""
    return np.random.RandomState(0).randint(1, 255, (64, 64, 3)).astype(np.uint8)


def corner(before, after, side):
    """(top, left) of the one square that was changed."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    assert rows.max() - rows.min() == side - 1 and columns.max() - columns.min() == side - 1
    return rows.min(), columns.min()


def counts(found):
    """How often each top and each left was drawn: (2 * BINS,)."""
    return np.concatenate([np.bincount(one, minlength=BINS) for one in np.array(found).T])


class Recordings:
    """Octave's numbers, live or recorded."""

    def __init__(self, either):
        self.either = either

    def get(self, name, compute):
        """compute(octave_client.Octave) -> array, kept on request; else the recorded one."""
        kept = dict(np.load(STATISTICS, allow_pickle=False)) if STATISTICS.exists() else {}
        live = isinstance(self.either, answers.Live)
        if name not in kept and not (live and self.either.keep):
            raise answers.NotRecorded(f"{name}: Octave's noise was never recorded; {answers.AGAIN}")
        if not live:
            return kept[name]
        found = compute(self.either.octave)
        if self.either.keep:
            STATISTICS.parent.mkdir(parents=True, exist_ok=True)
            with replacing(STATISTICS) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **{**kept, name: found})
        else:
            assert np.allclose(found, kept[name], rtol=1e-9), f"{name}: not what was recorded; {answers.AGAIN}"
        return found


@pytest.fixture
def recordings(either_octave):
    return Recordings(either_octave)


def octave_s_noise(name):
    def compute(octave):
        number = DATASETS["tid2013"][name].number
        (made,) = octave.ask([Job("tid2013", number, LEVEL, grey(), seed=11)])
        return np.stack(statistics.described(answers.pixels_of(made.file).astype(float) - grey()))

    return compute


def our_noise(distort, value, seed=0):
    return statistics.described(distort(grey(), value, np.random.default_rng(seed)).astype(float) - grey())


def too_much(name):
    """The port's own with a tenth more variance or deviation, or half as many impulses again."""
    row, factor = DATASETS["tid2013"][name], 1.5 if name == "IN" else 1.1
    return lambda image, value, rng: row.apply(image, value * factor, rng)


def drawn_over_two_pixels(name):
    """Right mean and variance, wrong spectrum: a generator that repeats each number in the next column."""

    class Repeating:
        def __init__(self, rng):
            self.rng = rng

        def standard_normal(self, size):
            return np.repeat(self.rng.standard_normal(size), 2, axis=1)[:, : size[1]]

        def uniform(self, size):
            return np.repeat(self.rng.uniform(size=size), 2, axis=1)[:, : size[1]]

    row = DATASETS["tid2013"][name]
    return lambda image, value, rng: row.apply(image, value, Repeating(rng))


WRONG = {
    "GN": variants.grey_noise,
    "MGN": variants.one_factor_for_all_channels,
    "IN": variants.impulses_on_whole_pixels,
}


@pytest.mark.parametrize("name", NOISY)
def test_noise_has_the_same_distribution(recordings, parity, name):
    row = DATASETS["tid2013"][name]
    value = row.levels[LEVEL - 1]
    theirs = recordings.get(name, octave_s_noise(name))
    limit = statistics.allowed(theirs.shape[1], FALSE_ALARM)
    for seed in (0, 1):
        error = statistics.apart(our_noise(row.apply, value, seed), theirs)
        parity.check(RUNG, f"tid2013 {name}{LEVEL}, standard errors, seed {seed}", error, limit)
    wrong = {"too much": too_much(name), "drawn over two pixels": drawn_over_two_pixels(name)}
    if name in WRONG:
        wrong[WRONG[name].__name__.replace("_", " ")] = WRONG[name]
    for what, distort in wrong.items():
        parity.must_fail(
            RUNG, f"tid2013 {name}{LEVEL}: {what}", statistics.apart(our_noise(distort, value), theirs), limit
        )


def octave_s_places(name):
    """Upstream's functions, asked for one patch or block at a time."""

    def compute(octave):
        height, width, side = PLACED[name]
        image = every_place_another()[:height, :width].copy()
        call, more = {"NEPN": ("nepn", 1), "BW": ("BlockWise", (1, 4))}[name]
        made = octave.ask([Job(call, more, 1, image, seed=seed) for seed in range(PLACES)])
        return counts([corner(image, answers.pixels_of(one.file), side) for one in made])

    return compute


def our_places(name, wider=0):
    """The same by the port; wider: by how much the picture is, for a wrong variant."""
    height, width, side = PLACED[name]
    image = every_place_another()[:height, : width + wider].copy()
    rng = np.random.default_rng(0)
    apply = DATASETS["tid2013"][name].apply
    return counts([corner(image, apply(image, 1, rng), side) for _ in range(PLACES)])


@pytest.mark.parametrize("name", PLACED)
def test_places_have_the_same_distribution(recordings, parity, name):
    theirs = recordings.get(f"{name} places", octave_s_places(name))
    ours = our_places(name)
    assert np.array_equal(ours > 0, theirs > 0)  # every place that Octave draws, and no other
    error, freedom = statistics.counts_apart(ours, theirs)
    limit = statistics.allowed_counts(freedom, FALSE_ALARM)
    parity.check(RUNG, f"tid2013 {name}: places, chi square", error, limit)
    wider, freedom = statistics.counts_apart(our_places(name, wider=1), theirs)
    parity.must_fail(RUNG, f"tid2013 {name}: places one column further", wider, limit)
