"""Quantisation, palettes, coders with errors, and sparse sampling compared with their definitions."""

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import rankiqa
from rankiqa.distortions import DATASETS, TID2013
from rankiqa.distortions.compression import decode, encode_jpeg2000
from rankiqa.distortions.palette import dithered, minimum_variance_palette
from rankiqa.distortions.quantisation import otsu_thresholds
from rankiqa.distortions.sparse_sampling import kept_pixels

PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "photographs"
LEVELS = (1, 2, 3, 4)
CODED = [(dataset, name) for dataset, table in DATASETS.items() for name, row in table.items() if row.encode]


def photograph(name, height=300, width=450):
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as image:
        return np.array(image.convert("RGB"))[:height, :width]


def noise_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def distort(image, name, level, seed=0):
    return rankiqa.distort(image, name, level, np.random.RandomState(seed), "tid2013")


def variance_within(counts, thresholds):
    total = 0.0
    for low, high in itertools.pairwise([-1, *thresholds, 255]):
        values = np.repeat(np.arange(low + 1, high + 1), counts[low + 1 : high + 1])
        total += ((values - values.mean()) ** 2).sum() if len(values) else 0
    return total


@pytest.mark.parametrize("number", [1, 2, 3])
def test_thresholds_are_the_best_of_all(number):
    rng = np.random.RandomState(number)
    values = np.sort(rng.choice(256, 14, replace=False))
    counts = np.zeros(256, int)
    counts[values] = rng.randint(1, 50, 14)
    ours = otsu_thresholds(counts, number)
    candidates = itertools.combinations(values[:-1].tolist(), number)
    best = min(candidates, key=lambda thresholds: variance_within(counts, thresholds))
    assert variance_within(counts, ours) == pytest.approx(variance_within(counts, best), rel=1e-12)
    assert set(ours) <= set(values)  # of equally good thresholds the lowest is taken, which is a value that occurs


def test_thresholds_are_scikit_images():
    from skimage.filters import threshold_multiotsu

    image = photograph("dahlia")
    counts = np.bincount(image.ravel(), minlength=256)
    for classes in (2, 3, 4):
        theirs = threshold_multiotsu(hist=(counts, np.arange(256)), classes=classes)
        assert variance_within(counts, otsu_thresholds(counts, classes - 1)) <= variance_within(counts, theirs) + 1e-6


@pytest.mark.parametrize(("level", "number"), list(zip(LEVELS, (9, 7, 5, 3))))
def test_quantisation_by_definition(level, number):
    image = photograph("brook", 60, 70)
    limits = otsu_thresholds(np.bincount(image.ravel(), minlength=256), number)
    ours = distort(image, "QN", level)
    for at in np.ndindex(image.shape):
        above = sum(image[at] > limit for limit in limits)
        assert ours[at] == [0, *limits[1:], 255][above]
    by_channel = [otsu_thresholds(np.bincount(image[:, :, c].ravel(), minlength=256), number) for c in range(3)]
    assert any((limits != own).any() for own in by_channel)  # per-channel thresholds would differ


def test_quantising_fewer_values_than_classes():
    image = np.full((20, 20, 3), 90, np.uint8)
    image[:10] = 30
    assert np.unique(distort(image, "QN", 1)).tolist() == [0, 90]
    assert np.unique(distort(np.full((20, 20, 3), 90, np.uint8), "QN", 4)).tolist() == [0]


def spread(pixels):
    return ((pixels - pixels.mean(0)) ** 2).sum()


@pytest.mark.parametrize("colours", [2, 5, 8])
def test_palette_cuts_the_box_of_most_variance_at_its_best_plane(colours):
    image = photograph("macaw", 40, 50)
    boxes = [image.reshape(-1, 3)]
    while len(boxes) < colours:
        boxes.sort(key=lambda pixels: spread(pixels.astype(np.float64)))
        widest, cuts = boxes.pop(), []
        for axis, place in itertools.product(range(3), range(8, 256, 8)):
            below = widest[:, axis] < place
            if below.any() and not below.all():
                parts = widest[below], widest[~below]
                cuts.append((sum(spread(part.astype(np.float64)) for part in parts), axis, place, parts))
        boxes += min(cuts, key=lambda cut: cut[:3])[3]
    expected = sorted(np.floor(pixels.mean(0) + 0.5).tolist() for pixels in boxes)
    assert sorted(minimum_variance_palette(image, colours).tolist()) == expected


@pytest.mark.parametrize(("level", "colours"), list(zip(LEVELS, (64, 32, 16, 8))))
def test_quantised_colours_are_the_palettes_and_keep_the_mean(level, colours):
    image = photograph("macaw")
    ours = distort(image, "CQD", level)
    palette = {tuple(colour) for colour in minimum_variance_palette(image, colours)}
    used = {tuple(colour) for colour in np.unique(ours.reshape(-1, 3), axis=0)}
    assert used <= palette and len(palette) == colours and len(used) > colours * 0.9
    chosen = minimum_variance_palette(image, colours).astype(np.int64)
    distances = ((image[:, :, None].astype(np.int64) - chosen) ** 2).sum(3)
    nearest = chosen[distances.argmin(2)]
    blurred, plain, original = (cv2.blur(np.float64(picture), (15, 15)) for picture in (ours, nearest, image))
    assert np.abs(blurred - original).mean() < 0.9 * np.abs(plain - original).mean()  # dithering keeps the local mean


