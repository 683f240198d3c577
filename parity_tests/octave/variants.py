"""Wrong variants of the distortions, each a likely mistake; each must differ from the original's picture.

A variant takes (image, value, rng) like the port's own functions, and gets the same random numbers.
"""

import cv2
import numpy as np

from rankiqa.distortions.blur import gaussian_kernel
from rankiqa.distortions.colour_space import rgb_to_ycbcr, ycbcr_to_rgb
from rankiqa.distortions.compression import decode, encode_jpeg

# The full-range matrix of JPEG and most libraries
FULL = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def rounded(values):
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)


def half_to_even(values):
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def truncated(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def blurred(image, taps, border, finish=rounded):
    return finish(cv2.sepFilter2D(image.astype(np.float64), cv2.CV_64F, taps, taps, borderType=border))


def blur_without_the_edge_twice(image, size, rng):
    return blurred(image, gaussian_kernel(size), cv2.BORDER_REFLECT_101)


def blur_with_the_edge_drawn_out(image, size, rng):
    return blurred(image, gaussian_kernel(size), cv2.BORDER_REPLICATE)


def blur_truncated(image, size, rng):
    return blurred(image, gaussian_kernel(size), cv2.BORDER_REFLECT, truncated)


def blur_with_opencv_s_sigma(image, size, rng):
    return cv2.GaussianBlur(image, (size, size), 0, borderType=cv2.BORDER_REFLECT)


def _white(image, deviation, drawn):
    return rounded(255 * np.clip(image / 255 + deviation * drawn, 0, 1))


def noise_row_by_row(image, variance, rng):
    drawn = rng.standard_normal(image.size).reshape(image.shape)
    return _white(image, np.sqrt(variance), drawn)


def noise_with_the_variance_for_deviation(image, variance, rng):
    return _white(image, variance, rng.standard_normal(image.shape))


def noise_that_wraps(image, variance, rng):
    drawn = 255 * np.sqrt(variance) * rng.standard_normal(image.shape)
    return np.floor(image + drawn + 0.5).astype(np.int64).astype(np.uint8)


def grey_noise(image, variance, rng):
    return _white(image, np.sqrt(variance), rng.standard_normal(image.shape)[..., :1])


def noise_truncated(image, variance, rng):
    return truncated(image + 255 * np.sqrt(variance) * rng.standard_normal(image.shape))


def colour_noise_of_full_range(image, variance, rng):
    ycbcr = rounded(image @ FULL.T + [0, 128, 128]) / 255 + np.sqrt(variance) * rng.standard_normal(image.shape)
    return rounded((ycbcr * 255 - [0, 128, 128]) @ np.linalg.inv(FULL).T)


def colour_noise_clipped(image, variance, rng):
    ycbcr = rgb_to_ycbcr(image) / 255 + np.sqrt(variance) * rng.standard_normal(image.shape)
    return rounded(255 * ycbcr_to_rgb(np.clip(ycbcr, 0, 1)))


def impulses_on_whole_pixels(image, density, rng):
    return _impulses(image, rng.uniform(size=image.shape)[..., :1], density)


def impulses_of_half_the_density(image, density, rng):
    return _impulses(image, rng.uniform(size=image.shape), density / 2)


def impulses_row_by_row(image, density, rng):
    return _impulses(image, rng.uniform(size=image.size).reshape(image.shape), density)


def _impulses(image, drawn, density):
    result = np.where(drawn < density / 2, 0, image)
    return np.where((drawn >= density / 2) & (drawn < density), 255, result).astype(np.uint8)


def one_factor_for_all_channels(image, deviation, rng):
    return rounded(image * (1 + deviation * rng.standard_normal(image.shape)[..., :1]))


def factors_row_by_row(image, deviation, rng):
    return rounded(image * (1 + deviation * rng.standard_normal(image.size).reshape(image.shape)))


def _places(image, count, rng, margin, first_column=0):
    height, width = image.shape[:2]
    for _ in range(int(count)):
        top = int(rng.uniform() * (height - margin))
        yield top, first_column + int(rng.uniform() * (width - margin - first_column))


def patches_of_the_changed_picture(image, count, rng):
    result = image.copy()
    for top, left in _places(image, count, rng, 30):
        result[top : top + 15, left : left + 15] = result[top + 5 : top + 20, left + 5 : left + 20].copy()
    return result


def patches_at_column_and_row(image, count, rng):
    result = image.transpose(1, 0, 2)
    return np.ascontiguousarray(patches(result, count, rng).transpose(1, 0, 2))


def patches(image, count, rng, margin=30):
    result = image.copy()
    for top, left in _places(image, count, rng, margin):
        result[top : top + 15, left : left + 15] = image[top + 5 : top + 20, left + 5 : left + 20]
    return result


def patches_up_to_the_edge(image, count, rng):
    return patches(image, count, rng, 19)


def _blocks(image, count, rng, colour, first_column=1):
    result = image.copy()
    for top, left in _places(image, count, rng, 32, first_column):
        result[top : top + 32, left : left + 32] = colour
    return result


def _mean(image, red):
    return image.mean((0, 1)) + np.array([red, 0, 0])


def blocks_from_the_first_column(image, count, rng):
    return _blocks(image, count, rng, rounded(_mean(image, 50)), 0)


def blocks_with_another_red(image, count, rng):
    return _blocks(image, count, rng, rounded(_mean(image, 30)))


def blocks_truncated(image, count, rng):
    return _blocks(image, count, rng, truncated(_mean(image, 50)))


def shift_that_wraps(image, shift, rng):
    return (image.astype(int) + shift).astype(np.uint8)


def factor_half_to_even(image, factor, rng):
    return half_to_even(image / 255 * 255 * factor)


def contrast_about_the_mean(image, factor, rng):
    return rounded((image - image.mean()) * factor + image.mean())


def saturation_of_full_range(image, factor, rng):
    ycbcr = rounded(image @ FULL.T + [0, 128, 128]) - [0, 127.5, 127.5]
    return rounded((ycbcr * [1, factor, factor] - [0, 0.5, 0.5]) @ np.linalg.inv(FULL).T)


def saturation_without_rounding(image, factor, rng):
    exact = image @ FULL.T * [219 / 255, 224 / 255, 224 / 255] + [16, 128, 128]
    return rounded(255 * ycbcr_to_rgb(_about(exact / 255, 0.5, factor)))


def saturation_about_128(image, factor, rng):
    return rounded(255 * ycbcr_to_rgb(_about(rgb_to_ycbcr(image) / 255, 128 / 255, factor)))


def _about(ycbcr, grey, factor):
    ycbcr = ycbcr.copy()
    ycbcr[..., 1:] = grey + (ycbcr[..., 1:] - grey) * factor
    return ycbcr


def _shifted(image, moved):
    result = image.copy()
    for channel, columns in moved.items():
        result[:, columns:, channel] = image[:, : image.shape[1] - columns, channel]
    return blurred(result, gaussian_kernel(3), cv2.BORDER_REFLECT)


def aberration_of_blue(image, shift, rng):
    return _shifted(image, {0: int(shift) - 1, 2: int(shift) // 2 - 1})


def aberration_by_one_more(image, shift, rng):
    return _shifted(image, {0: int(shift), 1: int(shift) // 2})


def aberration_not_blurred(image, shift, rng):
    result = image.copy()
    for channel, columns in {0: int(shift) - 1, 1: int(shift) // 2 - 1}.items():
        result[:, columns:, channel] = image[:, : image.shape[1] - columns, channel]
    return result


def jpeg_of_one_quality_more(image, quality, rng):
    return decode(encode_jpeg(image, quality + 1))


def _high_frequencies(image, variance, rng, centre=(0, 0), shift=lambda h: h, between=rounded):
    height, width = image.shape[:2]
    rows, columns = np.arange(1, height + 1) - height / 2, np.arange(1, width + 1) - width / 2
    gain = 1 - np.exp(-((rows[:, None] - centre[0]) ** 2 + (columns[None] - centre[1]) ** 2) / 200)
    result = np.fft.ifft2(np.fft.fft2(image, axes=(0, 1)) * shift(gain)[..., None], axes=(0, 1)).real
    return _white(between(result), np.sqrt(variance), rng.standard_normal(image.shape))


def low_frequencies_removed(image, variance, rng):
    return _high_frequencies(image, variance, rng, (1, 1), np.fft.ifftshift)


def centre_counted_from_0(image, variance, rng):
    return _high_frequencies(image, variance, rng, (1, 1))


def not_rounded_before_the_noise(image, variance, rng):
    return _high_frequencies(image, variance, rng, between=lambda result: np.clip(result, 0, 255))


def noise_alone(image, variance, rng):
    return _white(image, np.sqrt(variance), rng.standard_normal(image.shape))


def live(variant):
    """Adapt a variant to LIVE's GN, whose value is the logarithm of the variance."""

    def changed(image, power, rng):
        return variant(image, 2.0**power, rng)

    changed.__name__ = variant.__name__
    return changed


# {(data set, type, level, picture): variants that must differ in this case}
WRONG = {
    ("live", "GB", 1, "noise"): (blur_without_the_edge_twice, blur_with_the_edge_drawn_out, blur_truncated),
    ("tid2013", "GB", 2, "castle"): (blur_without_the_edge_twice, blur_with_opencv_s_sigma),
    ("live", "GN", 2, "castle"): tuple(live(each) for each in (noise_row_by_row, noise_that_wraps, grey_noise)),
    ("tid2013", "GN", 1, "castle"): (noise_row_by_row, noise_with_the_variance_for_deviation, noise_truncated),
    ("tid2013", "GNC", 2, "castle"): (colour_noise_of_full_range, colour_noise_clipped),
    ("tid2013", "HFN", 2, "castle"): (
        low_frequencies_removed, centre_counted_from_0, not_rounded_before_the_noise, noise_alone,
    ),
    ("tid2013", "IN", 3, "noise"): (impulses_on_whole_pixels, impulses_of_half_the_density, impulses_row_by_row),
    ("tid2013", "NEPN", 2, "macaw"): (
        patches_of_the_changed_picture, patches_at_column_and_row, patches_up_to_the_edge,
    ),
    ("tid2013", "BW", 2, "castle"): (blocks_from_the_first_column, blocks_with_another_red, blocks_truncated),
    ("tid2013", "MSH", 2, "greys"): (shift_that_wraps,),
    ("tid2013", "MSL", 2, "greys"): (shift_that_wraps,),
    ("tid2013", "CCL", 1, "greys"): (factor_half_to_even, contrast_about_the_mean),
    ("tid2013", "CCH", 2, "greys"): (contrast_about_the_mean,),
    ("tid2013", "CS", 1, "castle"): (
        saturation_of_full_range, saturation_without_rounding, saturation_about_128,
    ),
    ("tid2013", "MGN", 2, "castle"): (one_factor_for_all_channels, factors_row_by_row),
    ("tid2013", "CA", 2, "castle"): (aberration_of_blue, aberration_by_one_more, aberration_not_blurred),
    ("live", "JPEG", 2, "castle"): (jpeg_of_one_quality_more,),
}  # fmt: skip
