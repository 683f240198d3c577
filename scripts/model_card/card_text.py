"""The text of the card, from the model's metadata and the rows of card.csv."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rankiqa.models.scorer import Scorer

OPINIONS = """SROCC and LCC (without a fitted function) with 95% bootstrap intervals, resampled by reference where
references are known and by image elsewhere. A positive value means that the measure agrees with people. Only BRISQUE
has seen opinions: it was trained on LIVE. The settings of this model (iterations, pairs, sizes of the crops) were
chosen on the even images of LIVE In the Wild (by their index in AllImages_release, from 0); results on LIVE's images
were also seen at that time. No choice used the odd images. They were scored once for each version of the model that was
meant to be shipped; the two earlier versions reached .603 and .617."""
LEVELS = """The first {count} photographs of `{photographs}`, none of which was used in training, with every type and
level of the three tables and {crops} crops per image. The columns give the SROCC between score and level, and the share
of each photograph's pairs of levels that are ordered correctly. Some types hardly lower the quality that people see
(mean shift, contrast), and only the types of wild were used in training."""
CALIBRATED = """The model was fine-tuned on a random 80% of the images and measured on the rest. The table gives mean
and standard deviation over the splits. The splits share images, so that the deviations understate the uncertainty:
a difference below its deviation is not shown to be one. These weights are not shipped."""
PAIRS = {  # by the option --pairs of rankiqa train
    "all": " Pristine photographs are ranked above the versions of other types.",
    "vif": " Versions of different types are ranked by the visual information fidelity of their crops, which is a "
    "full-reference measure that uses no opinions.",
}
NAMES = {"rankiqa": "this model", "niqe": "NIQE", "brisque": "BRISQUE"}


def text(
    model: Scorer, rows: list[dict], calibrated: list[dict], missing: list[str], held_out: dict, folder: Path
) -> str:
    """Return the text of CARD.md.

    Args:
        model: The model.
        rows: The rows of card.csv.
        calibrated: The rows of calibrated.csv; []: not measured.
        missing: A line for each measurement that was not possible.
        held_out: {"photographs", "count", "crops"} of the held-out photographs.
        folder: The folder with digest.json, training_log.txt and training_settings.json, which may be missing.
    """
    real = [row for row in rows if not row["set"].startswith("held-out")]
    ours = [row for row in rows if row["set"].startswith("held-out")]
    sampling, about = model.sampling, model.meaning.about or "not stated"
    *first, last = (f"1/{by:g}" if by != 1 else "full" for by in sampling.reductions)
    sizes = f"{', '.join(first)} and {last}" if first else last
    parts = [
        "# Model card: wild_lite0",
        "`scripts/card` writes this page. Every number in its tables is in [card.csv](card.csv)"
        + (" or [calibrated.csv](calibrated.csv)." if calibrated else "."),
        "## What it is",
        f"EfficientNet-Lite0 with one output ({sum(p.numel() for p in model.parameters()):,} parameters). "
        f"The score: {model.meaning}. It is the mean over {sampling.crops} random crops of {model.crop} pixels, taken "
        f"from the image at {sizes} of its size. Images with a side of more than {sampling.longest_side} pixels are "
        f"reduced first. Images with a side of {sampling.least_side} to {model.crop} pixels are extended by "
        "reflection, and smaller images are refused.",
        about,
        "## Training",
        *_training(folder),
        "## Real opinions",
        OPINIONS,
        _opinions(real) if real else "Not measured: no data set with opinions was available.",
        "## Held-out photographs",
        LEVELS.format(**held_out),
        _levels(ours),
        "## Calibrated on LIVE In the Wild",
        _calibrated(calibrated),
        "## What it is not good for",
        "- Absolute quality: the score orders images. It is not a MOS and not comparable with other models' scores.\n"
        "- Art, drawings, screenshots, text, medical and satellite images: the model was trained on photographs only.\n"
        "- Aesthetics: composition and subject do not count, and intended blur (shallow focus) lowers the score.\n"
        "- Distortions that were not ranked (generated images, moire, rolling shutter, stitching) were not measured.\n"
        "- Images that are extended by reflection, and images reduced from more than "
        f"{sampling.longest_side} pixels, were not compared with opinions.",
    ]  # fmt: skip
    if missing:
        parts += [NOT_MEASURED, "\n".join(f"- {line}" for line in missing)]
    return "\n\n".join(parts) + "\n"


NOT_MEASURED = "## Not measured"


def not_measured(card: str) -> list[str]:
    """Return the lines of a card's section NOT_MEASURED."""
    lines = card.partition(f"{NOT_MEASURED}\n")[2].splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


