"""The command `rankiqa experiment`: run the paper's experiments; each writes CSV files and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rankiqa.cli import arguments, progress

NAMES = ("levels", "mining", "backbones", "ablation")
INDEX = "index"
DESCRIPTION = (
    "Run an experiment of the paper on a folder of photographs and write OUT/index.html and OUT/*.csv. levels: scores "
    "of unseen images by distortion level. mining: compare random pairs, hard-negative mining, the efficient method "
    "and "
    "the contrastive loss. backbones: networks that are ranked, fine-tuned, or both. ablation: 2 to 6 levels, 20 to "
    "100 "
    "percent of the photographs. index: write OUT/index.html over the experiments in the folders of OUT. The same "
    "command resumes a stopped run and does not repeat finished parts. Exit status: 0 done, 1 failed during the run, 2 "
    "not started."
)


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    parser = commands.add_parser("experiment", help="the paper's experiments", description=DESCRIPTION)
    parser.set_defaults(run=run)
    add_options(parser, (*NAMES, INDEX))


def add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add the options to a parser.

    Args:
        parser: The parser.
        names: The experiments that it offers.
    """
    parser.add_argument("experiment", choices=names)
    parser.add_argument("--preset", choices=("small", "paper"), default="small",
                        help="small (default): takes minutes on two cores; paper: the paper's networks "
                        "and iterations")  # fmt: skip
    parser.set_defaults(refuse=parser.error)
    parser.add_argument(
        "--photographs", metavar="DIR", help="folder of pristine photographs with sides above 227 pixels"
    )
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="folder of the results")
    parser.add_argument("--seed", type=arguments.SEED, default=0, help="seed of everything that is random (default 0)")
    parser.add_argument("--init", metavar="W",
                        help="initial weights of the preset's network (for backbones: of that network only), as in "
                        "`rankiqa train`")  # fmt: skip
    parser.add_argument(
        "--opinions", metavar="LIST", help="list of images with opinions to measure on, from `rankiqa lists`"
    )
    parser.add_argument("--root", default="", metavar="DIR", help="folder that the paths of that list start from")
    parser.add_argument(
        "--crops", type=arguments.int_in_range(1), default=10, help="crops per image of that list (default 10)"
    )
    parser.add_argument("--iterations", type=arguments.int_in_range(1), metavar="N", help="iterations of each training")


def _say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Run the experiment and return the exit status."""
    if options.experiment == INDEX:
        return _index(options.out)
    photographs: str = options.photographs or options.refuse("the following arguments are required: --photographs")
    import importlib
    from dataclasses import replace

    from rankiqa.experiments import chosen_photographs, experiment_page, ranked_data, training_runs
    from rankiqa.experiments.budgets import SETTINGS
    from rankiqa.experiments.experiment_inputs import Experiment
    from rankiqa.experiments.measures import Opinions
    from rankiqa.models import memory
    from rankiqa.ranked_sets.make_files import WriteError

    memory.keep_freed()
    module = importlib.import_module(f"rankiqa.experiments.{options.experiment}")
    settings, out = SETTINGS[options.preset], options.out
    if options.iterations:
        settings = replace(settings, iterations=options.iterations, short=options.iterations)
    try:
        experiment_page.check_installed()
        chosen = chosen_photographs.choose(photographs, settings)
        inputs = {
            "seed": options.seed,
            "init": options.init,
            "photographs": chosen_photographs.digest(photographs, chosen),
        }
        if not (out / ranked_data.CLAIM).exists():
            chosen_photographs.check(photographs, chosen)
        archs = settings.archs if options.experiment == "backbones" else (settings.arch,)
        inputs |= training_runs.check_networks(archs, settings, options.init)
        opinions = Opinions.of(options.opinions, options.root, options.crops, options.seed)
        ranked_data.claim(out, options.experiment, settings, **inputs)
    except (ValueError, OSError, MemoryError) as error:
        _say(f"rankiqa: {_line(error, out)}")
        return 2
    try:
        with progress.bar(unit="file", desc="distorting", leave=False) as bar:
            data = ranked_data.make(out, photographs, settings, options.seed, bar.update)
        experiment = Experiment(out, settings, data, options.seed, options.init, opinions, _say)
        experiment_page.write(out, module.run(experiment))
    except (ValueError, FloatingPointError) as error:  # the same command would fail again
        _say(f"rankiqa: {_line(error, out)}")
        return 1
    except (OSError, RuntimeError, MemoryError, WriteError) as error:
        _say(f"rankiqa: {_line(error, out)}; the same command resumes")
        return 1
    except KeyboardInterrupt:
        _say("rankiqa: stopped; the same command resumes")
        return 130
    print(out / experiment_page.PAGE)
    return 0


def _index(out: Path) -> int:
    """Write the index page and return the exit status."""
    from rankiqa.experiments import experiment_page, index

    try:
        experiment_page.check_installed()
        print(index.write(out))
    except (ValueError, OSError) as error:
        _say(f"rankiqa: {_line(error, out)}")
        return 2
    return 0


def _line(error: BaseException, out: Path) -> str:
    """Return an error as one line."""
    if isinstance(error, OSError):
        return f"{error.filename or out}: expected a file that can be written, got: {error.strerror or error}"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
