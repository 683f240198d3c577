#!/usr/bin/env python3
"""Write PRECISION.md: the measured error of each comparison, and the distance between runs of one training.

    .venv/bin/python parity_tests/precision.py [--report REPORT.json] [--trainings trainings.json]

`scripts/test --caffe=live --parity-report REPORT.json` writes REPORT.json; without it the table of comparisons is left
out. The runs (Shallow, 300 iterations of ranking, 300 of fine-tuning) take about 25 minutes on two cores; --trainings
names a file that keeps them. They are: Caffe, Caffe again, Caffe with one initial weight moved by one ulp, Caffe with
one thread fewer, Caffe with OpenBLAS's kernels for another processor, the port, and the port with Caffe's products.
The exit status is 1 if the last run is ever further from Caffe than ten times the largest distance that the run of one
ulp has reached by then.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before OpenMP starts; rankiqa.caffe_blas says why
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
# A loss is a float32 sum of dozens of terms: a relative difference of this size may be rounding of the sum alone
FLOOR = 1e-6
LIMIT = 10  # times the distance that one ulp causes in Caffe itself
KERNELS = "Nehalem"  # SSE, without fused multiply-adds; the image uses Haswell's kernels
ULP, OTHER, FEWER = "Caffe, one ulp", f"Caffe, {KERNELS} kernels", "Caffe, one thread fewer"
PORT, EXACT = "port", "port, Caffe's products"
WHY = {
    "bytes": "exact: nothing is computed",
    "nets": "exact: nothing is computed",
    "data": "exact: indices and pixels",
    "order": "exact: indices and pixels",
    "fillers": "exact: the same random numbers and the same roundings",
    "masks": "exact: the same random numbers and the same comparison",
    "operators": "float32 values are added in another order",
    "layers": "float32 values are added in another order",
    "gradients": "the same in a backward pass, with Caffe's choices at ties (test_gradients.py)",
    "solver": "one multiply-add more or fewer; rates are equal",
    "resume": "rounding of a few iterations that start from equal weights",
    "log": "six printed digits of numbers that were rounded differently",
    "octave": "exact: Octave and the port get the same random numbers",
    "octave drawn": "statistics of random draws: standard errors, and chi squares at 1e-6",
    "trajectory": "the training itself amplifies rounding: see below",
    "same-blas": "weights are equal; a loss is summed in float64 in another order",
    "scores": "float32 values are added in another order; relative to the score range",
    "correlation": "Caffe's layers output float32",
    "engines": "other engines than Caffe, with the same files",
}

TEXT = """# Precision

`.venv/bin/python parity_tests/precision.py --report REPORT.json` writes this page from the measurements of
`scripts/test --caffe=live --parity-report REPORT.json`. Do not edit it by hand.

{rungs}

## One training, run seven times

Each run trains Shallow on photographs, 300 iterations of ranking and 300 of fine-tuning. The runs share one seed and
exchange nothing else. The distance is |loss - Caffe's| / max(Caffe's, 1). "One ulp" is Caffe with the first weight of
conv1 moved to the next float32. "One thread fewer" and "{kernels} kernels" are Caffe with its OpenBLAS set to use one
core fewer, or the kernels of that processor; then all sums round differently, as they do for Caffe's users on different
machines. "Caffe's products" is `rankiqa train --caffe-products`; the rung `same-blas` compares its weights bit by bit.

![distances](precision.png)

{trainings}

The next table divides the largest distance of a training so far by that of another one, and shows the largest ratio
over all iterations. Distances below {floor} count as {floor}, a few float32 roundings of a loss:

{ratios}

The limit is {limit} for the port with Caffe's products over one ulp. With PyTorch's own products, every sum of every
layer rounds differently instead of one weight. The comparable runs are then Caffe on other cores, and the limit does
not apply.
"""


def _run_trainings(client):
    """Run the trainings; return {name: 600 losses, first of ranking, then of fine-tuning}."""
    from caffe_client import Live
    from lib.trainings import shallow_presets, train_in_port

    presets = shallow_presets("trajectory/shallow")
    weight = fill(ARCHITECTURES["shallow"], CaffeRandom(sample_training.SEED))["conv1.weight"].numpy()
    moved = weight.copy()
    moved.flat[0] = np.nextafter(moved.flat[0], np.float32(9))
    losses_of = {}
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
            losses_of[name] = [float(loss) for task in presets for loss in answer.array(f"{task}/losses")]
        memory.keep_freed()
        out = folder / "out"
        out.mkdir()
        for name, products in ((PORT, None), (EXACT, CaffeBlas())):
            print(f"precision: {name}", file=sys.stderr)
            trained = train_in_port(folder, "shallow", presets, out, products=products)
            losses_of[name] = [float(loss) for losses, _ in trained.values() for loss in losses]
    return losses_of


def _distances(trainings):
    """Return {name: |loss - Caffe's| / max(Caffe's, 1), (600,)}."""
    caffe = np.array(trainings["Caffe"])
    return {
        name: np.abs(np.array(training) - caffe) / np.maximum(caffe, 1)
        for name, training in trainings.items()
        if name != "Caffe"
    }


def furthest(training, other):
    """Return the largest ratio of a training's largest distance so far to another's."""
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
    for rung, comparisons in rungs.items():
        positive = [row for row in comparisons if not row["negative_control"]]
        controls = [row for row in comparisons if row["negative_control"]]
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
    parser.add_argument("--report", type=Path, help="the file that scripts/test --parity-report wrote")
    parser.add_argument("--trainings", type=Path, help="a file of trainings: read if it exists, else written")
    options = parser.parse_args(argv)
    rungs = "The table of comparisons was left out: no --report was given."
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
