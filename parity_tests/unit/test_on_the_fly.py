"""Ranked minibatches of photographs that are distorted on the fly: their order, versions, crops and fidelity labels."""

import itertools

import numpy as np
import pytest
import torch

import rankiqa
from lib.photograph_folder import TYPES, copy_photographs, photographs
from rankiqa.data.input_spec import InputSpec
from rankiqa.data.minibatches import minibatches
from rankiqa.distortions import WILD
from rankiqa.ranked_sets.fidelity import visual_information_fidelity
from rankiqa.ranked_sets.on_the_fly import DistortedOrder

SPEC = InputSpec(160, "RGB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy_photographs(tmp_path_factory.mktemp("photographs"))


def order(source, *, groups=2, levels=3, per_level=2, pristine_first=True, start=0):
    """Return a DistortedOrder that starts at a minibatch."""
    batches = DistortedOrder(
        source, groups=groups, levels=levels, per_level=per_level, pristine_first=pristine_first, seed=4
    )
    batches.start = start
    return batches


def first(source, count, workers=0, start=0):
    """Return `count` minibatches from minibatch `start` on."""
    batches = minibatches(source, order(source, start=start), spec=SPEC, seed=9, workers=workers, start=start)
    return list(itertools.islice(batches, count))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_same_for_any_workers_and_start(folder):
    source = photographs(folder, combine=0.5, scales=(0.6, 1.0), mirror=True)
    expected = first(source, 4)
    assert len({crops.numpy().tobytes() for crops, _ in expected}) == 4
    for actual, wanted in ((first(source, 4, workers=2), expected), (first(source, 2, start=2), expected[2:])):
        for ours, theirs in zip(actual, wanted, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_order(folder):
    """Types and photographs differ within a minibatch, photographs come once per round, levels are in ranked order."""
    source = photographs(folder)
    for pristine_first in (True, False):
        batches = list(itertools.islice(order(source, pristine_first=pristine_first), 5))
        ranking = [0, 0, 1, 1, 2, 2] if pristine_first else [2, 2, 1, 1, 0, 0]
        for keys in batches:
            assert [key[2] for key in keys] == ranking * 2
            kinds = [key[0] for key in keys]
            assert len(set(kinds)) == 2 and kinds == [kinds[0]] * 6 + [kinds[6]] * 6
            for group in (keys[:6], keys[6:]):
                assert len({key[1] for key in group}) == 2 and len({(key[1], key[3]) for key in group}) == 2
        numbers = [key[3] for keys in batches for key in keys]
        assert sorted(set(numbers)) == list(range(20))
        assert {key[1] for keys in batches for key in keys} == set(range(6))


def test_versions_are_the_distortions(folder):
    """Level 0 is the photograph, other levels are those of `rankiqa.distort`; a second type is one level milder."""
    source = photographs(folder)
    versions = source.crops(spec=SPEC, seed=9, cache_mb=0)
    image = rankiqa.read_image(source.paths[1])
    assert np.array_equal(versions.version(0, 1, 0, 7), image)
    for kind, level in itertools.product(range(4), (1, 3)):
        expected = rankiqa.distort(image, TYPES[kind], level, np.random.RandomState([9, 7, level, 3]), "wild")
        assert np.array_equal(versions.version(kind, 1, level, 7), expected)
    both = photographs(folder, ("HAZE", "LOWCONTRAST"), combine=1.0).crops(spec=SPEC, seed=9, cache_mb=1)
    rng = np.random.RandomState([9, 7, 3, 3])
    once = WILD["HAZE"].apply(image, WILD["HAZE"].levels[2], rng)
    twice = WILD["LOWCONTRAST"].apply(once, WILD["LOWCONTRAST"].levels[1], rng)
    assert np.array_equal(both.version(0, 1, 3, 7), twice) and not np.array_equal(once, twice)
    mildest = WILD["HAZE"].apply(image, WILD["HAZE"].levels[0], np.random.RandomState([9, 7, 1, 3]))
    assert np.array_equal(both.version(0, 1, 1, 7), mildest)
    half = photographs(folder, combine=0.5).crops(spec=SPEC, seed=9, cache_mb=1)
    plain = [np.array_equal(half.version(0, 1, 2, n), _without(versions, n)) for n in range(60)]
    assert 15 <= sum(plain) <= 45


def _without(versions, n):
    return versions.version(0, 1, 2, n)


def test_crops_are_of_the_version(folder):
    """Crops of different levels are at different places; they are in the form that the network takes."""
    versions = photographs(folder).crops(spec=SPEC, seed=9, cache_mb=0)
    places = set()
    for level in range(3):
        crop, label = versions[1, 2, level, 5]
        whole = versions.version(1, 2, level, 5)
        assert label == level and crop.shape == (3, 160, 160)
        windows = np.lib.stride_tricks.sliding_window_view(whole[:, :, 0], (160, 160))
        candidates = np.argwhere((windows[:, :, ::40, ::40] == crop[0, ::40, ::40].numpy()).all((2, 3)))
        exact = [at for at in map(tuple, candidates) if np.array_equal(windows[at], crop[0].numpy())]
        assert len(exact) == 1
        places.add(exact[0])
    assert len(places) == 3


def test_scales_mirror_and_longest(folder):
    source = photographs(folder, scales=(0.2, 0.9), mirror=True, longest=400)
    versions = source.crops(spec=SPEC, seed=0, cache_mb=0)
    shapes = [versions.version(0, 1, 0, n).shape[:2] for n in range(40)]
    assert min(map(min, shapes)) == 160 and max(map(max, shapes)) <= 360 and len(set(shapes)) > 8
    plain = photographs(folder, mirror=True).crops(spec=SPEC, seed=0, cache_mb=0)
    image = rankiqa.read_image(source.paths[1])
    kinds = [np.array_equal(plain.version(0, 1, 0, n), image) for n in range(40)]
    assert 10 <= sum(kinds) <= 30
    n = kinds.index(False)
    assert np.array_equal(plain.version(0, 1, 0, n), image[:, ::-1])


def test_fidelity(folder):
    """The fidelity of a photograph to itself is 1 and falls with the level; a crop's label is that of its own place.

    Only overexposure first raises it, on a dark photograph: the contrast grows until highlights are clipped.
    """
    image = rankiqa.read_image(folder / "cat.jpg")
    assert visual_information_fidelity(image, image) == 1.0
    for kind, row in WILD.items():
        if kind == "OVEREXPOSED":
            continue
        versions = [row.apply(image, level, np.random.RandomState(0)) for level in row.levels]
        values = [visual_information_fidelity(version, image) for version in versions]
        assert all(0 < worse < better <= 1 for better, worse in itertools.pairwise(values)), kind
    more_contrast = np.clip(image * 1.1, 0, 255).astype(np.uint8) // 2 * 2
    assert visual_information_fidelity(more_contrast, image // 2) == 1.0  # limited to 1
    with pytest.raises(ValueError, match="expected the same shape"):
        visual_information_fidelity(image, image[1:])
    source = photographs(folder, fidelity=True, combine=1.0, scales=(0.9, 1.0), mirror=True)
    versions = source.crops(spec=SPEC, seed=9, cache_mb=0)
    assert versions[1, 2, 0, 5][1] == 1.0
    crop, label = versions[1, 2, 2, 5]
    distorted, pristine = versions.version(1, 2, 2, 5), versions.version(1, 2, 0, 5)
    windows = np.lib.stride_tricks.sliding_window_view(distorted[:, :, 0], (160, 160))
    ((top, left),) = np.argwhere((windows[:, :, ::8, ::8] == crop[0, ::8, ::8].numpy()).all((2, 3)))
    place = slice(top, top + 160), slice(left, left + 160)
    assert label == visual_information_fidelity(distorted[place], pristine[place]) < 1
