"""Distorting: each type of the port in one process of one thread, against upstream's MATLAB code in GNU Octave, on the
same photograph, in one run; then `rankiqa distort` with two workers against one. Higher is better for the port.

Times are of the picture alone, without writing it (JPEG: of writing the file), a mean over TID2013's levels. Without
the original's files (RANKIQA_UPSTREAM=PATH) or without Octave, only the port is timed, and a line says so.
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
SHORTEST = 0.2  # seconds: each type is repeated at least so long in a round


def photograph(name="castle"):
    """One of the photographs, brought to LIVE's and TID2013's size; uint8 (384, 512, 3), RGB."""
    image = cv2.imread(str(PHOTOGRAPHS / f"{name}.jpg"))
    return np.ascontiguousarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., ::-1])


def _distort(row, image, value, rng, path):
    if row.name == "JPEG":  # Octave's imwrite makes the file
        path.write_bytes(row.encode(image, value, rng))
    elif row.encode:
        row.encode(image, value, rng)
    else:
        row.apply(image, value, rng)


def port_seconds(names):
    """{type: seconds of an image}, in this process."""
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
    """port_seconds in a process of one thread, as `rankiqa distort` has its workers."""
    command = [sys.executable, __file__, *names]
    environment = {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


def _octave(folder):
    """Octave with the original's files, or None after a line that says why."""
    place = os.environ.get("RANKIQA_UPSTREAM")
    try:
        if not place:
            raise octave_client.OctaveError(
                "RANKIQA_UPSTREAM=PATH names no checkout, mirror or archive of the original"
            )
        where = octave_client.find()
    except octave_client.OctaveError as error:
        print(f"bench: the port alone: {error}", file=sys.stderr)
        return None
    get_upstream.get(Path(folder, "RankIQA"), place)
    return octave_client.Octave(Path(folder, "RankIQA"), where)


def _set(images, out, workers):
    """Make LIVE's set; (seconds, seconds of processor, the most memory of a worker in MB)."""
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
    """What _set measures with one worker and with two: (2, 3)."""
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
    names = list(TID2013)
    asked = [name for dataset, name in octave_client.ROWS if dataset == "tid2013"]
    port, theirs, made = [], [], []
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        octave = _octave(folder)
        for i in range(rounds):
            print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
            port.append(_child(names))
            if octave:
                theirs.append(octave.seconds(photograph(), {name: TID2013[name].levels for name in asked}, SHORTEST))
            made.append(_workers(folder))
    ratios = {
        f"octave_over_port_{name}": median(times[name] / ours[name] for times, ours in zip(theirs, port, strict=True))
        for name in asked
        if theirs
    }
    ratios["workers_2_over_1"] = median(times[0] / two[0] for times, two in made)
    medians = {f"port_{name}_images_per_s": 1 / median(times[name] for times in port) for name in names}
    if theirs:
        medians |= {f"octave_{name}_images_per_s": 1 / median(times[name] for times in theirs) for name in asked}
    for number in (1, 2):
        medians[f"workers_{number}_s"] = median(row[number - 1][0] for row in made)
        medians[f"workers_{number}_processor_s"] = median(row[number - 1][1] for row in made)
    return ratios, {**medians, "worker_peak_mb": max(peak for row in made for *_, peak in row)}


if __name__ == "__main__":
    print(json.dumps(port_seconds(sys.argv[1:])))
