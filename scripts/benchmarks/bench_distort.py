"""Compare the port's distortions, on one thread, with upstream's MATLAB code in GNU Octave, on the same photograph.

`rankiqa distort` with two workers is compared with one, too. Higher ratios are better for the port.

Times are means over TID2013's levels, without writing the picture (for JPEG: of writing the file). Without the
original's files (RANKIQA_UPSTREAM=PATH) or Octave, only the port is timed, and a line says so.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

import get_upstream
import octave_client
from rankiqa.distortions import TID2013
from rankiqa.ranked_sets.worker_pool import WORKER_ENVIRONMENT

HERE = Path(__file__).resolve().parent
PHOTOGRAPHS = HERE.parents[1] / "parity_tests" / "photographs"
HEIGHT, WIDTH = 384, 512
SHORTEST = 0.2  # seconds: the minimum time for which each type is repeated in a round


def photograph(name="castle"):
    """Return a photograph at the size of LIVE's and TID2013's images: uint8 (384, 512, 3), RGB."""
    image = cv2.imread(str(PHOTOGRAPHS / f"{name}.jpg"))
    return np.ascontiguousarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., ::-1])


def _distort(row, image, value, rng, path):
    """Do the same work as Octave for one distortion."""
    if row.name == "JPEG":  # Octave's imwrite writes the file, so write it here, too
        path.write_bytes(row.encode(image, value, rng))
    elif row.encode:
        row.encode(image, value, rng)
    else:
        row.apply(image, value, rng)


def port_seconds(names):
    """Return {type: seconds per image}, measured in this process."""
    cv2.setNumThreads(1)
    image, rng, seconds = photograph(), np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        path = Path(folder, "picture.jpg")
        for name in names:
            row = TID2013[name]
            _distort(row, image[:64, :64].copy(), row.levels[0], rng, path)
            passes, start = 0, time.perf_counter()
            while not passes or time.perf_counter() - start < SHORTEST:
                for value in row.levels:
                    _distort(row, image, value, rng, path)
                passes += 1
            seconds[name] = (time.perf_counter() - start) / passes / len(row.levels)
    return seconds


def _child(names):
    """Run port_seconds in a process with one thread, like the workers of `rankiqa distort`."""
    command = [sys.executable, __file__, *names]
    environment = {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


def _octave(folder):
    """Return Octave with the original's files, or print why there is none and return None."""
    place = os.environ.get("RANKIQA_UPSTREAM")
    try:
        if not place:
            raise octave_client.OctaveError(
                "RANKIQA_UPSTREAM=PATH names no checkout, mirror or archive of the original"
            )
        where = octave_client.find()
    except octave_client.OctaveError as error:
        print(f"bench: measuring only the port: {error}", file=sys.stderr)
        return None
    get_upstream.get(Path(folder, "RankIQA"), place)
    return octave_client.Octave(Path(folder, "RankIQA"), where)


def _set(images, out, workers):
    """Make LIVE's set; return (seconds, processor seconds, largest memory of a worker in MB)."""
    command = [sys.executable, "-m", "rankiqa", "distort", "--set", "live", "--images", str(images), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--workers", str(workers), "--json"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"rankiqa distort: {done.stderr.strip().splitlines()[-1]}")
    summary = json.loads(done.stdout)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return summary["seconds"], processor, max(summary["worker_peak_mb"])


def _workers(folder):
    """Return the results of _set with one worker and with two."""
    images = Path(folder, "photographs")
    if not images.exists():
        images.mkdir()
        for path in sorted(PHOTOGRAPHS.glob("*.jpg")):
            cv2.imwrite(str(images / f"{path.stem}.bmp"), photograph(path.stem)[..., ::-1])
    measured = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory(prefix="set-", dir=folder) as out:
            measured.append(_set(images, Path(out, "set"), workers))
    return measured


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    names = list(TID2013)
    runnable = [name for dataset, name in octave_client.ROWS if dataset == "tid2013"]
    port, theirs, sets = [], [], []
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        octave = _octave(folder)
        for i in range(rounds):
            print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
            port.append(_child(names))
            if octave:
                theirs.append(octave.seconds(photograph(), {name: TID2013[name].levels for name in runnable}, SHORTEST))
            sets.append(_workers(folder))
    ratios = {
        f"octave_over_port_{name}": median(times[name] / ours[name] for times, ours in zip(theirs, port, strict=True))
        for name in runnable
        if theirs
    }
    ratios["workers_2_over_1"] = median(one[0] / two[0] for one, two in sets)
    medians = {f"port_{name}_images_per_s": 1 / median(times[name] for times in port) for name in names}
    if theirs:
        medians |= {f"octave_{name}_images_per_s": 1 / median(times[name] for times in theirs) for name in runnable}
    for number in (1, 2):
        medians[f"workers_{number}_s"] = median(row[number - 1][0] for row in sets)
        medians[f"workers_{number}_processor_s"] = median(row[number - 1][1] for row in sets)
    return ratios, {**medians, "worker_peak_mb": max(peak for row in sets for *_, peak in row)}


if __name__ == "__main__":
    print(json.dumps(port_seconds(sys.argv[1:])))
