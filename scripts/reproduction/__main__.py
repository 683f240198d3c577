"""scripts/reproduce: train and score RankIQA in the original Caffe, convert it, score in the port, and compare."""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
from pathlib import Path

import caffe_training
import chain
import compare
import prepared_photographs
import recorded_run
import report_json
import report_page
import requests
from docker.errors import DockerException

import build
import engine
from caffe_client import CaffeError, Live
from rankiqa.data.atomic_files import replacing
from rankiqa.models import memory

ROOT = Path(__file__).resolve().parents[2]
LEAST_RECORDED = 0.5  # the share of the recorded images that this machine must reproduce for a comparison


class CannotRun(RuntimeError):
    """The run is impossible; the message is one line for the user. Exit status 2."""


def log_line(text: str) -> None:
    """Print a line to stderr."""
    print(f"reproduce: {text}", file=sys.stderr, flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse and check the options."""
    parser = argparse.ArgumentParser(prog="scripts/reproduce", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--images", type=Path, metavar="DIR", help="your photographs instead of the default ones")
    parser.add_argument("--out", type=Path, metavar="DIR", default=ROOT / "results" / "reproduce")
    parser.add_argument("--no-install", action="store_true", help="do not install or start a Docker engine")
    parser.add_argument("--caffe", choices=("live", "recorded", "auto"), default="auto", help="auto: live if possible")
    parser.add_argument("--seed", type=int, help=f"of noise, crops and training (default {caffe_training.SEED})")
    parser.add_argument("--record", action="store_true", help="for maintainers: record live Caffe's answers")
    options = parser.parse_args(argv)
    if options.seed is not None and not 0 <= options.seed < 2**31:
        parser.error(f"--seed: expected 0 to {2**31 - 1}, got {options.seed}")
    if options.record and (options.caffe == "recorded" or options.images):
        parser.error("--record needs live Caffe and the default photographs")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out {options.out}: expected a folder, got a file")
    return options


def fresh_folder(out: Path) -> None:
    """Create the folder and remove the files of an earlier run; other files stay."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / "caffe", ignore_errors=True)
        for name in ("report.json", "report.html", "rank.safetensors", "ft.safetensors"):
            (out / name).unlink(missing_ok=True)
        (out / "caffe").mkdir(exist_ok=True)
    except OSError as error:
        raise CannotRun(f"--out {out}: {error.strerror}") from None


def run_live(client, options, chosen, out: Path, progress: chain.Progress) -> dict:
    """Run the chain with live Caffe, write the report and return it."""
    caffe = Live(client)
    recipe = caffe_training.Recipe()
    seed = caffe_training.SEED if options.seed is None else options.seed
    compared = chain.live(caffe, chosen, out, recipe, seed, progress)
    with progress.step("report", "comparing"):
        about = {"caffe": caffe_version(caffe, out / "caffe"), "image": client.images.get(build.IMAGE).id}
        more = {"timings": progress.timings, "own_images": options.images is not None}
        report = report_json.build(compared, out, "live", about, recipe, seed, more)
    finish(report, compared, out)
    if options.record:
        recorded_run.save(compared.side, recipe, seed, {**about, "timings": dict(progress.timings)})
        log_line(f"recorded under {recorded_run.FOLDER.relative_to(ROOT)}")
    return report


def run_recorded(options, chosen, out: Path, progress: chain.Progress, why: str, live_line: str) -> dict:
    """Run the chain with Caffe's recorded answers, write the report and return it."""
    side, recipe, seed, about = recorded_run.load()
    if options.seed not in (None, seed):
        raise CannotRun(
            f"--seed {options.seed} needs live Caffe (recorded: seed {seed}; {why}). To run it: {live_line}"
        )
    fresh_folder(out)
    recorded = len(side.images)
    compared = chain.recorded(chosen, out, side, seed, progress)
    if len(compared.side.images) < LEAST_RECORDED * recorded:
        raise CannotRun(
            f"only {len(compared.side.images)} of the {recorded} recorded images have the same pixels on this machine "
            f"(other versions of the image codecs); nothing is compared. To run live: {live_line}"
        )
    if compared.left_out:
        log_line(f"{len(compared.left_out)} of {recorded} recorded images have other pixels here and are not compared")
    with progress.step("report", "comparing"):
        more = {"timings": progress.timings, "why_recorded": why, "to_run_live": live_line}
        report = report_json.build(compared, out, "recorded", about, recipe, seed, more)
    finish(report, compared, out)
    return report


def finish(report: dict, compared: compare.Compared, out: Path) -> None:
    """Write report.html and report.json."""
    page, text = report_page.render(report, compared), report_json.as_json(report)
    for name, content in (("report.html", page), ("report.json", text)):
        with replacing(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")


def caffe_version(caffe: Live, folder: Path) -> str:
    """Return Caffe's version."""
    match = re.search(r"caffe version (\S+)", caffe.run(["caffe", "--version"], folder))
    return match[1] if match else "unknown"


def last_lines(report: dict, out: Path) -> None:
    """Print the failed checks, the main numbers and the verdict."""
    for check in report["checks"]:
        if not check["passed"]:
            log_line(f"{check['name']}: {check['value']} (limit {check['limit']})")
    srocc, score = report["srocc"], report["score"]
    numbers = [srocc["caffe"], srocc["port"], report["untrained_srocc"]]
    caffe, port, untrained = ("undefined" if number is None else f"{number:.4f}" for number in numbers)
    log_line(f"held-out SROCC with the true level: {caffe} in Caffe, {port} in the port; untrained {untrained}")
    log_line(f"largest score difference {score['max_abs_diff']:.3g} on a range of {score['range']:.4g}")
    log_line(f"report: {out / 'report.html'}")
    log_line(f"verdict: {report['verdict']} ({report['reference']} Caffe)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parse(argv)
    memory.keep_freed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that an engine that we started is stopped
    progress = chain.Progress()
    try:
        chosen, skipped = prepared_photographs.load(options.images)
        for line in skipped:
            log_line(f"skipped: {line}")
        return compared(options, chosen, progress)
    except (prepared_photographs.PhotographError, CannotRun, recorded_run.NoRecording) as error:
        log_line(str(error))
        return 2
    except (CaffeError, compare.ConversionError, build.BuildError, engine.NoEngine, DockerException) as error:
        log_line(f"failed: {error}")
        return 1
    except requests.RequestException as error:  # the SDK raises it if the engine stops
        log_line(f"failed: the Docker engine stopped answering ({str(error).splitlines()[0]})")
        return 1
    except KeyboardInterrupt:
        log_line("interrupted")
        return 130


def compared(options, chosen, progress: chain.Progress) -> int:
    """Compare with live Caffe if possible or required, otherwise with the recording; return the exit status."""
    why = "--caffe recorded was given"
    live_line = "scripts/reproduce --caffe live"
    if options.caffe != "recorded":
        try:
            with engine.engine(install=not options.no_install) as client:
                log_line("a Docker engine answers: Caffe will train and score, the port will convert and score")
                build.build(client)
                fresh_folder(options.out)
                report = run_live(client, options, chosen, options.out, progress)
            last_lines(report, options.out)
            return 0 if report["verdict"] == "agree" else 1
        except (engine.NoEngine, build.BuildError) as error:
            if options.caffe == "live" or options.record:
                raise
            why, live_line = str(error).splitlines()[0].split("; ")[0], engine.how_to()
    if options.images:
        raise CannotRun(f"--images needs live Caffe ({why}). To run it: {live_line}")
    log_line(f"no live Caffe ({why}): comparing with recorded answers of Caffe")
    report = run_recorded(options, chosen, options.out, progress, why, live_line)
    last_lines(report, options.out)
    log_line(f"compared with recorded, not live, Caffe; to run it live: {live_line}")
    return 0 if report["verdict"] == "agree" else 1


if __name__ == "__main__":
    sys.exit(main())
