"""`rankiqa lists`: the lists that both engines train on, from what `rankiqa distort` or a download left."""

from __future__ import annotations

import argparse
import json
import sys

from rankiqa.cli.arguments import SEED, int_in_range
from rankiqa.training.presets import PRESETS

# what the original calls its lists; its data layers look for these names
_FILES = {"rank-live": "live", "rank-tid2013": "tid2013", "ft-live": "ft_live", "ft-tid2013": "ft_tid2013"}
_ONES = {  # name: (help, the choices of --split, the first is the default)
    "rank-live": ("ranked set of 4 types and 5 levels, worst first", ("first", "random", "none")),
    "rank-tid2013": ("ranked set of 18 types and 4 levels, pristine first", ("first", "random", "none")),
    "ft-live": ("LIVE release 2 (DMOS)", ("random", "authors", "none")),
    "ft-tid2013": ("TID2013 (MOS)", ("random", "authors", "none")),
    "csiq": ("CSIQ (DMOS)", ("random", "none")),
    "mlive": ("LIVE Multiply Distorted (DMOS)", ("random", "none")),
    "kadid10k": ("KADID-10k (MOS, though its file says dmos)", ("random", "none")),
    "koniq10k": ("KonIQ-10k (MOS); no references: a split is by image", ("official", "random", "none")),
}
_SPLITS = {
    "first": "the first 80%% of the sorted images train (upstream; of Waterloo's 4,744 the authors' split)",
    "random": "by --seed, as upstream's numpy draws",
    "authors": "the references of the committed lists",
    "official": "the data set's own, with a validation list",
    "none": "one list of all",
}


def add(commands) -> None:
    """Add the command to an argument parser's commands."""
    one = commands.add_parser(
        "lists",
        help="make the lists to train and test on",
        description="Write OUT/NAME_train.txt and OUT/NAME_test.txt, `path label` lines, and OUT/NAME_lists.json, "
        "which says what they are. A reference image and all that is made from it stay on one side. "
        "`rankiqa lists LIST --help` shows each list's options. Exit status: 0 written, 2 nothing was (options, data).",
    )
    lists = one.add_subparsers(dest="list", required=True, metavar="LIST")
    for name, (text, splits) in _ONES.items():
        parser = lists.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _add_common(parser, name, splits)
        if name.startswith("rank"):
            _add_ranked(parser, name)
        else:
            _add_rated(parser, name)
        parser.set_defaults(run=run)


def _add_common(one: argparse.ArgumentParser, name: str, splits: tuple[str, ...]) -> None:
    one.add_argument("folder", metavar="DIR", help="where the images are")
    one.add_argument("--out", required=True, metavar="OUT", help="where the lists go")
    one.add_argument("--name", default=_FILES.get(name, name), help="of the lists (default %(default)s)")
    told = "; ".join(f"{split}: {_SPLITS[split]}" for split in splits)
    one.add_argument("--split", choices=splits, default=splits[0], help=f"{told} (default %(default)s)")
    one.add_argument("--seed", type=SEED, default=0, help="of numpy's RandomState (default 0)")
    one.add_argument("--train-references", type=int_in_range(1), metavar="N", help="how many train, of the rest test")
    one.add_argument("--prefix", metavar="TEXT", help="stands before each path instead of DIR ('' for nothing)")
    one.add_argument("--decimals", type=int_in_range(0, 12), help="of a label (default upstream's 2, for other sets 4)")
    one.add_argument("--allow-partial", action="store_true", help="a part of the data set will do")
    one.add_argument("--json", action="store_true", help="print what OUT/NAME_lists.json holds")


def _add_ranked(one: argparse.ArgumentParser, name: str) -> None:
    from rankiqa.datasets.ranked_types import SETS

    ranked = SETS[name]
    one.add_argument("--types", nargs="+", default=list(ranked.types), metavar="T", help="folders, in the list's order")
    one.add_argument(
        "--levels",
        type=int_in_range(1),
        default=ranked.levels,
        help="distorted levels of each type (default %(default)s; the data layers count the pristine images too)",
    )
    orders = ("worst-first", "pristine-first")
    one.add_argument(
        "--order",
        choices=orders,
        default=orders[0 if ranked.worst_first else 1],
        help="the ranking: what comes first will score higher (default %(default)s, upstream's generator)",
    )
    one.add_argument("--pristine", metavar="DIR2", help="the pristine images (default DIR/pristine_images)")
    one.add_argument(
        "--level-names-from",
        metavar="DIR3",
        help="list DIR3/T for the names of the levels, as upstream's TID2013 generator does with the current folder",
    )


def _add_rated(one: argparse.ArgumentParser, name: str) -> None:
    if name in ("ft-live", "csiq", "koniq10k"):
        one.add_argument("--labels", metavar="FILE", help="the labels' file (default: looked for in DIR)")
    if name == "ft-live":
        one.add_argument("--without-references", action="store_true", help="leave out the 203 images with DMOS 0")
        one.add_argument(
            "--by-position", action="store_true", help="upstream's n-th name of a folder is image n; right if renamed"
        )
    if name == "ft-tid2013":
        one.add_argument("--reference-25", action="store_true", help="take it too (upstream leaves it out)")
    if name == "koniq10k":
        one.add_argument("--column", metavar="NAME", help="of the label (default MOS_zscore where it is, else MOS)")
        one.add_argument("--images", metavar="FOLDER", help="the images' folder (default 1024x768 or 512x384)")


