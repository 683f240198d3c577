"""Offsets of random crops, and the crops that take_crops cuts from an image."""

import numpy as np
import pytest

from rankiqa import ImageError, InputSpec, crop_offsets, take_crops


def test_crops_are_drawn_as_the_original_draws_them():
    rng = np.random.RandomState(7)
    expected = []
    for _ in range(20):
        top = rng.randint(300 - 224)
        expected.append((top, rng.randint(450 - 224)))
    got = crop_offsets(300, 450, 224, 20, np.random.RandomState(7))
    assert got.tolist() == [list(pair) for pair in expected]
    other_rng = np.random.RandomState(7)
    lefts_first = [(other_rng.randint(450 - 224), other_rng.randint(300 - 224))[::-1] for _ in range(20)]
    assert got.tolist() != [list(pair) for pair in lefts_first]


def test_the_last_offset_is_never_drawn():
    offsets = crop_offsets(226, 227, 224, 500, np.random.RandomState(0))
    assert offsets.shape == (500, 2)
    assert set(offsets[:, 0]) == {0, 1}  # not 2
    assert set(offsets[:, 1]) == {0, 1, 2}  # not 3


@pytest.mark.parametrize("height, width", [(224, 300), (300, 224), (10, 10)])
def test_an_image_no_larger_than_the_crop(height, width):
    with pytest.raises(ImageError, match=rf"above 224 pixels .* got {height} x {width}"):
        crop_offsets(height, width, 224, 30, np.random.RandomState(0))


def test_take_crops():
    image = np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8)
    crops = take_crops(image, np.array([[3, 7], [10, 20]]), InputSpec(30))
    assert crops.shape == (2, 3, 30, 30) and str(crops.dtype) == "torch.float32"
    for i, (top, left) in enumerate([(3, 7), (10, 20)]):
        for channel in range(3):
            expected = image[top : top + 30, left : left + 30, 2 - channel]  # BGR
            assert np.array_equal(crops[i, channel].numpy(), expected)
    assert take_crops(image, np.empty((0, 2), int), InputSpec(30)).shape == (0, 3, 30, 30)


@pytest.mark.parametrize(
    "image, offsets, message",
    [
        (np.zeros((40, 50, 3), np.float32), [[0, 0]], "uint8.*got float32"),
        (np.zeros((40, 50), np.uint8), [[0, 0]], r"got uint8 \(40, 50\)"),
        (np.zeros((40, 50, 4), np.uint8), [[0, 0]], r"\(40, 50, 4\)"),
        ([[1, 2]], [[0, 0]], "got list"),
        (np.zeros((40, 50, 3), np.uint8), [[-1, 0]], "got one outside"),
        (np.zeros((40, 50, 3), np.uint8), [[0, 0], [0, 21]], "got one outside"),
    ],
)
def test_take_crops_refuses(image, offsets, message):
    with pytest.raises(ValueError, match=message):
        take_crops(image, np.array(offsets), InputSpec(30))
