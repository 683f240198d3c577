"""The distortions that Octave runs: the job of each, and the port's picture of the same case."""

import zlib
from dataclasses import dataclass

import numpy as np

from octave import inputs
from octave.replayed import Replayed, matlab_salt_and_pepper
from octave_client import Job
from rankiqa.distortions import DATASETS

# Upstream's numbers of the types in distortion_generator.m; tid2013_generator.m uses TID2013's own numbers
LIVE_TYPES = {"GB": 1, "GN": 2, "JPEG": 3}
# Types that upstream's generator does not make, although a function of upstream does: {type: function}
LISTED = {"MSL": "MeanShift", "CCH": "ContrastChange"}
NUMBERS = {
    **dict.fromkeys(("GN", "GNC", "HFN", "MGN"), inputs.normal_numbers),
    "IN": inputs.uniform_numbers,
    **dict.fromkeys(("NEPN", "BW"), inputs.place_numbers),
}


@dataclass(frozen=True)
class Case:
    """One distortion of a picture at one level: the job for Octave, and the inputs of the port."""

    name: str
    row: object
    value: float
    job: Job

    def numbers(self):
        """Return the numbers that the port must draw to make the same choices."""
        if self.row.name == "IN":
            return matlab_salt_and_pepper(self.job.numbers, self.value)
        return self.job.numbers if self.job.numbers is not None else np.zeros(0)

    def ours(self):
        """Return (the port's picture, how many random numbers it drew)."""
        rng = Replayed(self.numbers())
        return self.row.apply(self.job.image, self.value, rng), rng.used


def case(dataset, name, level, picture, image, numbers="drawn"):
    """Return a Case; numbers: "drawn" for random numbers that fit the type, or an array."""
    row = DATASETS[dataset][name]
    value = row.levels[level - 1]
    if isinstance(numbers, str):
        draw = NUMBERS.get(name)
        seed = zlib.crc32(f"{dataset} {name} {level} {picture}".encode())
        numbers = draw(image.shape, seed) if draw else None
    if name in LISTED:
        job = Job(LISTED[name], value, level, image, numbers)
    else:
        job = Job(dataset, LIVE_TYPES[name] if dataset == "live" else row.number, level, image, numbers)
    return Case(f"{dataset} {name}{level} {picture}", row, value, job)


def cases(dataset, name):
    """Return a Case for every level of a type and every picture."""
    levels = range(1, len(DATASETS[dataset][name].levels) + 1)
    return [
        case(dataset, name, level, picture, image)
        for picture, image in inputs.pictures().items()
        for level in levels
    ]  # fmt: skip