def test_colours_without_dither_are_noticed():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[:, :, None], 3, 2)
    palette = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    ours = dithered(ramp, palette).astype(np.float64)
    assert np.abs(ours.mean((0, 2)).reshape(16, 16).mean(1) - ramp[0, :, 0].reshape(16, 16).mean(1)).max() < 6
    nearest = np.where(ramp < 128, 0, 255).astype(np.float64)
    assert np.abs(nearest.mean((0, 2)).reshape(16, 16).mean(1) - ramp[0, :, 0].reshape(16, 16).mean(1)).max() > 60


def test_a_picture_of_few_colours_stays_as_it_is():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, :16], image[16:] = (250, 10, 40), (0, 90, 255)
    assert np.array_equal(distort(image, "CQD", 4), image)


@pytest.mark.parametrize("size", [(256, 256), (256, 321), (300, 450)])
@pytest.mark.parametrize("name", ["castle", "hens", "petra"])
def test_jpeg2000_file_has_the_stated_size(name, size):
    image = photograph(name, *size)
    for bits_per_pixel in (0.46, 0.16, 0.07, 0.04, 0.02):
        file = encode_jpeg2000(image, bits_per_pixel)
        size = image.shape[0] * image.shape[1] * bits_per_pixel / 8
        boxes = 0 if size >= 285 else 85  # below 285 bytes the stated size is the codestream's
        assert len(file) == pytest.approx(size + boxes, rel=0.05)
        assert file.index(b"\xff\x4f\xff\x51") == 85


@pytest.mark.parametrize(("dataset", "name"), CODED)
def test_the_file_decodes_to_what_distort_returns(dataset, name, tmp_path):
    image = photograph("castle", 111, 163)
    row = DATASETS[dataset][name]
    for level, value in enumerate(row.levels, 1):
        expected = rankiqa.distort(image, name, level, None, dataset)
        path = tmp_path / f"{level}{row.suffix}"
        path.write_bytes(row.encode(image, value, None))
        with Image.open(path) as opened:
            assert opened.format == {".jpg": "JPEG", ".jp2": "JPEG2000"}[row.suffix]
            assert np.array_equal(np.array(opened), expected)
        assert np.array_equal(cv2.imread(str(path))[:, :, ::-1], expected)


def test_jpeg_errors_hit_the_stated_share_of_intervals():
    image = photograph("bison", 256, 320)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    clean = decode(cv2.imencode(".jpg", image[:, :, ::-1], settings)[1].tobytes())
    intervals = 16 * 20
    for level, share in zip(LEVELS, (0.02, 0.08, 0.3, 1.0)):
        differs = (distort(image, "JGTE", level) != clean).any(2)
        changed = sum(
            differs[y : y + 16, x : x + 16].any() for y, x in itertools.product(range(0, 256, 16), range(0, 320, 16))
        )
        # Chroma is upsampled across an interval's edge, so neighbours may change too; a few errors change nothing
        assert 0.8 * round(share * intervals) <= changed <= min(9 * round(share * intervals), intervals)


def test_jpeg_errors_end_at_the_next_marker():
    image = photograph("bison", 256, 320)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    clean = decode(cv2.imencode(".jpg", image[:, :, ::-1], settings)[1].tobytes())
    differs = (distort(image, "JGTE", 1) != clean).any(2)
    assert differs.mean() < 0.02 * 2.5  # six intervals of 320, each with an edge around it


@pytest.mark.parametrize("level", LEVELS)
def test_jpeg2000_errors_leave_a_picture(level):
    for name, size in (("bison", (256, 320)), ("moose", (63, 65)), ("fig", (16, 16))):
        image = photograph(name, *size)
        for seed in range(6):
            ours = distort(image, "J2TE", level, seed)
            assert ours.shape == image.shape
            assert cv2.PSNR(image, ours) > 9


def test_jpeg2000_errors_are_few_at_first():
    image = photograph("bison", 256, 320)
    file = io.BytesIO()
    Image.fromarray(image).save(
        file, "JPEG2000", no_jp2=True, irreversible=True, mct=1, codeblock_size=(32, 32), precinct_size=(64, 64),
        quality_mode="rates", quality_layers=[12], plt=True,
    )  # fmt: skip
    differs = (distort(image, "J2TE", 1).astype(int) - decode(file.getvalue())).any(2)
    assert 0 < differs.mean() < 0.9


def test_jpeg2000_errors_without_packet_lengths_are_refused(monkeypatch):
    monkeypatch.setattr("rankiqa.distortions.transmission._packets", lambda data: (0, []))
    with pytest.raises(ValueError, match="J2TE needs a Pillow with OpenJPEG"):
        distort(noise_image(64, 64), "J2TE", 1)


@pytest.mark.parametrize("share", [0.5, 0.07])
def test_sparse_sampling_keeps_the_share_and_sees_nothing_else(share):
    kept = kept_pixels(50, 61, share, np.random.RandomState(0))
    assert kept.sum() == round(share * 50 * 61)
    assert not np.array_equal(kept, kept_pixels(50, 61, share, np.random.RandomState(1)))
    image, other = noise_image(50, 61), noise_image(50, 61, 1)
    other[kept] = image[kept]
    apply = TID2013["SSR"].apply
    first, second = (apply(picture, share, np.random.RandomState(0)) for picture in (image, other))
    assert np.array_equal(first, second)


def test_sparse_sampling_restores_a_smooth_picture():
    y, x = np.mgrid[:64, :80]
    image = np.stack([128 + 90 * np.cos(x / 13) * np.cos(y / 17)] * 3, 2).astype(np.uint8)
    assert cv2.PSNR(image, distort(image, "SSR", 1)) > 30
