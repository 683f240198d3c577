"""The tables of distortions, and their registry DATASETS.

To add a distortion, write a function (image, parameter, rng) -> image beside similar ones in this folder, add a row
with its levels to a table, and run parity_tests/unit/test_distortions_levels.py, which checks every row of every table
(a type that draws random numbers must be listed there in DRAWS). To add a table, write a module like wild.py and add a
line to DATASETS; `rankiqa distort --set`, `rankiqa show distortions --set` and the contact sheet then offer it.
"""

from __future__ import annotations

from rankiqa.distortions.blocks import colour_blocks, displaced_patches
from rankiqa.distortions.blur import gaussian_blur
from rankiqa.distortions.colour import chromatic_aberration, colour_saturation, contrast_change, mean_shift
from rankiqa.distortions.compression import encode_jpeg, encode_jpeg2000, jpeg, jpeg2000, noisy_jpeg
from rankiqa.distortions.denoising import denoised_noise
from rankiqa.distortions.distortion import Distortion
from rankiqa.distortions.frequency import high_frequency_noise
from rankiqa.distortions.noise import (
    colour_noise,
    gaussian_noise,
    impulse_noise,
    multiplicative_noise,
    white_noise,
)
from rankiqa.distortions.palette import colour_quantisation
from rankiqa.distortions.quantisation import quantisation_noise
from rankiqa.distortions.sparse_sampling import sparse_sampling
from rankiqa.distortions.structured_noise import comfort_noise, correlated_noise, masked_noise
from rankiqa.distortions.transmission import jpeg2000_errors, jpeg_errors
from rankiqa.distortions.wild import WILD

VARIANCE = "variance on [0, 1]"
VARIANCES = (0.001, 0.005, 0.01, 0.05)
TWICE = (0.002, 0.01, 0.02, 0.1)


def _table(*rows: Distortion) -> dict[str, Distortion]:
    return {row.name: row for row in rows}


def _jpeg(levels: tuple[float, ...]) -> Distortion:
    return Distortion("JPEG", "JPEG", "quality", levels, jpeg, 10, ".jpg", encode=encode_jpeg)


def _jpeg2000(levels: tuple[float, ...]) -> Distortion:
    return Distortion("JP2K", "JPEG 2000", "bits per pixel", levels, jpeg2000, 11, ".jp2", encode=encode_jpeg2000)


# Upstream data/data_generator/distortion_generator.m
LIVE = _table(
    Distortion("GB", "Gaussian blur", "kernel size h, sigma h/6", (7, 15, 39, 91, 199), gaussian_blur, 8),
    Distortion("GN", "white noise", "log2 of the variance on [0, 1]", (-10, -7.5, -5.5, -3.5, 0), gaussian_noise, 1),
    _jpeg((43, 12, 7, 4, 0)),
    _jpeg2000((0.46, 0.16, 0.07, 0.04, 0.02)),
)

# Upstream data/rank_tid2013/tid2013_generator.m
TID2013 = _table(
    Distortion("GN", "white noise", VARIANCE, VARIANCES, white_noise, 1),
    Distortion("GNC", "noise in Y, Cb and Cr", VARIANCE, (0.0140, 0.0198, 0.0343, 0.0524), colour_noise, 2),
    Distortion("SCN", "spatially correlated noise", VARIANCE, VARIANCES, correlated_noise, 3, origin="ours"),
    Distortion("MN", "masked noise", "mean " + VARIANCE, TWICE, masked_noise, 4, origin="ours"),
    Distortion("HFN", "high-frequency noise", VARIANCE, VARIANCES, high_frequency_noise, 5),
    Distortion("IN", "impulse noise", "share of the values", (0.005, 0.01, 0.05, 0.1), impulse_noise, 6),
    # UPSTREAM: int32([255/27 255/39 255/55 255/76])
    Distortion("QN", "quantisation noise", "thresholds", (9, 7, 5, 3), quantisation_noise, 7),
    Distortion("GB", "Gaussian blur", "kernel size h, sigma h/6", (7, 15, 39, 91), gaussian_blur, 8),
    Distortion("ID", "image denoising", VARIANCE, VARIANCES, denoised_noise, 9),
    _jpeg((43, 12, 7, 4)),
    _jpeg2000((0.46, 0.16, 0.07, 0.04)),
    Distortion(
        "JGTE", "JPEG transmission errors", "share of intervals", (0.02, 0.08, 0.3, 1.0), jpeg_errors, 12, origin="ours"
    ),
    Distortion(
        "J2TE",
        "JPEG 2000 transmission errors",
        "bit errors in 10,000 pixels",
        (0.5, 3, 18, 108),
        jpeg2000_errors,
        13,
        origin="ours",
    ),
    Distortion("NEPN", "displaced patches", "patches of 15 x 15", (30, 70, 150, 300), displaced_patches, 14),
    Distortion("BW", "blocks of one colour", "blocks of 32 x 32", (2, 4, 8, 16), colour_blocks, 15),
    Distortion("MSH", "mean shift up", "grey levels", (15, 30, 45, 60), mean_shift, 16),
    Distortion("MSL", "mean shift down", "grey levels", (-15, -30, -45, -60), mean_shift, 16, origin="listed"),
    Distortion("CCL", "less contrast", "factor", (0.85, 0.7, 0.55, 0.4), contrast_change, 17),
    Distortion("CCH", "more contrast", "factor", (1.2, 1.4, 1.6, 1.8), contrast_change, 17, origin="listed"),
    Distortion("CS", "colour saturation", "factor of Cb, Cr", (0.4, 0, -0.4, -0.8), colour_saturation, 18),
    Distortion("MGN", "multiplicative noise", "standard deviation", (0.05, 0.09, 0.13, 0.2), multiplicative_noise, 19),
    Distortion(
        "CN", "comfort noise", "largest coefficient replaced", (20, 40, 80, 160), comfort_noise, 20, origin="ours"
    ),
    Distortion("LCNI", "JPEG of a noisy picture", VARIANCE, VARIANCES, noisy_jpeg, 21, origin="ours"),
    Distortion("CQD", "colour quantisation, dithered", "colours", (64, 32, 16, 8), colour_quantisation, 22),
    Distortion("CA", "chromatic aberration", "columns of red plus 1", (2, 6, 10, 14), chromatic_aberration, 23),
    Distortion(
        "SSR", "sparse sampling", "share of the pixels", (0.5, 0.3, 0.15, 0.07), sparse_sampling, 24, origin="ours"
    ),
)

DATASETS = {"live": LIVE, "tid2013": TID2013, "wild": WILD}
