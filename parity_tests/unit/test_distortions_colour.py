"""Colour, contrast, blocks and patches compared with their definitions; the tests notice wrong variants."""

import numpy as np
import pytest

import rankiqa
from rankiqa.distortions.blocks import colour_of_blocks
from rankiqa.distortions.colour_space import rgb_to_ycbcr, ycbcr_to_rgb

LEVELS = (1, 2, 3, 4)


def noise_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def uint8(value):
    """Do what MATLAB's uint8() does to a number."""
    return int(min(max(value, 0), 255) + 0.5)


def distort(image, name, level, rng=None):
    return rankiqa.distort(image, name, level, rng or np.random.RandomState(0), "tid2013")


@pytest.mark.parametrize("name", ["MSH", "MSL"])
def test_mean_shift_saturates(name):
    image = noise_image(9, 8)
    for level, shift in zip(LEVELS, (15, 30, 45, 60)):
        ours = distort(image, name, level)
        for at in np.ndindex(image.shape):
            assert ours[at] == min(max(int(image[at]) + (shift if name == "MSH" else -shift), 0), 255)


@pytest.mark.parametrize(("name", "factors"), [("CCL", (0.85, 0.7, 0.55, 0.4)), ("CCH", (1.2, 1.4, 1.6, 1.8))])
def test_contrast_by_definition(name, factors):
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    for level, factor in zip(LEVELS, factors):
        expected = [uint8(value / 255 * 255 * factor) for value in range(256)]
        assert distort(image, name, level)[:, :, 1].ravel().tolist() == expected


def test_another_rounding_or_centre_of_contrast_is_noticed():
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    ours = distort(image, "CCL", 1)
    for wrong in (np.floor(image * 0.85), np.rint(image * 0.85), 128 + (image - 128.0) * 0.85):
        assert np.abs(ours - wrong).max() >= 1


def luma_and_chroma(r, g, b, offset=16, scales=(65.481, 128.553, 24.966)):
    y = offset + (scales[0] * r + scales[1] * g + scales[2] * b) / 255
    cb = 128 + (-37.79683 * r - 74.20317 * g + 112 * b) / 255
    cr = 128 + (112 * r - 93.78602 * g - 18.21398 * b) / 255
    return y, cb, cr


def test_studio_range_by_definition():
    image = noise_image(40, 40)
    ours = rgb_to_ycbcr(image)
    for y, x in np.ndindex(40, 40):
        exact = luma_and_chroma(*(float(v) for v in image[y, x]))
        assert all(abs(o - e) < 0.5001 for o, e in zip(ours[y, x], exact, strict=True))
    corners = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8)
    assert rgb_to_ycbcr(corners)[0].tolist() == [[16, 128, 128], [235, 128, 128], [81, 90, 240], [41, 240, 110]]


def test_where_the_exact_value_is_a_half_it_goes_as_octave_sends_it():
    # With fused or reordered sums, each of these six colours rounds the other way
    given = [[123, 251, 249], [190, 226, 202], [209, 109, 9], [217, 89, 91], [220, 208, 216], [242, 210, 148]]
    octave = [[198, 146, 72], [199, 123, 114], [125, 69, 179], [126, 110, 184], [198, 130, 133], [198, 96, 146]]
    assert rgb_to_ycbcr(np.array([given], np.uint8))[0].tolist() == octave


def test_there_and_back_again():
    image = noise_image(50, 50)
    planes = list((rgb_to_ycbcr(image) / 255).transpose(2, 0, 1))
    assert np.abs(ycbcr_to_rgb(planes) * 255 - image).max() < 2.1  # the loss by rounding Y, Cb and Cr


def saturation_by_definition(image, factor, *, rounded=True, grey=127.5, full=False):
    result = np.empty(image.shape)
    for at in np.ndindex(image.shape[:2]):
        r, g, b = (float(v) for v in image[at])
        scale = 255 / 219 if full else 1
        y, cb, cr = luma_and_chroma(r, g, b, 0 if full else 16, np.array([65.481, 128.553, 24.966]) * scale)
        if rounded:
            y, cb, cr = uint8(y), uint8(cb), uint8(cr)
        cb, cr = (grey + (value - grey) * factor for value in (cb, cr))
        y = y if full else (y - 16) * 255 / 219
        cb, cr = (cb - 128) * 255 / 224, (cr - 128) * 255 / 224
        result[at] = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    return np.clip(result, 0, 255)


@pytest.mark.parametrize(("level", "factor"), list(zip(LEVELS, (0.4, 0, -0.4, -0.8))))
def test_saturation_by_definition(level, factor):
    image = noise_image(20, 21)
    ours = distort(image, "CS", level)
    assert np.abs(ours - saturation_by_definition(image, factor)).max() < 0.51


@pytest.mark.parametrize("wrong", [{"full": True}, {"grey": 128.0}, {"rounded": False}])
def test_another_saturation_is_noticed(wrong):
    image = noise_image(20, 21)
    ours = distort(image, "CS", 3)
    assert np.abs(ours - saturation_by_definition(image, -0.4, **wrong)).max() > 0.51


