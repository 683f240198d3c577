"""Compute NIQE and BRISQUE of images with their own packages, in a separate process.

    other_measures.py PACKAGES < paths > CSV

Both measures compare an image with statistics of natural images; lower is better. NIQE (Mittal et al. 2013) is that of
BasicSR (Apache-2.0), which equals MATLAB's. BRISQUE (Mittal et al. 2012) is that of the package brisque (Apache-2.0),
whose model was trained on LIVE's opinion scores.
"""

import csv
import importlib
import math
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import rankiqa

REQUIREMENTS = ("basicsr-fixed==1.4.2", "brisque==0.2.0", "libsvm-official==3.37.0")
PROCESSES = 2
measures = {}


def start(packages):
    """Load both measures in a worker."""
    sys.path.append(packages)
    for name in ("basicsr", "basicsr.utils", "basicsr.metrics"):  # their __init__ would load a training framework
        module = types.ModuleType(name)
        module.__path__ = [str(Path(packages, *name.split(".")))]
        sys.modules[name] = module
    sys.modules["basicsr.utils"].bgr2ycbcr = importlib.import_module("basicsr.utils.color_util").bgr2ycbcr
    niqe = importlib.import_module("basicsr.metrics.niqe").calculate_niqe
    base = importlib.import_module("brisque").BRISQUE

    class Brisque(base):
        """BRISQUE for current versions of numpy."""

        def scale_features(self, features):  # some features are arrays of one number, which numpy no longer converts
            return super().scale_features([np.asarray(value).item() for value in features])

    brisque = Brisque(url=False)
    measures.update(niqe=lambda image: niqe(image[:, :, ::-1], 0), brisque=brisque.score)


def of(path):
    """Return the row of an image: its path and each measure, or "" if the measure is undefined."""
    image, row = rankiqa.read_image(path), {"path": path}
    for name, measure in measures.items():
        try:
            value = float(measure(image))
        except (ValueError, np.linalg.LinAlgError):
            value = math.nan
        row[name] = value if math.isfinite(value) else ""
    return row


def main():
    """Write a row to stdout for each path on stdin, as soon as it is computed."""
    paths = sys.stdin.read().splitlines()
    table = csv.DictWriter(sys.stdout, ("path", "niqe", "brisque"), lineterminator="\n")
    table.writeheader()
    with ProcessPoolExecutor(PROCESSES, initializer=start, initargs=(sys.argv[1],)) as pool:
        for row in pool.map(of, paths):
            table.writerow(row)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
