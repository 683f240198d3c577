"""Statistics that describe noise, each with its standard error, and the distance between two such descriptions."""

import numpy as np
from scipy.stats import chi2, norm

BANDS = 4


def described(noise):
    """Return (values, standard errors) that describe noise (H, W, 3).

    The values are, for each channel: mean and variance, the correlations with the neighbours to the right and below and
    with the next channel, and the share of the power in BANDS rings of the spectrum.
    """
    noise = np.asarray(noise, np.float64)
    values, errors = [], []
    for number in range(3):
        channel = noise[..., number]
        centred = channel - channel.mean()
        variance, count = channel.var(), channel.size
        spread = np.sqrt(((centred**4).mean() / variance**2 - 1) / count)
        values += [channel.mean(), variance]
        errors += [np.sqrt(variance / count), variance * spread]
        following = noise[..., (number + 1) % 3]
        for one, other in (
            (centred[:, 1:], centred[:, :-1]),
            (centred[1:], centred[:-1]),
            (centred, following - following.mean()),
        ):
            values.append((one * other).mean() / np.sqrt((one**2).mean() * (other**2).mean()))
            errors.append(1 / np.sqrt(count))
        power = np.abs(np.fft.fft2(centred)) ** 2 / count / variance
        rows, columns = np.fft.fftfreq(channel.shape[0])[:, None], np.fft.fftfreq(channel.shape[1])[None]
        radius = np.hypot(rows, columns)
        for ring in range(BANDS):
            inside = (radius > ring / BANDS / 2) & (radius <= (ring + 1) / BANDS / 2)
            values.append(power[inside].mean())
            errors.append(np.sqrt(2 / inside.sum()))  # the noise is real-valued: half of the ordinates are independent
    return np.array(values), np.array(errors)


def apart(one, other):
    """Return the largest difference between two descriptions, in standard errors."""
    return float(np.max(np.abs(one[0] - other[0]) / np.hypot(one[1], other[1])))


def allowed(count, false_alarm):
    """Return the limit in standard errors for the largest of `count` differences, for a chance of a false alarm."""
    return float(norm.isf(false_alarm / (2 * count)))


def counts_apart(one, other):
    """Return Pearson's chi square between two rows of counts, and its degrees of freedom.

    Places with a count of 0 in both rows are left out.
    """
    table = np.array([one, other], np.float64)
    table = table[:, table.sum(0) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def allowed_counts(freedom, false_alarm):
    """Return the limit of chi square for its degrees of freedom and a chance of a false alarm."""
    return float(chi2.isf(false_alarm, freedom))
