"""The table WILD: distortions by cameras, phones and the web, with five levels each.

The sources describe the types; the parameters are our choice.
"""

from __future__ import annotations

from rankiqa.distortions import camera
from rankiqa.distortions.blur import gaussian_blur
from rankiqa.distortions.compression import encode_jpeg, encode_jpeg2000, jpeg, jpeg2000
from rankiqa.distortions.distortion import Distortion

CHALLENGE = "Ghadiyaram and Bovik, LIVE In the Wild Image Quality Challenge Database, IEEE TIP 2016"
CORRUPTIONS = "Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions, ICLR 2019"
HAZE = "He, Sun and Tang, Single image haze removal using dark channel prior, CVPR 2009 (Koschmieder's law)"
KADID = "Lin, Hosu and Saupe, KADID-10k, QoMEX 2019"
SHOT_NOISE = "Foi et al., Practical Poissonian-Gaussian noise modeling, IEEE TIP 2008"


def _row(name: str, title: str, parameter: str, levels: tuple[float, ...], apply, source: str, **more) -> Distortion:
    return Distortion(name, title, parameter, levels, apply, origin="wild", source=source, **more)


_ROWS = (
    _row("GB", "Gaussian blur", "kernel size h, sigma h/6", (3, 7, 13, 19, 31), gaussian_blur, CORRUPTIONS),
    _row("MOTION", "motion blur", "length, pixels", (3, 6, 10, 16, 26), camera.motion_blur, CHALLENGE),
    _row("DEFOCUS", "defocus blur", "radius, pixels", (1, 2, 3.5, 5, 8), camera.defocus_blur, CORRUPTIONS),
    _row("GN", "white noise", "deviation, grey levels", (4, 9, 17, 30, 50), camera.sensor_noise, CORRUPTIONS),
    _row("GRAIN", "grain", "deviation before the blur, grey levels", (8, 16, 28, 45, 70), camera.grain, CHALLENGE),
    _row("JPEG", "JPEG", "quality", (60, 30, 16, 9, 5), jpeg, CHALLENGE, suffix=".jpg", encode=encode_jpeg),
    _row(
        "JP2K", "JPEG 2000", "bits per pixel", (1.92, 0.72, 0.36, 0.192, 0.096), jpeg2000, KADID,
        suffix=".jp2", encode=encode_jpeg2000,
    ),
    _row("LOWRES", "low resolution", "factor", (1.6, 2.2, 3, 4.2, 6), camera.low_resolution, CORRUPTIONS),
    _row("LOWLIGHT", "low light", "gain", (0.75, 0.55, 0.4, 0.27, 0.17), camera.low_light, SHOT_NOISE),
    _row("OVEREXPOSED", "overexposure", "gain", (1.25, 1.5, 1.8, 2.2, 2.8), camera.overexposure, CHALLENGE),
    _row("LOWCONTRAST", "low contrast", "gain", (0.75, 0.58, 0.43, 0.3, 0.2), camera.low_contrast, CORRUPTIONS),
    _row("HAZE", "haze", "transmission", (0.8, 0.65, 0.5, 0.37, 0.25), camera.haze, HAZE),
    _row("OVERSHARPENED", "oversharpening", "amount", (1, 2.2, 3.8, 6, 10), camera.oversharpening, KADID),
    _row("OVERSMOOTHED", "oversmoothing", "sigma, grey levels", (12, 22, 36, 55, 80), camera.oversmoothing, KADID),
)  # fmt: skip
WILD = {row.name: row for row in _ROWS}
