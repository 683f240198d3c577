"""scripts/card: measure the package's model, and write its card and its table in README.md."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import card_text
import held_out_order
import numpy as np
import opinions
import other_measures
from card_tables import README, REAL, WORK, read_rows, write
from tqdm import tqdm

import rankiqa
from rankiqa.data.atomic_files import replacing
from rankiqa.evaluation.agreement import Bootstrap, intervals, measure
from rankiqa.models import memory
from rankiqa.models.scorer import Scorer
from rankiqa.models.weights import SHIPPED

OURS = "rankiqa"
COLUMNS = (
    "set",
    "part",
    "measure",
    "n",
    "srocc",
    "srocc_low",
    "srocc_high",
    "lcc",
    "lcc_low",
    "lcc_high",
    "pairs_right",
)


@dataclass(frozen=True)
class Scored:
    """The scores of one measure and the labels of the same images; for both, lower is better."""

    set: str
    part: str
    measure: str
    scores: np.ndarray
    labels: np.ndarray
    references: Sequence[str]
    pairs_right: float | None = None


def row_of(scored: Scored, resamples: int) -> dict:
    """Return a row of card.csv: SROCC and LCC with 95% intervals, by resampling references or images."""
    values = measure(scored.scores, scored.labels).values
    bounds = intervals(scored.scores, scored.labels, scored.references, Bootstrap(resamples)) if resamples else {}
    row: dict = dict.fromkeys(COLUMNS, "")
    row |= {"set": scored.set, "part": scored.part, "measure": scored.measure, "n": len(scored.scores)}
    for name in ("srocc", "lcc"):
        if values[name] is not None:
            row[name] = f"{values[name]:.4f}"
            if name in bounds:
                row |= {f"{name}_low": f"{bounds[name][0]:.4f}", f"{name}_high": f"{bounds[name][1]:.4f}"}
    if scored.pairs_right is not None:
        row["pairs_right"] = f"{scored.pairs_right:.4f}"
    return row


def of_held_out(versions: list[held_out_order.Version]) -> Iterable[Scored]:
    """Yield the scores and levels of each set and type."""
    for name in dict.fromkeys(version.set for version in versions):
        of_set = [version for version in versions if version.set == name]
        for kind in ("all", *dict.fromkeys(version.type for version in of_set)):
            some = [version for version in of_set if kind in ("all", version.type)]
            columns = [np.array([getattr(version, key) for version in some], float) for key in ("score", "level")]
            photographs = [version.photograph for version in some]
            yield Scored(f"held-out, {name}", kind, OURS, *columns, photographs, held_out_order.pairs_right(some))


def of_opinions(images: list[opinions.Opinion], tables: dict[str, dict[str, float]]) -> Iterable[Scored]:
    """Yield the scores of each measure and the opinion scores, for each set and each of its types.

    Args:
        images: The images with opinion scores.
        tables: {measure: {path: score}}.
    """
    for name in dict.fromkeys(image.set for image in images):
        of_set = [image for image in images if image.set == name]
        for kind in ("all", *dict.fromkeys(image.type for image in of_set if image.type not in ("", "pristine"))):
            for measure_name, table in tables.items():
                some = [image for image in of_set if kind in ("all", image.type) and image.path in table]
                if len(some) < 3:
                    continue
                labels = np.array([image.label if image.lower_is_better else -image.label for image in some])
                scores = np.array([table[image.path] for image in some])
                yield Scored(name, kind, measure_name, scores, labels, [image.reference for image in some])


def others(paths: list[str], work: Path) -> dict[str, dict[str, float]]:
    """Return {measure: {path: score}} of NIQE and BRISQUE; scores of an earlier run are reused."""
    file = work / "other_measures.csv"
    known = {row["path"]: row for row in read_rows(file)}
    missing = [path for path in paths if path not in known]
    if missing:
        packages = work / "packages"
        if not packages.is_dir():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
            subprocess.run([*pip, *other_measures.REQUIREMENTS], check=True)
        command = [sys.executable, str(Path(other_measures.__file__)), str(packages)]
        done = subprocess.run(command, input="\n".join(missing), stdout=subprocess.PIPE, text=True, check=True)
        rows = {row["path"]: row for row in csv.DictReader(done.stdout.splitlines())}
        known |= rows
        write(file, ("path", "niqe", "brisque"), known.values())
    return {
        name: {path: float(known[path][name]) for path in paths if known[path][name] != ""}
        for name in ("niqe", "brisque")
    }


def options_of(argv: list[str] | None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="scripts/card", description=__doc__)
    parser.add_argument("--live", type=Path, default=REAL / "live", help="images of LIVE, with scores.csv")
    parser.add_argument("--clive", type=Path, default=REAL / "clive", help="LIVE In the Wild: Images/, Data/")
    parser.add_argument("--photographs", type=Path, default=held_out_order.PHOTOGRAPHS, help="held-out photographs")
    parser.add_argument("--count", type=int, default=10, help="number of these photographs (default 10)")
    parser.add_argument("--held-out-crops", type=int, default=10, help="crops of each of their versions (default 10)")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples for each interval (default 1000)")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="(default: the package's model)")
    parser.add_argument("--out", type=Path, default=SHIPPED.parent, help="folder for CARD.md and card.csv")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for intermediate results")
    parser.add_argument("--text-only", action="store_true", help="write the pages from existing CSV files")
    return parser.parse_args(argv)


def measured(model: Scorer, options: argparse.Namespace) -> tuple[list[dict], list[str]]:
    """Measure; return the rows of card.csv and a line for each measurement that was not possible."""
    options.work.mkdir(parents=True, exist_ok=True)
    sign = 1 if model.lower_is_better else -1
    images, absent = [], []
    for name, folder, read in (
        ("LIVE", options.live, opinions.live),
        ("LIVE In the Wild", options.clive, opinions.clive),
    ):
        if folder.is_dir():
            images += read(folder)
        else:
            absent.append(f"{name}: not measured, no folder {folder}")
    paths = list(dict.fromkeys(image.path for image in images))
    ours = {}
    for row in tqdm(rankiqa.score_many(model, paths), total=len(paths), unit="image", desc="opinions"):
        if "error" in row:
            raise ValueError(f"{row['path']}: {row['error']}")
        ours[row["path"]] = sign * row["score"]
    tables = {OURS: ours, **(others(paths, options.work) if paths else {})}
    print("card: held-out photographs", file=sys.stderr)
    versions, missing = held_out_order.versions(model, options.photographs, options.count, options.held_out_crops)
    scored = [*of_opinions(images, tables), *of_held_out(versions)]
    return [row_of(one_set, options.resamples) for one_set in scored], [*absent, *missing]


def main(argv: list[str] | None = None) -> int:
    """Measure, write the card and return the exit status."""
    options = options_of(argv)
    memory.keep_freed()
    table, card = options.out / "card.csv", options.out / "CARD.md"
    try:
        model = rankiqa.load(options.weights)
        if options.text_only:
            rows, missing = read_rows(table), card_text.not_measured(card.read_text(encoding="utf-8"))
        else:
            rows, missing = measured(model, options)
            write(table, COLUMNS, rows)
        calibrated = read_rows(options.out / "calibrated.csv")
        used = {"photographs": str(options.photographs.name), "count": options.count, "crops": options.held_out_crops}
        text = card_text.text(model, rows, calibrated, missing, used, options.out)
        with replacing(card) as temporary:
            temporary.write_text(text, encoding="utf-8")
        if options.out == SHIPPED.parent and options.live.is_dir() and options.clive.is_dir():
            page = card_text.in_readme(README.read_text(encoding="utf-8"), rows)
            with replacing(README) as temporary:
                temporary.write_text(page, encoding="utf-8")
    except (ValueError, OSError, subprocess.CalledProcessError, json.JSONDecodeError) as error:
        print(f"card: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("card: stopped", file=sys.stderr)
        return 130
    print(card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