README = """The package's model was trained by ranking, without opinions ([card](port/rankiqa/models/shipped/CARD.md)).
Measured with `scripts/card`, on LIVE's realigned scores (BRISQUE was trained on LIVE):"""
MARKS = ("<!-- card -->\n", "<!-- end of card -->")  # README.md has the table between them
SHOWN = {"LIVE 50, dmos_realigned": "LIVE, 50 images", "LIVE In the Wild, odd": "LIVE In the Wild, 581 odd",
         "LIVE In the Wild, all 1162": "all 1,162"}  # fmt: skip


def in_readme(page: str, rows: list[dict]) -> str:
    """Return README.md with the card's table between MARKS."""
    head, rest = page.split(MARKS[0])
    table = []
    for measure, name in NAMES.items():
        cells = [name]
        for start in SHOWN:
            chosen = [
                row for row in rows
                if row["set"].startswith(start) and (row["part"], row["measure"]) == ("all", measure)
            ]  # fmt: skip
            cells.append(f"{_short(chosen[0]['srocc'])}/{_short(chosen[0]['lcc'])}" if chosen else "-")
        table.append(cells)
    lines = ["|".join(["", *line, ""]) for line in (["SROCC/LCC", *SHOWN.values()], *table)]
    lines.insert(1, "|---" * (len(SHOWN) + 1) + "|")
    text = "\n".join([README, "", *lines, ""])
    return f"{head}{MARKS[0]}{text}{MARKS[1]}{rest.split(MARKS[1])[1]}"


def _training(folder: Path) -> list[str]:
    """Return the paragraphs about the training."""
    lines = []
    settings = folder / "training_settings.json"
    if settings.is_file():
        options = json.loads(settings.read_text(encoding="utf-8"))["options"]
        lines.append(
            f"Trained by `scripts/train_shipped_model` with seed {options['seed']} and these "
            "[settings](training_settings.json). Versions of one type are ranked by their levels."
            + PAIRS.get(options["pairs"], "")
        )
    log = folder / "training_log.txt"
    if log.is_file():
        content = log.read_text(encoding="utf-8")
        losses = re.findall(r"Iteration (\d+).*?loss = ([\d.e+-]+)", content)
        last = f" shows a loss of {losses[-1][1]} at iteration {losses[-1][0]}" if losses else " has no iteration"
        minutes = sum(map(float, re.findall(r"iter/s, ([\d.e+-]+)s/", content))) / 60
        lines.append(f"The [log](training_log.txt){last}. The training took {minutes:.0f} minutes on two cores.")
    digests = folder / "digest.json"
    if digests.is_file():
        known = json.loads(digests.read_text(encoding="utf-8"))
        lines.append(f"The file has {known['bytes']:,} bytes; its SHA-256 is `{known['file_sha256']}`.")
    return lines


def _cell(row: dict, name: str) -> str:
    """Return a correlation with its interval."""
    if not row[name]:
        return "-"
    value = _short(row[name])
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{value} ({_short(low)} to {_short(high)})" if low else value


def _short(number: str) -> str:
    """Return a number with three decimals and without a leading zero."""
    return f"{float(number):.3f}".replace("0.", ".")


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opinions(rows: list[dict]) -> str:
    """Return the table of the sets with opinion scores."""
    cells = [
        [row["set"], row["part"], NAMES[row["measure"]], str(row["n"]), _cell(row, "srocc"), _cell(row, "lcc")]
        for row in rows
    ]
    return _table(["set", "images", "measure", "n", "SROCC", "LCC"], cells)


def _levels(rows: list[dict]) -> str:
    """Return the table of the held-out photographs."""
    cells = []
    for row in rows:
        name = row["set"].removeprefix("held-out, ")
        cells.append([name, row["part"], str(row["n"]), _cell(row, "srocc"), _short(row["pairs_right"])])
    return _table(["set", "type", "n", "SROCC to level", "pairs in order"], cells)


def _calibrated(rows: list[dict]) -> str:
    """Return the section about fine-tuning."""
    if not rows:
        return "Not measured; `scripts/card_calibrated` measures it."
    names = ("start", "splits", "srocc_mean", "srocc_std", "lcc_mean", "lcc_std")
    return f"{CALIBRATED}\n\n{_table(list(names), [[row[name] for name in names] for row in rows])}"