def aberration_by_definition(image, shift, mode="symmetric", channels=(0, 1)):
    height, width, _ = image.shape
    moved = image.astype(np.float64)
    for channel, by in zip(channels, (shift - 1, shift // 2 - 1)):
        for x in range(by, width):
            moved[:, x, channel] = image[:, x - by, channel]
    padded = np.pad(moved, ((1, 1), (1, 1), (0, 0)), mode=mode)
    weights = np.array([[np.exp(-(y * y + x * x) / 0.5) for x in (-1, 0, 1)] for y in (-1, 0, 1)])
    weights /= weights.sum()
    result = np.zeros(image.shape)
    for y, x in np.ndindex(3, 3):
        result += weights[y, x] * padded[y : y + height, x : x + width]
    return np.floor(result + 0.5)


@pytest.mark.parametrize(("level", "shift"), list(zip(LEVELS, (2, 6, 10, 14))))
@pytest.mark.parametrize("size", [(16, 23), (9, 12), (5, 3)])
def test_aberration_by_definition(level, shift, size):
    image = noise_image(*size)
    assert np.array_equal(distort(image, "CA", level), aberration_by_definition(image, shift))


@pytest.mark.parametrize("wrong", [{"mode": "reflect"}, {"mode": "constant"}, {"channels": (0, 2)}])
def test_another_aberration_is_noticed(wrong):
    image = noise_image(16, 23)
    assert not np.array_equal(distort(image, "CA", 2), aberration_by_definition(image, 6, **wrong))


class Counted:
    """A generator that returns the given uniform numbers one after the other."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self):
        return self.numbers.pop(0)


def patches_by_definition(image, patches, rng, *, from_changed=False):
    height, width, _ = image.shape
    changed = image.copy()
    for _ in range(patches):
        top, left = int(rng.uniform() * (height - 30)), int(rng.uniform() * (width - 30))
        source = changed if from_changed else image
        part = source[top + 5 : top + 20, left + 5 : left + 20].copy()
        changed[top : top + 15, left : left + 15] = part
    return changed


@pytest.mark.parametrize(("level", "patches"), list(zip(LEVELS, (30, 70, 150, 300))))
def test_patches_by_definition(level, patches):
    image = noise_image(60, 71)
    ours = distort(image, "NEPN", level, np.random.RandomState(4))
    assert np.array_equal(ours, patches_by_definition(image, patches, np.random.RandomState(4)))
    wrong = patches_by_definition(image, patches, np.random.RandomState(4), from_changed=True)
    assert not np.array_equal(ours, wrong)


def test_patches_reach_as_far_as_upstreams_and_no_further():
    image = noise_image(50, 60)
    last = np.nextafter(1, 0)
    ours = distort(image, "NEPN", 1, Counted(*([0.0, 0.0] + [last, last] * 29)))
    changed = np.argwhere((ours != image).any(2))
    assert changed.min(0).tolist() == [0, 0]
    assert changed.max(0).tolist() == [50 - 30 - 1 + 14, 60 - 30 - 1 + 14]


def test_blocks_by_definition():
    image = noise_image(70, 81)
    mean = [sum(int(v) for v in image[:, :, c].ravel()) / (70 * 81) for c in range(3)]
    for level, count in zip(LEVELS, (2, 4, 8, 16)):
        red = {1: 0, 2: mean[0] + 50, 3: mean[0] + 30, 4: mean[0]}[level]
        colour = [uint8(red), uint8(mean[1]), uint8(mean[2])]
        assert colour_of_blocks(image, count).tolist() == colour
        expected, rng = image.copy(), np.random.RandomState(4)
        for _ in range(count):
            top, left = int(rng.uniform() * (70 - 32)), 1 + int(rng.uniform() * (81 - 33))
            expected[top : top + 32, left : left + 32] = colour
        assert np.array_equal(distort(image, "BW", level, np.random.RandomState(4)), expected)


def test_blocks_never_reach_the_first_column_nor_the_last():
    image = noise_image(60, 70)
    last = np.nextafter(1, 0)
    ours = distort(image, "BW", 1, Counted(0.0, 0.0, last, last))
    changed = np.argwhere((ours != image).any(2))
    assert changed.min(0).tolist() == [0, 1]  # randi([2 ..]) counts columns from 1
    assert changed.max(0).tolist() == [60 - 32 - 1 + 31, 70 - 32 - 1 + 31]


@pytest.mark.parametrize(("name", "size"), [("NEPN", (31, 31)), ("BW", (33, 34))])
def test_too_small_for_its_patches(name, size):
    height, width = size
    distort(noise_image(height, width), name, 4)
    for small in ((height - 1, width), (height, width - 1)):
        needed = rf"{name} needs at least {height} x {width} pixels \(H x W\), got {small[0]} x {small[1]}"
        with pytest.raises(ValueError, match=needed):
            distort(noise_image(*small), name, 1)
