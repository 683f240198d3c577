"""LIVE's four distortions compared with plain implementations of their definitions."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import rankiqa
from rankiqa.distortions import LIVE
from rankiqa.distortions.compression import encode_jpeg, encode_jpeg2000
from rankiqa.distortions.rounding import to_uint8

PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "photographs"
LEVELS = (1, 2, 3, 4, 5)
# Table K.1 of ITU-T T.81, the luminance table at quality 50, first row
LUMINANCE = np.array([16, 11, 10, 16, 24, 40, 51, 61])


@pytest.fixture(scope="module")
def castle():
    return np.array(Image.open(PHOTOGRAPHS / "castle.jpg").convert("RGB"))


def noise_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def blur_by_definition(image, size, mode):
    """Apply MATLAB's fspecial('gaussian', size, size/6) and imfilter, one window at a time."""
    half = size // 2
    grid = np.arange(size) - half
    kernel = np.exp(-(grid[:, None] ** 2 + grid[None, :] ** 2) / (2 * (size / 6) ** 2))
    kernel /= kernel.sum()
    padded = np.pad(image.astype(np.float64), ((half, half), (half, half), (0, 0)), mode=mode)
    blurred = np.empty(image.shape)
    for y, x in np.ndindex(image.shape[:2]):
        blurred[y, x] = (padded[y : y + size, x : x + size] * kernel[..., None]).sum((0, 1))
    return blurred


def differs(ours, exact):
    """Return a mask of pixels that differ from the rounded exact value, unless that is within 1e-9 of a half."""
    near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-9
    return (ours != np.floor(exact + 0.5)) & ~near_half


@pytest.mark.parametrize(("level", "size"), [(1, 7), (2, 15), (3, 39), (4, 91)])
def test_blur_is_matlabs(level, size):
    image = noise_image(20, 26)  # smaller than the larger kernels, so the border is reflected more than once
    ours = rankiqa.distort(image, "GB", level, np.random)
    assert not differs(ours, blur_by_definition(image, size, "symmetric")).any()


def test_blur_with_another_border_is_noticed():
    image = noise_image(20, 26)
    ours = rankiqa.distort(image, "GB", 2, np.random)
    for wrong in ("reflect", "edge", "constant"):
        assert differs(ours, blur_by_definition(image, 15, wrong)).any()


def test_halves_round_away_from_zero_and_the_rest_saturates():
    given = np.array([-7.0, -0.4, 0.49, 0.5, 1.5, 2.5, 126.5, 254.5, 255.4, 300.0])
    assert to_uint8(given).tolist() == [0, 0, 0, 1, 2, 3, 127, 255, 255, 255]


@pytest.mark.parametrize(("level", "power"), [(1, -10), (2, -7.5), (3, -5.5), (4, -3.5), (5, 0)])
def test_noise_is_imnoise(castle, level, power):
    ours = rankiqa.distort(castle, "GN", level, np.random.RandomState(3))
    normal = np.random.RandomState(3).standard_normal(size=castle.shape)
    exact = np.clip(castle / 255 + np.sqrt(2.0**power) * normal, 0, 1) * 255
    assert np.array_equal(ours, np.floor(exact + 0.5))


def test_noise_has_the_stated_variance():
    grey = np.full((300, 300, 3), 128, np.uint8)
    noisy = rankiqa.distort(grey, "GN", 1, np.random.RandomState(0)) / 255
    assert noisy.var() == pytest.approx(2.0**-10, rel=0.02)


@pytest.mark.parametrize(("level", "quality"), [(1, 43), (2, 12), (3, 7), (4, 4), (5, 0)])
def test_jpeg_has_the_stated_quality_and_sampling(castle, level, quality):
    with Image.open(io.BytesIO(encode_jpeg(castle, quality))) as file:
        scale = 5000 // max(quality, 1)
        expected = np.clip((LUMINANCE * scale + 50) // 100, 1, 255)
        assert file.quantization[0][:8] == expected.tolist()
        assert [component[1:3] for component in file.layer] == [(2, 2), (1, 1), (1, 1)]  # 4:2:0
        decoded = np.array(file.convert("RGB"))
    assert np.array_equal(rankiqa.distort(castle, "JPEG", level, np.random), decoded)


def test_jpeg_quality_0_is_quality_1(castle):
    assert encode_jpeg(castle, 0) == encode_jpeg(castle, 1) != encode_jpeg(castle, 2)


@pytest.mark.parametrize("bits_per_pixel", LIVE["JP2K"].levels)
@pytest.mark.parametrize("name", ["castle", "dahlia", "brook", "lemurs"])
def test_jpeg2000_has_the_stated_size(name, bits_per_pixel):
    image = np.array(Image.open(PHOTOGRAPHS / f"{name}.jpg").convert("RGB"))
    expected = image.shape[0] * image.shape[1] * bits_per_pixel / 8
    assert len(encode_jpeg2000(image, bits_per_pixel)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", LIVE)
def test_each_level_is_worse_than_the_one_before(castle, name):
    rng = np.random.RandomState(0)
    psnr = [cv2.PSNR(castle, rankiqa.distort(castle, name, level, rng)) for level in LEVELS]
    assert psnr == sorted(psnr, reverse=True) and len(set(psnr)) == 5


@pytest.mark.parametrize("name", LIVE)
def test_same_generator_same_pixels(name):
    image, unchanged = noise_image(60, 80), noise_image(60, 80)
    first, second = (rankiqa.distort(image, name, 2, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.dtype == np.uint8 and first.shape == image.shape
    assert np.array_equal(image, unchanged)
    other = rankiqa.distort(image, name, 2, np.random.default_rng(6))
    assert np.array_equal(first, other) == (name != "GN")


@pytest.mark.parametrize(
    ("image", "name", "level", "words"),
    [
        (np.zeros((9, 9), np.uint8), "GB", 1, r"\(H, W, 3\)"),
        (np.zeros((9, 9, 4), np.uint8), "GB", 1, r"\(9, 9, 4\)"),
        (np.zeros((9, 9, 3), np.float32), "GB", 1, "float32"),
        (np.zeros((0, 9, 3), np.uint8), "GB", 1, "pixels"),
        ([[1]], "GB", 1, "list"),
        (np.zeros((9, 9, 3), np.uint8), "gb", 1, "'gb'"),
        (np.zeros((9, 9, 3), np.uint8), "GB", 0, "levels 1 to 5, got 0"),
        (np.zeros((9, 9, 3), np.uint8), "GB", 6, "got 6"),
        (np.zeros((9, 9, 3), np.uint8), "GB", 1.5, "got 1.5"),
        (np.zeros((9, 9, 3), np.uint8), "GB", True, "got True"),
    ],
)
def test_what_cannot_be_distorted_is_named(image, name, level, words):
    with pytest.raises(ValueError, match=words):
        rankiqa.distort(image, name, level, np.random.RandomState(0))
