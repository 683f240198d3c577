"""The command `rankiqa lists`: write the lists for training and testing, from a ranked set or a downloaded data set."""

from __future__ import annotations

import argparse
import json
import os
import sys

from rankiqa.cli import lists_arguments
from rankiqa.training.presets import PRESETS, RankPreset


def add(commands) -> None:
    """Add the command to the subparsers `commands`."""
    lists_arguments.add(commands, run)


def run(options: argparse.Namespace) -> int:
    """Write the lists and return the exit status."""
    from rankiqa.datasets import list_writer

    if options.list == "csv" and options.folder is None:
        options.folder = os.path.dirname(options.table) or "."
    try:
        sides, decimals, summary = _ranked(options) if options.list.startswith("rank") else _rated(options)
        summary["settings"] = {
            key: value for key, value in vars(options).items() if key not in ("run", "command", "json")
        }
        decimals = decimals if options.decimals is None else options.decimals
        summary = list_writer.write(options.out, options.name, sides, decimals, summary, link=options.prefix is None)
    except ValueError as error:
        print(f"rankiqa: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        _show(summary)
    return 0


def _prefix(options: argparse.Namespace) -> str:
    """Return the text before each path of the lists."""
    return options.folder if options.prefix is None else options.prefix


def _ranked(options: argparse.Namespace) -> tuple[dict, int, dict]:
    """Return the lines of a ranked set's lists by side, the decimals of a label and the summary."""
    import numpy as np

    from rankiqa.datasets import ranked_folders, splits

    worst_first = options.order == "worst-first"
    blocks = ranked_folders.read(
        options.folder,
        options.types,
        options.levels,
        worst_first,
        prefix=_prefix(options),
        pristine=options.pristine,
        level_names_from=options.level_names_from,
        partial=options.allow_partial,
    )
    train = options.train_references or int(len(blocks.names) * 0.8)
    sides = splits.choose(blocks.names, options.split, np.random.RandomState(options.seed), train=train)
    preset = PRESETS["live-rank" if options.list == "rank-live" else "tid2013-rank"]
    assert isinstance(preset, RankPreset)
    if (len(options.types), options.levels + 1) != (preset.list_groups, preset.levels):
        groups = "" if len(options.types) >= preset.groups else f" --set groups={len(options.types)}"
        blocks.remarks.append(
            f"`rankiqa train {preset.name}` expects {preset.list_groups} types and {preset.levels} levels, pristine "
            f"included; for this list add --set list_groups={len(options.types)} --set "
            f"levels={options.levels + 1}{groups}"
        )
    summary = {
        "list": options.list,
        "measure": "place in the ranking",
        "direction": "lower is better" if worst_first else "higher is better",
        "range": [0, options.levels],
        "split": {"by": "reference image", "choice": options.split, "seed": options.seed},
        "references": sides,
        "lines": {
            side: {
                "types": [name for name in options.types for _ in range(options.levels + 1) for _ in chosen],
                "references": [name for _ in blocks.blocks for name in chosen],
            }
            for side, chosen in sides.items()
        },
        "remarks": blocks.remarks,
    }
    return ranked_folders.lines(blocks, sides), 2, summary


def _rated(options: argparse.Namespace) -> tuple[dict, int, dict]:
    """Return the lines of a data set's lists by side, the decimals of a label and the summary."""
    import numpy as np

    from rankiqa.datasets import data_set, splits
    from rankiqa.datasets.label_files import join

    module, rated_set = _read(options)
    data_set.checked(rated_set, options.allow_partial)
    if options.list == "ft-live":
        if not options.allow_partial:
            module.check_copies(rated_set)
        if options.without_references:
            rated_set = module.without_copies(rated_set)
    references, train = _references(options, module, rated_set)
    random = np.random.RandomState(options.seed)
    sides = splits.choose(
        references,
        options.split,
        random,
        train=options.train_references or train,
        authors=getattr(module, "AUTHORS", None),
        official=rated_set.official,
    )
    images = getattr(module, "arranged", splits.arranged)(sides, rated_set, random)
    labels = [item.label for side in images.values() for item in side]
    dataset = rated_set.dataset
    summary = {
        "list": options.list,
        "dataset": dataset.title,
        "home": dataset.home,
        "measure": dataset.measure,
        "direction": dataset.direction,
        "scale": [dataset.low, dataset.high],
        "range": [min(labels), max(labels)],
        "split": {"by": "reference image", "choice": options.split, "seed": options.seed},
        "references": sides,
        "lines": {side: _origins(chosen, dataset.by_image) for side, chosen in images.items()},
        "remarks": rated_set.remarks,
    }
    if rated_set.labels:
        summary["labels"] = rated_set.labels
    if dataset.by_image:
        summary["split"]["by"] = "image: there are no references"
        del summary["references"]
    prefix = _prefix(options)
    lines = {side: [(join(prefix, item.path), item.label) for item in chosen] for side, chosen in images.items()}
    return lines, dataset.decimals, summary


def _origins(items, by_image: bool) -> dict[str, list[str]]:
    """Return the distortion type and the reference of each line, if the data set names them."""
    summary = {} if by_image else {"references": [item.reference for item in items]}
    return summary | ({"types": [item.kind for item in items]} if any(item.kind for item in items) else {})


def _references(options: argparse.Namespace, module, rated_set) -> tuple[list[str], int]:
    """Return the references in the order that a seed permutes, and the default number of training references."""
    from rankiqa.datasets import splits

    total, train = rated_set.dataset.references, rated_set.dataset.train
    if options.list == "ft-tid2013" and options.reference_25:
        references, train = module.references(rated_set, synthetic=True), train + 1
    elif options.list == "ft-tid2013":
        references, total = module.references(rated_set), total - 1
        rated_set.remarks.append(
            f"reference {module.SYNTHETIC} is left out, as upstream does (--reference-25 includes it)"
        )
    elif options.list == "ft-live":
        references = module.references(rated_set)
    else:
        references = sorted({item.reference for item in rated_set.items})
    return references, splits.train_count(len(references), total, train)


def _read(options: argparse.Namespace):
    """Return the module of a data set and the data set that it read."""
    from rankiqa.datasets import clive, csiq, kadid10k, koniq10k, live, mlive, score_table, spaq, tid2013

    folder = options.folder
    if options.list == "ft-live":
        partial, lists = options.allow_partial, options.authors_list
        return live, live.read(folder, options.labels, options.by_position, authors_list=lists, partial=partial)
    if options.list == "ft-tid2013":
        return tid2013, tid2013.read(folder)
    if options.list == "csiq":
        return csiq, csiq.read(folder, options.labels)
    if options.list == "koniq10k":
        return koniq10k, koniq10k.read(folder, options.labels, options.column, options.images)
    if options.list == "spaq":
        return spaq, spaq.read(folder, options.labels)
    if options.list == "csv":
        return score_table, score_table.read(
            folder, options.table, image=options.image, score=options.score, higher=options.higher,
            reference=options.reference, kind=options.type, sheet=options.sheet,
        )  # fmt: skip
    module = {"mlive": mlive, "kadid10k": kadid10k, "clive": clive}[options.list]
    return module, module.read(folder)


def _show(summary: dict) -> None:
    """Print the summary of the lists."""
    for side, file in summary["files"].items():
        count = f", {len(summary['references'][side])} references" if "references" in summary else ""
        print(f"{file['path']}: {file['lines']} lines{count}")
    low, high = summary["range"]
    split = summary["split"]
    print(
        f"{summary['measure']}, {summary['direction']}, {low:g}..{high:g}; split by {split['by']} ({split['choice']})"
    )
    for remark in summary["remarks"]:
        print(remark)
