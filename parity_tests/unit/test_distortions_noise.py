"""The noise distortions compared with their definitions, value by value, and their statistics.

Statistical tests allow five standard errors, so about one seed in two million would fail.
"""

import numpy as np
import pytest

import rankiqa
from rankiqa.distortions import TID2013
from rankiqa.distortions.frequency import filtered, high_pass
from rankiqa.distortions.structured_noise import activity

LEVELS = (1, 2, 3, 4)
SIGMAS = 5


def noise_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def uint8(value):
    """Do what MATLAB's uint8() does to a number."""
    return int(min(max(value, 0), 255) + 0.5)


def normal_numbers(seed, *shape):
    return np.random.RandomState(seed).standard_normal(size=shape)


def distort(image, name, level, seed=3, dataset="tid2013"):
    return rankiqa.distort(image, name, level, np.random.RandomState(seed), dataset)


def is_near(value, expected, standard_error):
    assert abs(value - expected) < SIGMAS * standard_error, (value, expected, standard_error)


@pytest.mark.parametrize(("level", "variance"), list(zip(LEVELS, (0.001, 0.005, 0.01, 0.05))))
def test_white_noise_is_imnoise(level, variance):
    image = noise_image(9, 7)
    ours, normal = distort(image, "GN", level), normal_numbers(3, 9, 7, 3)
    for at in np.ndindex(image.shape):
        noisy = image[at] / 255 + np.sqrt(variance) * normal[at]
        assert ours[at] == uint8(255 * min(max(noisy, 0), 1))


@pytest.mark.parametrize("name", ["GN", "SCN"])
@pytest.mark.parametrize("level", [1, 2])  # stronger noise is clipped
def test_noise_has_the_stated_mean_and_variance(name, level):
    grey = np.full((200, 201, 3), 128, np.uint8)
    noise = (distort(grey, name, level).astype(np.float64) - 128) / 255
    variance = TID2013[name].levels[level - 1]
    # Neighbours share SCN's noise: about 4 pi (7/6)^2 = 17.1 of them count as one independent value
    independent = noise.size / (1 if name == "GN" else 17.1)
    is_near(noise.mean(), 0, np.sqrt(variance / independent))
    is_near(noise.var(), variance + 1 / 12 / 255**2, variance * np.sqrt(2 / independent))


def test_colour_noise_by_definition():
    image = noise_image(6, 5)
    for level, variance in zip(LEVELS, (0.0140, 0.0198, 0.0343, 0.0524)):
        ours, normal = distort(image, "GNC", level), normal_numbers(3, 6, 5, 3)
        for y, x in np.ndindex(6, 5):
            r, g, b = (float(v) for v in image[y, x])
            # ITU-R BT.601, studio range, rounded to whole numbers as rgb2ycbcr does for uint8
            luma = uint8(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255)
            blue = uint8(128 + (-37.797 * r - 74.203 * g + 112 * b) / 255)
            red = uint8(128 + (112 * r - 93.786 * g - 18.214 * b) / 255)
            luma, blue, red = (v + 255 * np.sqrt(variance) * n for v, n in zip((luma, blue, red), normal[y, x]))
            luma, blue, red = (luma - 16) * 255 / 219, (blue - 128) * 255 / 224, (red - 128) * 255 / 224
            exact = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
            assert all(abs(o - np.clip(e, 0, 255)) < 0.51 for o, e in zip(ours[y, x], exact, strict=True))


def colour_noise_variances(variance):
    """Return the full-range variances of Y and Cb of noise that is too weak to be clipped."""
    grey = np.full((100, 100, 3), 128, np.uint8)
    noise = TID2013["GNC"].apply(grey, variance, np.random.RandomState(3)) / 255 - 128 / 255
    luma = noise @ [0.299, 0.587, 0.114]
    return luma.var(), ((noise[:, :, 2] - luma) / 1.772).var()


def test_colour_noise_has_the_stated_variances():
    variance, error = 0.0004, np.sqrt(2 / 10000)
    luma, chroma = colour_noise_variances(variance)
    # Conversion from studio range stretches Y by 255/219, and Cb and Cr by 255/224
    is_near(luma / (variance * (255 / 219) ** 2), 1, error)
    is_near(chroma / (variance * (255 / 224) ** 2), 1, error)
    for wrong in (luma / variance, luma / variance**0.5, chroma / variance):  # full range, or deviation for variance
        with pytest.raises(AssertionError):
            is_near(wrong, 1, error)


@pytest.mark.parametrize(("level", "density"), list(zip(LEVELS, (0.005, 0.01, 0.05, 0.1))))
def test_impulses_by_definition_and_count(level, density):
    image = np.random.RandomState(1).randint(1, 255, (150, 151, 3)).astype(np.uint8)
    ours = distort(image, "IN", level)
    uniform = np.random.RandomState(3).uniform(size=image.shape)
    expected = np.where(uniform < density / 2, 0, np.where(uniform < density, 255, image))
    assert np.array_equal(ours, expected)
    for value in (0, 255):
        is_near((ours == value).mean(), density / 2, np.sqrt(density / 2 / ours.size))
    changed = ours != image
    single_channel = (changed.sum(2) == 1).sum() / max(changed.any(2).sum(), 1)
    assert single_channel > 0.8  # a draw per channel; with one per pixel this is 0


def test_multiplicative_noise_by_definition():
    image = noise_image(8, 6)
    for level, deviation in zip(LEVELS, (0.05, 0.09, 0.13, 0.2)):
        ours, rng = distort(image, "MGN", level), np.random.RandomState(3)
        for channel in range(3):  # drawn channel by channel
            normal = rng.standard_normal(size=(8, 6))
            for y, x in np.ndindex(8, 6):
                exact = image[y, x, channel] / 255 * 255 * (1 + deviation * normal[y, x])
                assert ours[y, x, channel] == uint8(exact)


