#!/usr/bin/env python3
"""Write PRECISION.md: what was measured at each rung, and how far apart two runs of one training come.

    .venv/bin/python parity_tests/precision.py [--report REPORT.json] [--trainings trainings.json]

REPORT.json is what `scripts/test --caffe=live --parity-report REPORT.json` wrote; without it the rungs are left out.
The runs (Shallow, 300 iterations of ranking, 300 of fine-tuning) are made anew, about 25 minutes on two cores, and
kept in --trainings: Caffe, Caffe again, Caffe with one initial weight one ulp away, Caffe with one thread less, Caffe
with OpenBLAS's kernels for another processor, the port, and the port with Caffe's products. Exit status 1 when the last
comes further from Caffe than ten times what the run of one ulp has by then.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # rankiqa.caffe_blas
sys.path[:0] = [str(HERE), str(HERE.parent / "docker")]

import numpy as np  # noqa: E402

import sample_training  # noqa: E402
from lib.drift import first_above  # noqa: E402
from rankiqa.caffe.blas import CaffeBlas  # noqa: E402
from rankiqa.caffe.random_stream import CaffeRandom  # noqa: E402
from rankiqa.data.atomic_files import replacing  # noqa: E402
from rankiqa.models import memory  # noqa: E402
from rankiqa.models.architectures import ARCHITECTURES  # noqa: E402
from rankiqa.models.network import fill  # noqa: E402

TARGET, PICTURE = HERE / "PRECISION.md", HERE / "precision.png"
# A loss is a float32 sum of dozens of terms: this much, of the loss, is there before anything has walked
FLOOR = 1e-6
LIMIT = 10  # times the distance that one ulp makes in Caffe itself
KERNELS = "Nehalem"  # SSE, without fused multiply-adds; the image's are Haswell's
ULP, OTHER, FEWER = "Caffe, one ulp", f"Caffe, {KERNELS} kernels", "Caffe, one thread fewer"
PORT, EXACT = "port", "port, Caffe's products"
WHY = {
    "bytes": "nothing is computed",
    "nets": "nothing is computed",
    "data": "indices and pixels",
    "order": "indices and pixels",
    "fillers": "the same stream and the same roundings",
    "masks": "the same stream, the same comparison",
    "operators": "float32 sums in another order",
    "layers": "float32 sums in another order",
    "gradients": "the same through a backward pass, with Caffe's choices at ties (test_gradients.py)",
    "solver": "one multiply-add more or less; rates are equal",
    "resume": "a few iterations after equal weights",
    "log": "six printed digits of numbers that were rounded otherwise",
    "octave": "Octave and the port are given the same random numbers",
    "octave drawn": "statistics of random draws: standard errors, and chi squares at 1e-6",
    "trajectory": "rounding, grown by the training itself: see below",
    "same-blas": "weights are equal; a loss is summed in float64 by another order",
    "scores": "float32 sums in another order, of the score range",
    "correlation": "Caffe's layers write float32",
    "engines": "not Caffe: other engines on the same files",
}

TEXT = """# Precision

Made by `.venv/bin/python parity_tests/precision.py --report REPORT.json` from what
`scripts/test --caffe=live --parity-report REPORT.json` measured. Not edited by hand.

{rungs}

## One training, run seven times

Shallow on photographs, 300 iterations of ranking and 300 of fine-tuning, from one seed, nothing exchanged.
Distance: |loss - Caffe's| / max(Caffe's, 1). "One ulp": Caffe, the first weight of conv1 moved to the next float32.
"One thread fewer", "{kernels} kernels": Caffe, its OpenBLAS set to use one core fewer, or to multiply as on that
processor, so that sums round otherwise everywhere: what Caffe's own users see from machine to machine.
"Caffe's products": `rankiqa train --caffe-products`; the rung `same-blas` compares its weights bit for bit.

![distances](precision.png)

{trainings}

How far a training is at its furthest, in units of what another had come to by then; distances below {floor} count as
{floor}, a few float32 roundings of a loss:

{ratios}

