"""Parity test `octave drawn`: with separate random generators, the random types must have the same distribution.

octave/statistics.py computes the compared statistics. FALSE_ALARM is the chance of each check to fail for equal
distributions if seeds were random. Seeds are fixed, so that a check always gives the same result. The command in
test_octave.py records the statistics of Octave's noise.
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
BINS = 20  # more than the number of possible tops or lefts
# (height, width, side): a picture so small that every place is drawn often, and the side of the patch or block
PLACED = {"NEPN": (40, 44, 15), "BW": (44, 41, 32)}


def grey():
    """Return a flat picture whose noise rarely leaves 0..255; its channels differ."""
    return np.full((SIDE, SIDE, 3), (120, 130, 110), np.uint8)


def every_place_another():
    """Return a picture in which a patch or block differs, at every place, from the pixels that it covers."""
    return np.random.RandomState(0).randint(1, 255, (64, 64, 3)).astype(np.uint8)


def corner(before, after, side):
    """Return (top, left) of the single square that was changed."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    assert rows.max() - rows.min() == side - 1 and columns.max() - columns.min() == side - 1
    return rows.min(), columns.min()


def counts(places):
    """Count how often each top and each left was drawn: (2 * BINS,)."""
    return np.concatenate([np.bincount(offsets, minlength=BINS) for offsets in np.array(places).T])


class Recordings:
    """Octave's statistics, live or recorded."""

    def __init__(self, either):
        self.either = either

    def get(self, name, compute):
        """Return compute(octave_client.Octave) with live Octave, checked or saved; otherwise the recorded array."""
        kept = dict(np.load(STATISTICS, allow_pickle=False)) if STATISTICS.exists() else {}
        live = isinstance(self.either, answers.Live)
        if name not in kept and not (live and self.either.keep):
            raise answers.NotRecorded(f"{name}: Octave's noise was never recorded; {answers.AGAIN}")
        if not live:
            return kept[name]
        computed = compute(self.either.octave)
        if self.either.keep:
            STATISTICS.parent.mkdir(parents=True, exist_ok=True)
            with replacing(STATISTICS) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **{**kept, name: computed})
        else:
            assert np.allclose(computed, kept[name], rtol=1e-9), f"{name}: differs from the recording; {answers.AGAIN}"
        return computed


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
    """Return the port's distortion with 10% more variance or deviation, or 50% more impulses."""
    row, factor = DATASETS["tid2013"][name], 1.5 if name == "IN" else 1.1
    return lambda image, value, rng: row.apply(image, value * factor, rng)


def drawn_over_two_pixels(name):
    """Return a distortion with the right mean and variance but a wrong spectrum: each number comes in two columns."""

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
    """Return a function that counts the places of upstream's patches or blocks, one for each call."""

    def compute(octave):
        height, width, side = PLACED[name]
        image = every_place_another()[:height, :width].copy()
        call, more = {"NEPN": ("nepn", 1), "BW": ("BlockWise", (1, 4))}[name]
        made = octave.ask([Job(call, more, 1, image, seed=seed) for seed in range(PLACES)])
        return counts([corner(image, answers.pixels_of(picture.file), side) for picture in made])

    return compute


def our_places(name, wider=0):
    """Count the port's places; wider: how many columns to add to the picture, for a wrong variant."""
    height, width, side = PLACED[name]
    image = every_place_another()[:height, : width + wider].copy()
    rng = np.random.default_rng(0)
    apply = DATASETS["tid2013"][name].apply
    return counts([corner(image, apply(image, 1, rng), side) for _ in range(PLACES)])


@pytest.mark.parametrize("name", PLACED)
def test_places_have_the_same_distribution(recordings, parity, name):
    theirs = recordings.get(f"{name} places", octave_s_places(name))
    ours = our_places(name)
    assert np.array_equal(ours > 0, theirs > 0)  # exactly the places that Octave draws
    error, freedom = statistics.counts_apart(ours, theirs)
    limit = statistics.allowed_counts(freedom, FALSE_ALARM)
    parity.check(RUNG, f"tid2013 {name}: places, chi square", error, limit)
    wider, freedom = statistics.counts_apart(our_places(name, wider=1), theirs)
    parity.must_fail(RUNG, f"tid2013 {name}: places one column further", wider, limit)
