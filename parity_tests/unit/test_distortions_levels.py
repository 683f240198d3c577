"""Every distortion type at every level: sizes, generators, and that a higher level is a stronger distortion.

The measure must fall from each level to the next for at least 95 % of the pairs of a photograph and two neighbouring
levels. The images are the central 240 x 240 pixels of all thirty photographs (ID: 96 x 96 pixels of eight). The measure
is PSNR; for BW it is SSIM of the luma, because BW's colour approaches the image's mean as its blocks increase in number
(PSNR falls for 78 % of the pairs). The exceptions are in NEPN, BW, JGTE and J2TE, which change few random places. Mean
shift, contrast and saturation are also checked by measures of their own.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

import rankiqa
from rankiqa.distortions import DATASETS, LIVE, ORIGINS, TID2013, WILD, camera, find
from rankiqa.distortions.colour_space import rgb_to_ycbcr

PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "photographs"
NAMES = sorted(path.stem for path in PHOTOGRAPHS.glob("*.jpg"))
EVERY = [(dataset, name) for dataset, table in DATASETS.items() for name in table]
DRAWS = {"GN", "GNC", "SCN", "MN", "HFN", "IN", "ID", "JGTE", "J2TE", "NEPN", "BW", "MGN", "CN", "LCNI", "SSR"}
DRAWS |= {"MOTION", "GRAIN", "LOWLIGHT"}
ODD = {"NEPN": (31, 37), "BW": (33, 47)}  # their smallest sizes; (17, 23) for the others


def needs_packages(name):
    if name == "ID":
        pytest.importorskip("bm3d")


def middle(name, side):
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as image:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return np.array(image.convert("RGB").crop((left, top, left + side, top + side)))


def luma(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def levels_of(dataset, name, image, seed):
    for level in range(1, len(DATASETS[dataset][name].levels) + 1):
        yield rankiqa.distort(image, name, level, np.random.default_rng([seed, level]), dataset)


@pytest.mark.parametrize(("dataset", "name"), EVERY)
def test_each_level_is_stronger_than_the_one_before(dataset, name):
    needs_packages(name)
    falls = []
    for photograph in NAMES[:8] if name == "ID" else NAMES:
        image = middle(photograph, 96 if name == "ID" else 240)
        distorted = levels_of(dataset, name, image, zlib.crc32(photograph.encode()))
        if name == "BW":
            measures = [structural_similarity(luma(image), luma(changed), data_range=255) for changed in distorted]
        else:
            measures = [cv2.PSNR(image, changed) for changed in distorted]
        falls += (np.diff(measures) < 0).tolist()
    print(f"{dataset} {name}: {np.mean(falls):.3f} of {len(falls)}")
    assert np.mean(falls) >= 0.95


def chroma_slope(image, changed):
    before, after = (rgb_to_ycbcr(picture)[:, :, 1:].astype(np.float64).ravel() - 128 for picture in (image, changed))
    return (before * after).sum() / (before**2).sum()


@pytest.mark.parametrize(
    ("name", "measure", "sign"),
    [
        ("MSH", lambda image, changed: changed.mean(), 1),
        ("MSL", lambda image, changed: changed.mean(), -1),
        ("CCL", lambda image, changed: changed.std(), -1),
        ("CCH", lambda image, changed: changed.mean(), 1),
        ("CS", chroma_slope, -1),
    ],
)
def test_the_parameters_own_measure_goes_one_way(name, measure, sign):
    for photograph in NAMES[::4]:
        image = middle(photograph, 240)
        measures = [measure(image, image)]
        measures += [measure(image, changed) for changed in levels_of("tid2013", name, image, 0)]
        assert (sign * np.diff(measures) > 0).all(), (photograph, measures)


@pytest.mark.parametrize(("dataset", "name"), EVERY)
def test_odd_sizes_keep_shape_type_and_input(dataset, name):
    needs_packages(name)
    image = middle("castle", 64)[: ODD.get(name, (17, 23))[0], : ODD.get(name, (17, 23))[1]]
    unchanged = image.copy()
    image.setflags(write=False)
    for changed in levels_of(dataset, name, image, 0):
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert not np.shares_memory(changed, image)
        changed[0, 0] = 0  # the result is writable
    assert np.array_equal(image, unchanged)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (40, 3)])
@pytest.mark.parametrize(("dataset", "name"), [pair for pair in EVERY if pair[1] not in ODD])
def test_small_sizes(dataset, name, size):
    needs_packages(name)
    image = np.ascontiguousarray(middle("castle", 64)[: size[0], : size[1]])
    for changed in levels_of(dataset, name, image, 0):
        assert changed.shape == image.shape


@pytest.mark.parametrize("make_rng", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize(("dataset", "name"), EVERY)
def test_same_generator_same_pixels(dataset, name, make_rng):
    needs_packages(name)
    image = middle("castle", 64)
    first, second, other = (rankiqa.distort(image, name, 4, make_rng(seed), dataset) for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert np.array_equal(first, other) == (name not in DRAWS)


@pytest.mark.parametrize("name", TID2013)
def test_views_give_the_same_pixels(name):
    needs_packages(name)
    image = middle("castle", 48)
    view = np.asfortranarray(image)[::-1, ::-1][::-1, ::-1]
    first, second = (rankiqa.distort(given, name, 2, np.random.RandomState(0), "tid2013") for given in (image, view))
    assert np.array_equal(first, second)


def test_the_tables_are_whole():
    assert set(LIVE) == {"GB", "GN", "JPEG", "JP2K"}
    assert {row.number for row in TID2013.values()} == set(range(1, 25))
    assert [name for name, row in TID2013.items() if row.origin == "listed"] == ["MSL", "CCH"]
    ours = {row.number for row in TID2013.values() if row.origin == "ours"}
    assert ours == {3, 4, 12, 13, 20, 21, 24}
    assert sum(row.origin == "upstream" for row in TID2013.values()) == 17
    for table, levels in ((LIVE, 5), (TID2013, 4), (WILD, 5)):
        for name, row in table.items():
            assert row.name == name and len(row.levels) == levels and row.origin in ORIGINS
            ordered = sorted(row.levels)
            assert list(row.levels) in (ordered, ordered[::-1]) and len(set(row.levels)) == levels
            assert row.suffix == {"JPEG": ".jpg", "JP2K": ".jp2"}.get(name, ".bmp")
            assert (row.encode is None) == (row.suffix == ".bmp")


def test_which_table_a_name_is_looked_up_in():
    image = middle("castle", 64)
    assert find("GN", 1) == (LIVE["GN"], -10)
    assert find("GN", 1, "tid2013") == (TID2013["GN"], 0.001)
    assert find("CA", 4) == (TID2013["CA"], 14)
    rng = [np.random.RandomState(0) for _ in range(2)]
    white, stronger = rankiqa.distort(image, "GN", 4, rng[0], "tid2013"), rankiqa.distort(image, "GN", 4, rng[1])
    assert cv2.PSNR(image, white) > cv2.PSNR(image, stronger)  # variances of 0.05 and 2^-3.5 = 0.09


@pytest.mark.parametrize(
    ("name", "level", "dataset", "words"),
    [
        ("GB", 1, "csiq", "data set of live, tid2013, wild, got 'csiq'"),
        ("CA", 1, "live", "distortion of GB, GN, JPEG, JP2K, got 'CA'"),
        ("MS", 1, None, "SSR, MOTION, .*OVERSMOOTHED, got 'MS'"),
        ("GB", 5, "tid2013", "GB has levels 1 to 4, got 5"),
        ("CA", 5, None, "CA has levels 1 to 4, got 5"),
    ],
)
def test_unknown_names_and_levels(name, level, dataset, words):
    with pytest.raises(ValueError, match=words):
        rankiqa.distort(middle("castle", 64), name, level, np.random, dataset)


@pytest.mark.parametrize("rng", [None, 0])
@pytest.mark.parametrize(("dataset", "name"), EVERY)
def test_no_generator(dataset, name, rng):
    """A seed is not a generator; types that draw no random numbers need none."""
    needs_packages(name)
    image = middle("castle", 64)
    if name in DRAWS:
        with pytest.raises(
            ValueError, match=f"{name} needs a numpy RandomState or Generator, got {type(rng).__name__}"
        ):
            rankiqa.distort(image, name, 1, rng, dataset)
    else:
        assert rankiqa.distort(image, name, 1, rng, dataset).shape == image.shape


def test_the_rows_of_wild_name_their_sources():
    assert len(WILD) == 14
    for row in WILD.values():
        assert row.origin == "wild" and row.source and row.number is None
    for table in (LIVE, TID2013):
        assert not any(row.source for row in table.values())


@pytest.mark.parametrize("kernel", [camera.motion_kernel(10, 0.4), camera.disk_kernel(3.5), camera.disk_kernel(1)])
def test_kernels_keep_the_brightness_and_the_place(kernel):
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1)
    assert (kernel.sum(1) * places).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel.sum(0) * places).sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("length", "angle"), [(3, 0.0), (10, 0.7), (26, 2.5)])
def test_a_motion_kernel_is_a_line_of_its_length_and_angle(length, angle):
    kernel = camera.motion_kernel(length, angle)
    places = np.arange(len(kernel)) - len(kernel) // 2
    up, right = np.meshgrid(-places, places, indexing="ij")
    along = right * np.cos(angle) + up * np.sin(angle)
    across = -right * np.sin(angle) + up * np.cos(angle)
    # The variance of a line is length^2 / 12; splitting a sample between pixels adds at most 1/4 in each direction
    assert (kernel * along**2).sum() == pytest.approx(length**2 / 12, abs=0.3)
    assert (kernel * across**2).sum() < 0.3


def test_a_disk_has_its_area():
    for radius in (2, 3.5, 8):
        kernel = camera.disk_kernel(radius)
        assert 1 / kernel.max() == pytest.approx(np.pi * radius**2, rel=0.1)


def test_low_light_has_the_stated_gain_and_shot_noise():
    for value in (40, 120, 240):
        grey = np.full((300, 300, 3), value, np.uint8)
        for level, gain, factor in ((1, 0.75, 0.2), (3, 0.4, 0.6), (5, 0.17, 1.0)):
            noisy = rankiqa.distort(grey, "LOWLIGHT", level, np.random.default_rng(0)).astype(float)
            assert noisy.mean() == pytest.approx(gain * value, abs=0.1)
            assert noisy.var() == pytest.approx(factor**2 * gain * value + 1 / 12, rel=0.05)


def test_exposure_contrast_and_haze_by_definition():
    image = middle("castle", 64)
    wide, mean = image.astype(float), image.mean()
    expected = {
        "OVEREXPOSED": 1.8 * wide + 24,
        "LOWCONTRAST": mean + 0.43 * (wide - mean),
        "HAZE": 0.5 * wide + 215 * 0.5,
    }
    for name, exact in expected.items():
        ours = rankiqa.distort(image, name, 3, np.random.default_rng(0))
        assert np.abs(ours - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-9, name


def test_oversharpening_and_low_resolution_by_definition():
    image = middle("castle", 64)
    wide = image.astype(float)
    offsets = np.arange(-12, 13)
    taps = np.exp(-(offsets**2) / (2 * 1.5**2))
    taps /= taps.sum()
    blurred = np.pad(wide, ((12, 12), (12, 12), (0, 0)), "symmetric")
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, taps, "valid")
    exact = np.clip(wide + 3.8 * (wide - blurred), 0, 255)
    assert np.abs(rankiqa.distort(image, "OVERSHARPENED", 3, np.random) - exact).max() <= 1
    small = wide[:63, :63].reshape(21, 3, 21, 3, 3).mean((1, 3))
    expected = cv2.resize(small, (63, 63), interpolation=cv2.INTER_CUBIC)
    ours = rankiqa.distort(np.ascontiguousarray(image[:63, :63]), "LOWRES", 3, np.random)
    assert np.abs(ours - np.clip(expected, 0, 255)).max() <= 2  # the port rounds between the two steps
