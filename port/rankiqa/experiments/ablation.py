"""The supplement's ablation: how many levels and how many photographs ranking needs."""

from __future__ import annotations

from rankiqa.experiments import grid
from rankiqa.experiments.budgets import LEVELS
from rankiqa.experiments.csv_tables import write_csv
from rankiqa.experiments.experiment_inputs import Experiment
from rankiqa.experiments.experiment_page import COLOURS, Figure, Page, Table, Verdict, decimals
from rankiqa.experiments.held_out_images import HeldOut
from rankiqa.experiments.measures import OPINION_COLUMNS, OPINIONS_CAPTION
from rankiqa.experiments.paper import ABLATION, published

LEVEL_COUNTS = (2, 3, 4, 5, 6)
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
COLUMNS = ("varied", "value", *OPINION_COLUMNS[1:], "paper_lcc")
LEVELS_VARIED, SHARE_VARIED = "levels", "share of the photographs"


def run(experiment: Experiment) -> Page:
    """Train with each number of levels and each share of the photographs. Write the CSV files and return the page."""
    data, settings, out = experiment.data, experiment.settings, experiment.out
    train, held = data.split()
    held_out = HeldOut(data.list_of("held_out", held), seed=experiment.seed)
    papers = published()[ABLATION]
    variants = [(LEVELS_VARIED, str(n), n, train) for n in LEVEL_COUNTS]
    for share in SHARES:
        few = train[: max(settings.images, round(share * len(train)))]
        variants.append((SHARE_VARIED, f"{share:.0%}", LEVELS, few))
    rows, opinions = [], []
    for varied, value, levels, photographs in variants:
        name = f"levels_{levels}" if varied == LEVELS_VARIED else f"share_{value.rstrip('%')}"
        if photographs == train and levels == LEVELS:
            name = "whole"
        experiment.say(f"{varied} {value}: {settings.short} iterations")
        model, _ = grid.rank(experiment, name, settings.arch, photographs, levels)
        ours, theirs = grid.measured(experiment, name, model, held_out)
        key = "levels" if varied == LEVELS_VARIED else "share of reference images"
        about = {"varied": varied, "value": value, "paper_lcc": papers[key][value]}
        rows += [{column: (row | about)[column] for column in COLUMNS} for row in ours]
        opinions += [{column: (row | about)[column] for column in COLUMNS} for row in theirs]
    write_csv(out / "ablation.csv", COLUMNS, rows)
    whole = [row for row in rows if row["type"] == "all"]
    tables = [Table("Agreement of scores and levels on held-out images, with 95% intervals.", "ablation.csv", COLUMNS,
                    whole)]  # fmt: skip
    if opinions:
        write_csv(out / "opinions.csv", COLUMNS, opinions)
        shown = [row for row in opinions if row["type"] == "all"]
        tables.append(Table(OPINIONS_CAPTION, "opinions.csv", COLUMNS, shown))
    return Page(
        "Levels and photographs that ranking needs",
        [
            f"{settings.arch}, {settings.short} iterations of ranking each (seed {experiment.seed}), measured on all "
            f"{LEVELS} levels of {len(held)} photographs that were not trained on. The levels always include the "
            f"pristine one "
            "and the strongest. A minibatch has all levels of a photograph, so fewer levels mean fewer crops.",
            "The paper uses another measure: its values are LCC after fine-tuning on TID2013.",
        ],
        [_verdict(whole, LEVELS_VARIED, "six levels rank better than two"),
         _verdict(whole, SHARE_VARIED, "all photographs rank better than a fifth of them")],
        [_figure(whole, varied, number) for number, varied in enumerate((LEVELS_VARIED, SHARE_VARIED))],
        tables,
    )  # fmt: skip


def _verdict(rows: list[dict], varied: str, claim: str) -> Verdict:
    """Check whether the largest value of the variable ranks better, beyond the interval of the smallest."""
    chosen = [row for row in rows if row["varied"] == varied]
    least, most, high = chosen[0]["srocc"], chosen[-1]["srocc"], chosen[0]["srocc_high"]
    end = "has no interval" if high is None else f"its interval ends at {high:.3f}"
    text = f"{claim}: SROCC {decimals(most)} against {decimals(least)} ({end})."
    return Verdict(most is not None and high is not None and most > high, text, "ablation.csv")


def _figure(rows: list[dict], varied: str, number: int) -> Figure:
    chosen = [row for row in rows if row["varied"] == varied]
    x = [row["value"] for row in chosen]
    data = []
    for place, measure in enumerate(("srocc", "lcc")):
        known = [row for row in chosen if row[measure] is not None]
        errors = {
            "type": "data", "symmetric": False, "thickness": 1.5, "width": 4,
            "array": [_length(row[measure], row[f"{measure}_high"]) for row in known],
            "arrayminus": [_length(row[f"{measure}_low"], row[measure]) for row in known],
        }  # fmt: skip
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": f"{measure.upper()} on held-out levels",
            "x": [row["value"] for row in known], "y": [row[measure] for row in known], "error_y": errors,
            "line": {"color": COLOURS[place]},
        })  # fmt: skip
    data.append({
        "type": "scatter", "mode": "lines+markers", "name": "LCC on TID2013 (paper)", "x": x,
        "y": [row["paper_lcc"] for row in chosen], "line": {"color": COLOURS[5], "dash": "dot"},
    })  # fmt: skip
    layout = {"xaxis": {"title": {"text": varied}, "type": "category"}, "yaxis": {"title": {"text": "correlation"}}}
    return Figure(f"ablation_{number}", f"Correlation against {varied}.", "ablation.csv", data, layout)


def _length(low: float | None, high: float | None) -> float:
    """Return the length of an error bar; 0 if an end is unknown or, for a skewed bootstrap, on the other side."""
    return 0.0 if low is None or high is None else max(0.0, high - low)