The limit is {limit} for the port with Caffe's products against one ulp. With PyTorch's own products every sum of every
layer rounds otherwise, not one weight: there the measure is Caffe on other cores, and the limit does not hold.
"""


def _run_trainings(client):
    """{name: losses of ranking and then of fine-tuning (600)}."""
    from caffe_client import Live
    from lib.trainings import shallow_presets, train_in_port

    presets = shallow_presets("trajectory/shallow")
    weight = fill(ARCHITECTURES["shallow"], CaffeRandom(sample_training.SEED))["conv1.weight"].numpy()
    moved = weight.copy()
    moved.flat[0] = np.nextafter(moved.flat[0], np.float32(9))
    found = {}
    with tempfile.TemporaryDirectory(prefix="rankiqa-") as folder:
        folder = Path(folder)
        sample_training.make_images(folder)
        threads = len(os.sched_getaffinity(0))
        cores = {OTHER: {"OPENBLAS_CORETYPE": KERNELS}, FEWER: {"OPENBLAS_NUM_THREADS": str(max(1, threads - 1))}}
        for name in ("Caffe", "Caffe again", ULP, FEWER, OTHER):
            print(f"precision: {name}", file=sys.stderr)
            files = sample_training.image_files(folder)
            jobs = []
            for task, preset in presets.items():
                files.update(sample_training.caffe_files("shallow", preset))
                jobs.append({"name": task, "kind": "solve", "solver": f"{task}_solver.prototxt",
                             "steps": preset.solver.max_iter, "save": True})  # fmt: skip
            jobs[0]["set"] = {"conv1/0": "conv1"}
            jobs[1]["weights"] = f"rank_iter_{presets['rank'].solver.max_iter}.caffemodel"
            start = {"conv1": moved if name == ULP else weight}
            answer = Live(client, environment=cores.get(name)).ask("precision", jobs, start, files)
            found[name] = [float(loss) for task in presets for loss in answer.array(f"{task}/losses")]
        memory.keep_freed()
        out = folder / "out"
        out.mkdir()
        for name, products in ((PORT, None), (EXACT, CaffeBlas())):
            print(f"precision: {name}", file=sys.stderr)
            walked = train_in_port(folder, "shallow", presets, out, products=products)
            found[name] = [float(loss) for losses, _ in walked.values() for loss in losses]
    return found


def _distances(trainings):
    """{name: |loss - Caffe's| / max(Caffe's, 1), (600,)}."""
    caffe = np.array(trainings["Caffe"])
    return {
        name: np.abs(np.array(training) - caffe) / np.maximum(caffe, 1)
        for name, training in trainings.items()
        if name != "Caffe"
    }


def furthest(training, other):
    """A training's largest distance so far over another's, at its worst."""
    training, other = np.maximum.accumulate(training), np.maximum.accumulate(other)
    return float((training / np.maximum(other, FLOOR)).max())


def _ratios(distances):
    against = (ULP, FEWER, OTHER)
    yield "| training | " + " | ".join(f"over {name}" for name in against) + " |"
    yield "|---" * (1 + len(against)) + "|"
    for name in (PORT, EXACT, FEWER, OTHER):
        cells = (f"{furthest(distances[name], distances[other]):.2g}" if other != name else "" for other in against)
        yield f"| {name} | " + " | ".join(cells) + " |"


def _draw(distances):
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    styles = {
        PORT: ("tab:orange", "-"),
        EXACT: ("tab:red", "-"),
        FEWER: ("tab:olive", "-"),
        ULP: ("tab:blue", "-"),
        OTHER: ("tab:green", "-"),
        "Caffe again": ("black", ":"),
    }
    for name, values in distances.items():
        colour, line = styles[name]
        label = name + (" (equal)" if not values.any() else "")
        axes.semilogy(
            np.arange(1, len(values) + 1), np.maximum(values, 1e-9), color=colour, ls=line, lw=0.9, label=label
        )
    axes.axhline(1e-3, color="grey", lw=0.8, ls="--", label="tolerance")
    axes.axvline(300.5, color="grey", lw=0.8)
    axes.set(xlabel="iteration: ranking, then fine-tuning", ylabel="|loss - Caffe's| / max(Caffe's, 1)",
             title="Shallow, one seed, nothing exchanged: distance from Caffe", ylim=(1e-9, 1))  # fmt: skip
    axes.legend(loc="lower right", fontsize=8)
    with replacing(PICTURE) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _table(rows):
    rungs = defaultdict(list)
    for row in rows:
        rungs[row["rung"]].append(row)
    yield "| rung | worst case | measured error | tolerance | checks | wrong variants caught | why not exact |"
    yield "|---|---|---|---|---|---|---|"
    for rung, found in rungs.items():
        positive = [row for row in found if not row["negative_control"]]
        controls = [row for row in found if row["negative_control"]]
        for tolerance in sorted({row["tolerance"] for row in positive}):
            same = [row for row in positive if row["tolerance"] == tolerance]
            worst = max(same, key=lambda row: row["error"])
            case = worst["case"].split(";")[0].replace("|", "/")
            yield (
                f"| {rung} | {case} | {worst['error']:.2g} | {tolerance:.0e} | {len(same)} | "
                f"{sum(row['passed'] for row in controls)} of {len(controls)} | {WHY.get(rung, '')} |"
            )


def _table_rows(distances):
    yield "| training | " + " | ".join(f"passed 1e{power} at" for power in range(-8, -1)) + " | largest |"
    yield "|---" * 9 + "|"
    for name, values in distances.items():
        at = first_above(dict(enumerate(values.tolist(), start=1)))
        cells = " | ".join(str(at.get(power, "-")) for power in range(-8, -1))
        yield f"| {name} | {cells} | {values.max():.1e} |"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, help="from scripts/test --parity-report")
    parser.add_argument("--trainings", type=Path, help="keep the trainings here, or take them from here")
    options = parser.parse_args(argv)
    rungs = "The rungs were left out: no --report was given."
    if options.report:
        rungs = "\n".join(_table(json.loads(options.report.read_text())))
    if options.trainings and options.trainings.exists():
        trainings = json.loads(options.trainings.read_text())
    else:
        import build
        import engine

        with engine.engine() as client:
            build.build(client)
            trainings = _run_trainings(client)
        if options.trainings:
            options.trainings.write_text(json.dumps(trainings))
    distances = _distances(trainings)
    _draw(distances)
    ulp = furthest(distances[EXACT], distances[ULP])
    text = TEXT.format(
        rungs=rungs,
        kernels=KERNELS,
        trainings="\n".join(_table_rows(distances)),
        ratios="\n".join(_ratios(distances)),
        limit=LIMIT,
        floor=f"{FLOOR:g}",
    )
    with replacing(TARGET) as temporary:
        temporary.write_text(text)
    print(
        f"{TARGET}: with Caffe's products the port is at {ulp:.2g} times one ulp's distance, limit {LIMIT}",
        file=sys.stderr,
    )
    return 0 if ulp <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
