"""Give damaged files of every kind to the commands; count right answers, clear errors and faults for each kind."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "parity_tests")]

from lib import damage  # noqa: E402
from lib.fault_survey import RIGHT, counts, survey  # noqa: E402
from rankiqa.cli.arguments import SEED, int_in_range  # noqa: E402
from rankiqa.cli.guard import guarded  # noqa: E402

SHOWN = 5  # number of faults printed for each kind


def _preload() -> None:
    """Import everything that the commands import late, so that it does not count in the time or memory of a case.

    This must not run any torch operation, because processes that are forked afterwards could not use torch's threads.
    """
    import cv2  # noqa: F401
    import h5py  # noqa: F401
    import safetensors.torch  # noqa: F401
    import tqdm  # noqa: F401

    import rankiqa
    import rankiqa_convert.commands
    import rankiqa_convert.solver_states  # noqa: F401
    from rankiqa.data import image_check, photographs  # noqa: F401
    from rankiqa.ranked_sets import contact_sheet  # noqa: F401

    for name in ("load", "score", "read_image", "Trainer", "distort"):
        getattr(rankiqa, name)


def _seconds(text: str) -> float:
    """Parse a time limit for argparse: a finite number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"expected seconds, above 0, got {text!r}")


def main(argv: list[str] | None = None) -> int:
    """Run the survey and return the exit status: 0 without faults, otherwise 1."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(damage.KINDS)} (default: all)")
    parser.add_argument("--count", type=int_in_range(1), default=1000, help="damaged files of each kind (default 1000)")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of the damage (default 0)")
    parser.add_argument("--seconds", type=_seconds, default=30, help="time limit for each file (default 30)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if unknown := set(options.kinds) - set(damage.KINDS):
        parser.error(f"expected kinds from {', '.join(damage.KINDS)}, got {', '.join(sorted(unknown))}")
    table, faulty = {}, False
    with tempfile.TemporaryDirectory(prefix="rankiqa-fuzz-") as folder:
        damage.prepare(Path(folder, "files"))
        _preload()
        for kind in options.kinds or damage.KINDS:
            calls = damage.calls(kind, Path(folder, "files"), options.count, options.seed)
            outcomes = survey(calls, options.seconds)
            whole = [outcome for outcome in outcomes if outcome.name.startswith(damage.WHOLE)]
            outcomes = [outcome for outcome in outcomes if outcome not in whole]
            table[kind] = counts(outcomes)
            if not options.json:
                print(f"{kind:<11} " + ", ".join(f"{name} {count}" for name, count in table[kind].items()), flush=True)
            faults = [outcome for outcome in outcomes if outcome.is_fault] + [
                outcome for outcome in whole if outcome.result != RIGHT
            ]
            faulty |= bool(faults)
            for fault in faults[:SHOWN]:
                print(f"  {fault.result}: {fault.name}: {fault.detail[-1500:]}", file=sys.stderr)
    if options.json:
        print(json.dumps(table))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:], "fuzz"))
