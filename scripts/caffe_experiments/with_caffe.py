"""scripts/experiment_caffe: run `rankiqa experiment levels|mining`, and the same training in the original Caffe.

It takes the options of that command and runs it first. Then the efficient method is trained with the same seed in the
original Caffe, in its container, and in the port with Caffe's matrix products. Finally the page is written again, now
with OUT/caffe_*.csv. Steps that an earlier run has completed are skipped.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import question
import requests
from docker.errors import DockerException

import build
import engine
from caffe_client import CaffeError, Live
from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.cli import experiment
from rankiqa.cli import main as rankiqa
from rankiqa.data.image_lists import ImageList, read_list
from rankiqa.data.json_text import parse_json
from rankiqa.experiments import caffe_comparison
from rankiqa.experiments.budgets import Settings
from rankiqa.experiments.csv_tables import read_csv, write_csv
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.ranked_data import CLAIM, root_of
from rankiqa.experiments.training_runs import CURVE, EFFICIENT, Curve, start, trained
from rankiqa.models.scorer import Scorer

NAMES = ("levels", "mining")
THREADS = 1  # for the matrix products of both sides, because their last bits depend on it


def say(line: str) -> None:
    """Print a line to stderr."""
    print(f"experiment_caffe: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Run:
    """The efficient method's run of a completed experiment, read from its folder.

    Attributes:
        out: The folder of the experiment.
        settings: Its settings.
        seed: Its seed.
        init: The file of the initial weights; None: they are drawn.
        train: The training list.
        held_out: The held-out images.
    """

    out: Path
    settings: Settings
    seed: int
    init: str | None
    train: ImageList
    held_out: HeldOut

    @classmethod
    def of(cls, out: Path) -> Run:
        """Read OUT/experiment.json and the lists."""
        about = parse_json((out / CLAIM).read_bytes())
        settings = Settings(**{**about["settings"], "archs": tuple(about["settings"]["archs"])})
        lists = (out / "lists" / f"{name}_all.txt" for name in ("train", "held_out"))
        train, held_out = (read_list(path, root_of(out)) for path in lists)
        return cls(out, settings, about["seed"], about["init"], train, HeldOut(held_out, seed=about["seed"]))

    def trained(self, name: str, products: CaffeBlas | None) -> tuple[Scorer, dict[int, float]]:
        """Return the port's network of OUT/runs/NAME and {iteration: held-out loss}; train it if it is missing.

        Args:
            name: The name of the run.
            products: Caffe's matrix products, or None for PyTorch's.
        """
        folder, preset = self.out / "runs" / name, self.settings.rank_preset(iterations=self.settings.iterations)
        watch = Curve(folder / CURVE, self.held_out, preset.size)
        model = trained(folder, preset, self.settings.arch, self.train, self.settings, seed=self.seed, init=self.init,
                        watch=watch, products=products, say=say)  # fmt: skip
        return model, {int(row["iteration"]): float(row["loss"]) for row in read_csv(folder / CURVE)}


def compare(caffe: Live, run: Run) -> None:
    """Train in Caffe and in the port; write OUT/caffe_curve.csv and OUT/caffe_scores.csv."""
    settings, preset = run.settings, run.settings.rank_preset(iterations=run.settings.iterations)
    model, curve = run.trained(EFFICIENT, None)
    curves, scores = {caffe_comparison.PORT: curve}, {caffe_comparison.PORT: run.held_out.scores(model)}
    try:
        products = CaffeBlas(THREADS)
    except ValueError as error:
        say(f"skipped: the port with {error}")
    else:
        say(f"the port with Caffe's matrix products: {settings.iterations} iterations")
        model, curves[caffe_comparison.PRODUCTS] = run.trained(f"{EFFICIENT}_caffe_products", products)
        scores[caffe_comparison.PRODUCTS] = run.held_out.scores(model)
    say(f"the original Caffe: {settings.iterations} iterations")
    answer = question.ask(
        caffe, settings.arch, preset, run.train, run.held_out,
        start(preset, settings.arch, settings, CaffeRandom(run.seed), run.init),
        seed=run.seed, centre=settings.centred_start, given=run.init is not None, iterations=sorted(curve),
    )  # fmt: skip
    if not answer.same_start:
        raise RuntimeError(f"seed {run.seed}: expected Caffe to draw the port's initial weights, got others")
    curves[caffe_comparison.CAFFE] = {
        n: float(run.held_out.losses(values).mean()) for n, values in answer.scores.items()
    }
    scores[caffe_comparison.CAFFE] = answer.scores[max(answer.scores)]
    images, held_out = run.held_out.images, run.held_out
    described = zip(images.paths, held_out.types, images.labels, held_out.names, answer.same_pixels, strict=True)
    rows = [
        {"path": path, "type": kind, "level": int(level), "photograph": name, "same_pixels": same}
        | {engine_name: float(values[line]) for engine_name, values in scores.items()}
        for line, (path, kind, level, name, same) in enumerate(described)
    ]
    steps = [{"iteration": n} | {name: losses[n] for name, losses in curves.items()} for n in sorted(curve)]
    write_csv(run.out / caffe_comparison.SCORES, caffe_comparison.SCORE_COLUMNS, rows)
    write_csv(run.out / caffe_comparison.CURVE, caffe_comparison.CURVE_COLUMNS, steps)


def main(argv: list[str] | None = None) -> int:
    """Run the missing steps and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/experiment_caffe", description=__doc__.split(": ", 1)[1])
    experiment.add_options(parser, NAMES)
    parser.add_argument("--no-install", action="store_true", help="do not install or start a Docker engine")
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    command = ["experiment", *(word for word in argv if word != "--no-install")]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that an engine that we started is stopped
    status = rankiqa(command)
    if status:
        return status
    if (options.out / caffe_comparison.CURVE).exists():  # written last
        return 0
    try:
        with engine.engine(install=not options.no_install) as client:
            build.build(client)
            environment = {"OPENBLAS_NUM_THREADS": str(THREADS)}
            compare(Live(client, environment=environment), Run.of(options.out))
    except (engine.NoEngine, build.BuildError) as error:
        say(str(error))
        return 2
    except (CaffeError, DockerException, requests.RequestException, ValueError, OSError, RuntimeError,
            FloatingPointError, MemoryError) as error:  # fmt: skip
        say(f"failed: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return 1
    except KeyboardInterrupt:
        say("stopped; the same command continues")
        return 130
    return rankiqa(command)


if __name__ == "__main__":
    sys.exit(main())