def run(options: argparse.Namespace) -> int:
    """Write the lists; returns the exit status."""
    from rankiqa.datasets import list_writer

    try:
        made = _ranked(options) if options.list.startswith("rank") else _rated(options)
        sides, decimals, summary = made
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
    return options.folder if options.prefix is None else options.prefix


def _ranked(options: argparse.Namespace) -> tuple[dict, int, dict]:
    import numpy as np

    from rankiqa.datasets import ranked_folders, splits

    worst_first = options.order == "worst-first"
    found = ranked_folders.read(
        options.folder,
        options.types,
        options.levels,
        worst_first,
        prefix=_prefix(options),
        pristine=options.pristine,
        level_names_from=options.level_names_from,
        partial=options.allow_partial,
    )
    train = options.train_references or int(len(found.names) * 0.8)
    sides = splits.choose(found.names, options.split, np.random.RandomState(options.seed), train=train)
    preset = PRESETS["live-rank" if options.list == "rank-live" else "tid2013-rank"]
    if (len(options.types), options.levels + 1) != (preset.list_groups, preset.levels):
        groups = "" if len(options.types) >= preset.groups else f" --set groups={len(options.types)}"
        found.remarks.append(
            f"`rankiqa train {preset.name}` takes {preset.list_groups} types and {preset.levels} levels, pristine "
            f"included; for this list --set list_groups={len(options.types)} --set levels={options.levels + 1}{groups}"
        )
    summary = {
        "list": options.list,
        "measure": "place in the ranking",
        "direction": "lower is better" if worst_first else "higher is better",
        "range": [0, options.levels],
        "split": {"by": "reference image", "choice": options.split, "seed": options.seed},
        "references": sides,
        "remarks": found.remarks,
    }
    return ranked_folders.lines(found, sides), 2, summary


def _rated(options: argparse.Namespace) -> tuple[dict, int, dict]:
    import numpy as np

    from rankiqa.datasets import base, splits
    from rankiqa.datasets.label_files import join

    module, found = _read(options)
    base.checked(found, options.allow_partial)
    if options.list == "ft-live":
        if not options.allow_partial:
            module.check_copies(found)
        if options.without_references:
            found = module.without_copies(found)
    references, train = _references(options, module, found)
    random = np.random.RandomState(options.seed)
    sides = splits.choose(
        references,
        options.split,
        random,
        train=options.train_references or train,
        authors=getattr(module, "AUTHORS", None),
        official=found.official,
    )
    images = getattr(module, "arranged", splits.arranged)(sides, found, random)
    labels = [item.label for side in images.values() for item in side]
    dataset = found.dataset
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
        "remarks": found.remarks,
    }
    if options.list == "koniq10k":
        summary["split"]["by"] = "image: there are no references"
        del summary["references"]
    prefix = _prefix(options)
    lines = {side: [(join(prefix, item.path), item.label) for item in chosen] for side, chosen in images.items()}
    summary["lines"] = {side: _origins(chosen, options.list) for side, chosen in images.items()}
    return lines, dataset.decimals, summary


def _origins(images, name: str) -> dict[str, list[str]]:
    """{"types", "references"} of a list, one for each line, where the data set says; `rankiqa evaluate` reads it."""
    columns = {"types": [item.kind for item in images], "references": [item.reference for item in images]}
    if name == "koniq10k":
        del columns["references"]
    return {key: values for key, values in columns.items() if all(values)}


def _references(options: argparse.Namespace, module, found) -> tuple[list[str], int]:
    """The references in the order that a seed permutes, and how many train where nobody says."""
    from rankiqa.datasets import splits

    every, train = found.dataset.references, found.dataset.train
    if options.list == "ft-tid2013" and options.reference_25:
        references, train = module.references(found, synthetic=True), train + 1
    elif options.list == "ft-tid2013":
        references, every = module.references(found), every - 1
        found.remarks.append(f"reference {module.SYNTHETIC} is left out, as upstream does (--reference-25 takes it)")
    elif options.list == "ft-live":
        references = module.references(found)
    else:
        references = sorted({item.reference for item in found.items})
    return references, splits.train_count(len(references), every, train)


def _read(options: argparse.Namespace):
    """The module of a data set, and what it reads."""
    from rankiqa.datasets import csiq, kadid10k, koniq10k, live, mlive, tid2013

    folder = options.folder
    if options.list == "ft-live":
        return live, live.read(folder, options.labels, options.by_position)
    if options.list == "ft-tid2013":
        return tid2013, tid2013.read(folder)
    if options.list == "csiq":
        return csiq, csiq.read(folder, options.labels)
    if options.list == "koniq10k":
        return koniq10k, koniq10k.read(folder, options.labels, options.column, options.images)
    module = {"mlive": mlive, "kadid10k": kadid10k}[options.list]
    return module, module.read(folder)


def _show(summary: dict) -> None:
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
