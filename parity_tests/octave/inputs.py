"""Pictures and random numbers that both sides get: the original's code in Octave, and the port."""

import cv2
import numpy as np

from sample_networks import CROPS

LARGEST = 1 - 2.0**-40  # below 1; n * LARGEST is still below n after rounding, for n up to a few hundred


def cut(name, top, left, height, width):
    """Return a piece of one of the photographs' PNG crops, uint8 (H, W, 3), RGB."""
    image = cv2.imread(str(CROPS / f"{name}.png"))[top : top + height, left : left + width, ::-1]
    return np.ascontiguousarray(image)


def noise(height, width, seed=0):
    """Return uniform noise of all grey levels, uint8 (H, W, 3)."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def greys():
    """Return a picture with ramps of all 256 levels of each channel, and flat squares with hard edges."""
    ramp = np.arange(256, dtype=np.uint8).reshape(4, 64)
    image = np.zeros((64, 64, 3), np.uint8)
    image[:4] = ramp[..., None]  # grey
    image[4:8, :, 0], image[8:12, :, 1], image[12:16, :, 2] = ramp, ramp, ramp
    image[16:20] = np.stack([ramp, ramp[::-1, ::-1], np.roll(ramp, 16, axis=1)], axis=-1)
    image[24:44, 8:30], image[30:60, 24:50], image[50:, 50:] = 255, 128, (255, 0, 10)
    return image


def pictures():
    """Return {name: uint8 (H, W, 3) RGB}: photographs and synthetic pictures, with odd and even sides.

    "smallest" has the smallest size that all types accept.
    """
    return {
        "castle": cut("castle", 30, 100, 67, 83),
        "macaw": cut("macaw", 80, 60, 96, 64),
        "noise": noise(53, 41),
        "greys": greys(),
        "smallest": cut("giraffes", 120, 90, 33, 34),
    }


def colours(count=2**20):
    """Return colours that are spread evenly over all 2**24, as a picture 1024 pixels wide."""
    every = np.arange(count, dtype=np.int64) * (2**24 // count) + np.arange(count) % (2**24 // count)
    rgb = np.stack([every >> 16, (every >> 8) & 255, every & 255], axis=-1)
    return rgb.astype(np.uint8).reshape(-1, 1024, 3)


def normal_numbers(shape, seed):
    """Return a normal random number for every value of a picture, and a few more."""
    return np.random.RandomState(seed).standard_normal(int(np.prod(shape)) + 7)


def uniform_numbers(shape, seed):
    """Return a random number on (0, 1) for every value of a picture, and a few more."""
    return np.random.RandomState(seed).random_sample(int(np.prod(shape)) + 7)


def place_numbers(shape, seed):
    """Return numbers on [0, 1) for 300 places (row, column, row, column ..); the first four are the corners."""
    numbers = np.random.RandomState(seed).random_sample(2 * 300 + 7)
    numbers[:8] = [0, 0, 0, LARGEST, LARGEST, 0, LARGEST, LARGEST]
    return numbers
