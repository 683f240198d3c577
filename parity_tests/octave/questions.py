"""Which distortions Octave runs, how each is asked, and the same by the port."""

import zlib
from dataclasses import dataclass

import numpy as np

from octave import inputs
from octave.replayed import Replayed, matlab_salt_and_pepper
from octave_client import Job
from rankiqa.distortions import DATASETS

# upstream's numbers in distortion_generator.m; tid2013_generator.m has TID2013's own
LIVE_TYPES = {"GB": 1, "GN": 2, "JPEG": 3}
# not made by its generator, though its function would: (function of upstream's)
LISTED = {"MSL": "MeanShift", "CCH": "ContrastChange"}
NUMBERS = {
    **dict.fromkeys(("GN", "GNC", "HFN", "MGN"), inputs.normal_numbers),
    "IN": inputs.uniform_numbers,
    **dict.fromkeys(("NEPN", "BW"), inputs.place_numbers),
}


@dataclass(frozen=True)
class Case:
    """One picture at one level: how Octave is asked, and what the port is given."""

    name: str
    row: object
    value: float
    job: Job

    def numbers(self):
        """The numbers that the port draws so as to make the same choices."""
        if self.row.name == "IN":
            return matlab_salt_and_pepper(self.job.numbers, self.value)
        return self.job.numbers if self.job.numbers is not None else np.zeros(0)

    def ours(self):
        """-> (the port's picture, how many numbers it took)."""
        rng = Replayed(self.numbers())
        return self.row.apply(self.job.image, self.value, rng), rng.used


def case(dataset, name, level, picture, image, numbers="drawn"):
    """A Case. numbers: "drawn" for this type's, or an array."""
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
    """Every level of a type, on every picture."""
    levels = range(1, len(DATASETS[dataset][name].levels) + 1)
    return [
        case(dataset, name, level, picture, image)
        for picture, image in inputs.pictures().items()
        for level in levels
    ]  # fmt: skip