def test_multiplicative_noise_grows_with_the_value():
    for value in (40, 80, 160):
        noise = distort(np.full((200, 200, 3), value, np.uint8), "MGN", 1).astype(np.float64) - value
        variance = (0.05 * value) ** 2 + 1 / 12
        is_near(noise.var(), variance, variance * np.sqrt(2 / noise.size))


@pytest.mark.parametrize("size", [(9, 7), (8, 6), (7, 10)])
def test_high_frequencies_by_definition(size):
    height, width = size
    image = noise_image(height, width)
    for channel in range(3):
        spectrum = np.fft.fft2(image[:, :, channel].astype(np.float64))
        for i, j in np.ndindex(size):  # MATLAB counts from 1
            squared = (i + 1 - height / 2) ** 2 + (j + 1 - width / 2) ** 2
            spectrum[i, j] *= 1 - np.exp(-squared / (2 * 10**2))
        assert np.allclose(filtered(image)[:, :, channel], np.fft.ifft2(spectrum).real, atol=1e-9)


def test_high_frequencies_with_a_shifted_spectrum_are_noticed():
    image = noise_image(40, 50)
    spectrum = np.fft.fft2(image.astype(np.float64), axes=(0, 1))
    shifted = np.fft.ifftshift(high_pass(40, 50))[:, :, None]
    assert np.abs(np.fft.ifft2(spectrum * shifted, axes=(0, 1)).real - filtered(image)).max() > 50
    assert abs(filtered(image).mean() - image.mean()) < 2  # upstream's keeps the mean


def test_high_frequency_noise_is_the_rounded_filter_and_white_noise():
    image = noise_image(30, 41)
    middle = np.floor(np.clip(filtered(image), 0, 255) + 0.5).astype(np.uint8)
    assert np.array_equal(distort(image, "HFN", 2), distort(middle, "GN", 2))


def test_correlated_noise_has_the_stated_spectrum():
    grey = np.full((256, 256, 3), 128, np.uint8)
    noise = distort(grey, "SCN", 1).astype(np.float64) - 128
    for lag in (1, 2, 3):
        taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
        expected = (taps[lag:] * taps[:-lag]).sum() / (taps**2).sum()
        for pairs in ((noise[lag:], noise[:-lag]), (noise[:, lag:], noise[:, :-lag])):
            assert np.mean(pairs[0] * pairs[1]) / noise.var() == pytest.approx(expected, abs=0.03)
    between = np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]
    is_near(between, 0, np.sqrt(17.1 / 256**2))


def test_masked_noise_is_where_the_texture_is():
    image = np.full((120, 240, 3), 128, np.uint8)
    image[:, 120:] = np.random.RandomState(0).randint(98, 159, (120, 120, 1))
    noise = (distort(image, "MN", 1).astype(np.float64) - image) / 255
    assert not noise[:, :116].any()
    is_near((noise**2).mean(), 0.002, 0.002 * np.sqrt(2 / noise[:, 120:].size) * 2)


def test_activity_by_definition():
    image = noise_image(12, 9)
    luma = 16 + image @ np.array([65.481, 128.553, 24.966]) / 255
    padded = np.pad(np.floor(luma + 0.5), 3, mode="symmetric")
    for y, x in np.ndindex(12, 9):
        assert activity(image)[y, x] == pytest.approx(padded[y : y + 7, x : x + 7].std(), abs=1e-6)


def test_a_picture_without_texture_gets_no_masked_noise():
    flat = np.full((20, 20, 3), 77, np.uint8)
    assert np.array_equal(distort(flat, "MN", 4), flat)


def test_comfort_noise_keeps_large_coefficients_and_the_power_of_small_ones():
    from scipy.fft import dctn

    image = np.random.RandomState(0).randint(60, 196, (64, 72, 3)).astype(np.uint8)
    ours = distort(image, "CN", 2)  # level 2's threshold is 40

    def blocks(picture):
        return dctn(picture.reshape(8, 8, 9, 8, 3).astype(np.float64), axes=(1, 3), norm="ortho")

    before, after = blocks(image), blocks(ours)
    small = np.abs(before) <= 40
    small[:, 0, :, 0] = False
    assert 0.2 < small.mean() < 0.9
    assert np.abs(after - before)[~small].max() < 3  # rounding to uint8, spread over a block
    assert (after[small] ** 2).mean() == pytest.approx((before[small] ** 2).mean(), rel=0.1)
    assert abs(np.corrcoef(before[small], after[small])[0, 1]) < 5 / np.sqrt(small.sum())


def test_jpeg_of_a_noisy_picture_is_both():
    image = noise_image(40, 56)
    noisy = distort(image, "GN", 2)
    assert np.array_equal(distort(image, "LCNI", 2), TID2013["JPEG"].apply(noisy, 25, None))


def test_denoising_leaves_the_first_noise_and_takes_the_second():
    pytest.importorskip("bm3d")
    image = np.full((48, 56, 3), 120, np.uint8)
    image[12:36, 14:42] = (200, 90, 60)
    second = 255 * 25 / 255 * normal_numbers(0, *image.shape)
    errors = [((distort(image, "ID", level).astype(np.float64) - image) ** 2).mean() for level in LEVELS]
    assert errors[0] < 0.2 * (second**2).mean()  # second noise of sigma 25
    assert errors == sorted(errors)
    assert np.array_equal(distort(image, "ID", 1), distort(image, "ID", 1))


def test_denoising_without_its_package_says_which_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ValueError, match=r"ID: .* bm3d \(pip install 'rankiqa\[denoise\]'\), got: "):
        distort(noise_image(20, 20), "ID", 1)
